//! Pure: facts about the built-in types: names, protobuf numbers, patch keys, list types.
//!
//! They stand in `pack/types.txt`, which `pack/generate.sh` writes from the published Go types.

use std::{collections::HashMap, sync::LazyLock};

use k8s::GroupVersionKind;

static PACK: LazyLock<Pack> = LazyLock::new(|| Pack::read(include_str!("../pack/types.txt")));

/// Returns the type of objects of a built-in kind.
pub(crate) fn of(gvk: &GroupVersionKind) -> Option<&'static Type> {
    named(PACK.kinds.get(gvk.to_string().as_str())?)
}

/// Returns the struct type of this name.
pub(crate) fn named(name: &str) -> Option<&'static Type> {
    PACK.types.get(name)
}

/// A struct type.
#[derive(Debug)]
pub(crate) struct Type {
    /// The name with package and version, such as `core.v1.Pod`.
    pub(crate) name: &'static str,
    /// Whether the whole value has one owner.
    pub(crate) atomic: bool,
    /// The fields in the order of the type; those of inlined structs stand in the inlined type.
    pub(crate) fields: Vec<Field>,
}

impl Type {
    /// Returns the field of this JSON name, also out of inlined structs.
    pub(crate) fn field(&self, name: &str) -> Option<&'static Field> {
        let this = named(self.name)?;
        this.fields.iter().find_map(|field| match &field.shape {
            Shape::Struct(inlined) if field.inline => named(inlined)?.field(name),
            _ => (field.name == name).then_some(field),
        })
    }

    /// Calls `visit` with every field that stands in the JSON of this type.
    pub(crate) fn for_each_field(&self, visit: &mut impl FnMut(&'static Field)) {
        let Some(this) = named(self.name) else { return };
        for field in &this.fields {
            match &field.shape {
                Shape::Struct(inlined) if field.inline => {
                    if let Some(inlined) = named(inlined) {
                        inlined.for_each_field(visit);
                    }
                }
                _ => visit(field),
            }
        }
    }
}

/// A field of a struct type.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent fact of the Go type")]
pub(crate) struct Field {
    /// The JSON name, `-` for inlined structs.
    pub(crate) name: &'static str,
    /// The protobuf number, 0 for fields that protobuf does not have.
    pub(crate) number: u32,
    /// What the field holds.
    pub(crate) shape: Shape,
    /// Whether absence differs from the zero value.
    pub(crate) pointer: bool,
    /// Whether the zero value is left out.
    pub(crate) omit_empty: bool,
    /// Whether a struct without contents is left out.
    pub(crate) omit_zero: bool,
    /// Whether the fields of the struct stand beside the others.
    pub(crate) inline: bool,
    /// Whether the schema demands the field.
    pub(crate) required: bool,
    /// How strategic merge patches treat the field.
    pub(crate) patch: Patch,
    /// How server-side apply treats a list, empty if nothing is declared.
    pub(crate) list_type: &'static str,
    /// What the API fills in, as JSON; empty if that is the zero value or nothing.
    pub(crate) default: &'static str,
    /// Which fields tell the items of a list apart for server-side apply.
    pub(crate) list_keys: Vec<&'static str>,
    /// Whether the whole map or struct has one owner.
    pub(crate) atomic: bool,
}

/// How strategic merge patches treat a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Patch {
    /// Whether a list is merged instead of replaced.
    pub(crate) merge: bool,
    /// Whether `$retainKeys` may prune the value.
    pub(crate) retain_keys: bool,
    /// The field that tells list items apart, empty for lists of scalars.
    pub(crate) key: &'static str,
}

/// What a field, list item or map entry holds.
#[derive(Debug)]
pub(crate) enum Shape {
    /// A value without fields.
    Leaf(Leaf),
    /// A struct of this type.
    Struct(&'static str),
    /// A list.
    List(Box<Shape>),
    /// A map from texts.
    Map(Box<Shape>),
}

/// A value without fields, or one that comes in several forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaf {
    String,
    Bool,
    Int32,
    Int64,
    Float,
    Bytes,
    Time,
    MicroTime,
    Duration,
    Quantity,
    IntOrString,
    /// The set of fields a manager owns.
    Fields,
    /// An object of any type.
    Raw,
    /// Any JSON value.
    Json,
    /// A schema or some of them.
    SchemaOrList,
    /// A schema, or whether there may be anything.
    SchemaOrBool,
    /// A schema or names of fields.
    SchemaOrNames,
}

impl Leaf {
    /// Returns whether the value may be any JSON as far as the built-in types know.
    pub(crate) fn is_free(self) -> bool {
        matches!(
            self,
            Self::Fields
                | Self::Raw
                | Self::Json
                | Self::SchemaOrList
                | Self::SchemaOrBool
                | Self::SchemaOrNames
        )
    }
}

struct Pack {
    /// The names of types by `apiVersion` and kind, one space between them.
    kinds: HashMap<&'static str, &'static str>,
    types: HashMap<&'static str, Type>,
}

impl Pack {
    fn read(text: &'static str) -> Self {
        let mut pack = Self { kinds: HashMap::new(), types: HashMap::new() };
        let mut current = "";
        for line in text.lines() {
            if let Some((kind, name)) =
                line.strip_prefix("# ").and_then(|kind| kind.rsplit_once(' '))
            {
                pack.kinds.insert(kind, name);
                continue;
            }
            let words: Vec<&'static str> = line.split(' ').collect();
            match words.as_slice() {
                ["=", name, flags @ ..] => {
                    current = name;
                    let atomic = flags.contains(&"map=atomic");
                    pack.types.insert(name, Type { name, atomic, fields: Vec::new() });
                }
                [name, number, shape, flags @ ..] => {
                    let field = read_field(name, number, shape, flags);
                    if let Some(owner) = pack.types.get_mut(current) {
                        owner.fields.push(field);
                    }
                }
                _ => {}
            }
        }
        pack
    }
}

fn read_field(
    name: &'static str,
    number: &str,
    shape: &'static str,
    flags: &[&'static str],
) -> Field {
    let value = |key: &str| {
        flags.iter().find_map(|flag| flag.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default()
    };
    let strategies: Vec<_> = value("patch").split(',').collect();
    Field {
        name,
        number: number.parse().unwrap_or_default(),
        shape: read_shape(shape.trim_start_matches('*')),
        pointer: shape.starts_with('*'),
        omit_empty: flags.contains(&"omitempty"),
        omit_zero: flags.contains(&"omitzero"),
        inline: flags.contains(&"inline"),
        required: flags.contains(&"required"),
        patch: Patch {
            merge: strategies.contains(&"merge"),
            retain_keys: strategies.contains(&"retainKeys"),
            key: value("key"),
        },
        list_type: value("list"),
        default: value("default"),
        list_keys: value("keys").split(',').filter(|key| !key.is_empty()).collect(),
        atomic: flags.contains(&"map=atomic"),
    }
}

fn read_shape(text: &'static str) -> Shape {
    if let Some(item) = text.strip_prefix("[]") {
        return Shape::List(Box::new(read_shape(item)));
    }
    if let Some(entry) = text.strip_prefix("{}") {
        return Shape::Map(Box::new(read_shape(entry)));
    }
    Shape::Leaf(match text {
        "string" => Leaf::String,
        "bool" => Leaf::Bool,
        "int32" => Leaf::Int32,
        "int64" => Leaf::Int64,
        "float64" => Leaf::Float,
        "bytes" => Leaf::Bytes,
        "time" => Leaf::Time,
        "microtime" => Leaf::MicroTime,
        "duration" => Leaf::Duration,
        "quantity" => Leaf::Quantity,
        "intorstring" => Leaf::IntOrString,
        "fields" => Leaf::Fields,
        "raw" => Leaf::Raw,
        "json" => Leaf::Json,
        "schemaorlist" => Leaf::SchemaOrList,
        "schemaorbool" => Leaf::SchemaOrBool,
        "schemaornames" => Leaf::SchemaOrNames,
        name => return Shape::Struct(name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_know_their_fields() {
        let deployment = of(&GroupVersionKind::new("apps/v1", "Deployment")).unwrap();
        assert_eq!(deployment.name, "apps.v1.Deployment");
        let template = named("core.v1.PodSpec").unwrap();
        let containers = template.field("containers").unwrap();
        assert_eq!(containers.patch, Patch { merge: true, retain_keys: false, key: "name" });
        assert_eq!(containers.list_keys, ["name"]);
        assert_eq!(containers.number, 2);
        let ports = named("core.v1.Container").unwrap().field("ports").unwrap();
        assert_eq!(ports.patch.key, "containerPort");
        assert_eq!(ports.list_keys, ["containerPort", "protocol"]);
        let port = named("core.v1.ContainerPort").unwrap();
        assert_eq!(port.field("protocol").unwrap().default, "\"TCP\"");
    }

    #[test]
    fn inlined_fields_are_found() {
        let volume = named("core.v1.Volume").unwrap();
        assert!(volume.field("emptyDir").is_some_and(|field| field.pointer));
        assert!(deployment_field("apiVersion"));
    }

    #[test]
    fn every_struct_that_is_named_is_there() {
        for each in PACK.types.values() {
            for field in &each.fields {
                let mut shape = &field.shape;
                while let Shape::List(inner) | Shape::Map(inner) = shape {
                    shape = inner;
                }
                if let Shape::Struct(name) = shape {
                    assert!(named(name).is_some(), "{name} in {}", each.name);
                }
            }
        }
        assert!(PACK.kinds.values().all(|name| named(name).is_some()));
    }

    fn deployment_field(name: &str) -> bool {
        named("apps.v1.Deployment").unwrap().field(name).is_some()
    }
}
