//! Pure: what a schema says about owning the parts of a value, for built-in kinds and custom resources.

use serde_json::Value;

use crate::{
    managed::element::Element,
    pack::{self, Field, Leaf, Shape, Type},
    registry::Registered,
    schema::Schema,
    typed,
};

/// What is known about a value.
#[derive(Clone, Copy)]
pub(super) enum Form<'s> {
    /// A built-in struct type.
    Struct(&'static Type),
    /// A value of a built-in type, with what its field declares.
    Shape(&'static Shape, Option<&'static Field>),
    /// A value of a custom resource.
    Custom(&'s Schema),
    /// A value that has the metadata of every object beside what the schema declares.
    Object(&'s Schema),
    /// A value without a schema: maps have an owner for each entry, all else has one.
    Free,
}

/// How the ownership of a value is divided.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Structure<'s> {
    /// The value has one owner.
    Leaf,
    /// Each field or map entry has its own.
    Map,
    /// Each item has its own; items are told apart by their value.
    Set,
    /// Each item has its own; items are told apart by these fields.
    List(Keys<'s>),
}

/// The fields that tell the items of a list apart.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Keys<'s> {
    BuiltIn(&'static [&'static str]),
    Custom(&'s [String]),
}

/// Why an item of a list cannot be told apart from others.
pub(super) enum ItemError {
    /// The item is no object.
    NotAnObject,
    /// The item does not have this field, which has no default.
    NoKey(String),
}

impl<'s> Form<'s> {
    /// Returns the form of the objects of a resource.
    pub(super) fn of(registered: &'s Registered) -> Self {
        match &registered.custom {
            Some(custom) => Self::Object(&custom.schema),
            None => pack::of(&registered.resource.gvk).map_or(Self::Free, Self::Struct),
        }
    }

    /// Returns how the ownership of a value is divided.
    pub(super) fn structure(self, value: &Value) -> Structure<'s> {
        match self {
            Self::Struct(owner) if owner.atomic => Structure::Leaf,
            Self::Struct(_) => Structure::Map,
            Self::Shape(shape, field) => built_in(shape, field),
            Self::Object(schema) | Self::Custom(schema) => custom(schema, value),
            Self::Free if value.is_object() || value.is_null() => Structure::Map,
            Self::Free => Structure::Leaf,
        }
    }

    /// Returns the form of a field or map entry.
    pub(super) fn field(self, name: &str) -> Self {
        self.named(name).unwrap_or_else(|| match self {
            Self::Shape(Shape::Map(entry), _) => Self::shape(entry, None),
            Self::Object(schema) | Self::Custom(schema) => {
                schema.additional().map_or(Self::Free, Self::custom)
            }
            _ => Self::Free,
        })
    }

    /// Returns whether the field is one the schema names.
    pub(super) fn declares(self, name: &str) -> bool {
        self.named(name).is_some()
    }

    /// Returns whether the field may be there at all.
    pub(super) fn admits(self, name: &str) -> bool {
        let more = match self {
            Self::Struct(_) => false,
            Self::Shape(shape, _) => matches!(shape, Shape::Map(_)),
            Self::Object(schema) | Self::Custom(schema) => schema.admits_more(),
            Self::Free => true,
        };
        more || self.declares(name)
    }

    /// Returns the form of list items.
    pub(super) fn item(self) -> Self {
        match self {
            Self::Shape(Shape::List(item), _) => Self::shape(item, None),
            Self::Object(schema) | Self::Custom(schema) => {
                schema.items().map_or(Self::Free, Self::custom)
            }
            _ => Self::Free,
        }
    }

    /// Returns the step to an item of a list that is no leaf.
    pub(super) fn element(
        self,
        structure: Structure<'_>,
        item: &Value,
    ) -> Result<Element, ItemError> {
        let Structure::List(keys) = structure else { return Ok(Element::value(item)) };
        let Value::Object(fields) = item else { return Err(ItemError::NotAnObject) };
        let names = keys.names().map(|name| {
            let value = fields.get(name).filter(|value| !value.is_null()).cloned();
            let value = value.or_else(|| self.item().default(name));
            Ok((name.to_owned(), value.ok_or_else(|| ItemError::NoKey(name.to_owned()))?))
        });
        names.collect::<Result<_, _>>().map(Element::keys)
    }

    /// Returns the step to an item of a kept list, where some step must be found.
    pub(super) fn kept_element(self, structure: Structure<'_>, item: &Value) -> Element {
        self.element(structure, item).unwrap_or_else(|_| Element::value(item))
    }

    fn named(self, name: &str) -> Option<Self> {
        match self {
            Self::Struct(owner) => {
                find(owner, name).map(|field| Self::shape(&field.shape, Some(field)))
            }
            Self::Object(_) if name == "metadata" => {
                pack::named("meta.v1.ObjectMeta").map(Self::Struct)
            }
            Self::Object(schema) if matches!(name, "apiVersion" | "kind") => {
                Some(schema.property(name).map_or(Self::Free, Self::Custom))
            }
            Self::Object(schema) | Self::Custom(schema) => schema.property(name).map(Self::custom),
            Self::Shape(..) | Self::Free => None,
        }
    }

    fn shape(shape: &'static Shape, field: Option<&'static Field>) -> Self {
        match shape {
            // A map or struct may be atomic where it stands, whatever its type says elsewhere.
            Shape::Struct(name) if !field.is_some_and(|field| field.atomic) => {
                pack::named(name).map_or(Self::Free, Self::Struct)
            }
            // An object of any type has one owner, as the reference does not look into it.
            Shape::Leaf(leaf) if leaf.is_free() && *leaf != Leaf::Raw => Self::Free,
            shape => Self::Shape(shape, field),
        }
    }

    fn custom(schema: &'s Schema) -> Self {
        if schema.is_embedded() { Self::Object(schema) } else { Self::Custom(schema) }
    }

    /// Returns what a key field is taken to be where an item does not have it.
    fn default(self, name: &str) -> Option<Value> {
        match self {
            Self::Struct(owner) => {
                let field = find(owner, name)?;
                let default = serde_json::from_str(field.default).ok();
                default.or_else(|| (!field.omit_empty).then(|| typed::zero(&field.shape)))
            }
            Self::Custom(schema) | Self::Object(schema) => {
                schema.property(name)?.default().cloned()
            }
            Self::Shape(..) | Self::Free => None,
        }
    }
}

impl Keys<'_> {
    fn names(&self) -> impl Iterator<Item = &str> {
        let (built_in, custom): (&[&str], &[String]) = match self {
            Self::BuiltIn(names) => (names, &[]),
            Self::Custom(names) => (&[], names),
        };
        built_in.iter().copied().chain(custom.iter().map(String::as_str))
    }
}

/// Returns the field of this JSON name, also out of inlined structs.
fn find(owner: &'static Type, name: &str) -> Option<&'static Field> {
    owner.fields.iter().find_map(|field| match &field.shape {
        Shape::Struct(inlined) if field.inline => find(pack::named(inlined)?, name),
        _ => (field.name == name).then_some(field),
    })
}

fn built_in(shape: &'static Shape, field: Option<&'static Field>) -> Structure<'static> {
    let atomic = field.is_some_and(|field| field.atomic);
    match (shape, field) {
        (Shape::List(_), Some(field)) => match field.list_type {
            "set" => Structure::Set,
            "map" => Structure::List(Keys::BuiltIn(&field.list_keys)),
            _ => Structure::Leaf,
        },
        (Shape::Map(_), _) if !atomic => Structure::Map,
        _ => Structure::Leaf,
    }
}

fn custom<'s>(schema: &'s Schema, value: &Value) -> Structure<'s> {
    match schema.list_type() {
        Some("set") => return Structure::Set,
        Some("map") => return Structure::List(Keys::Custom(schema.list_keys())),
        _ => {}
    }
    match schema.json_type() {
        _ if schema.has_atomic_map() => Structure::Leaf,
        "object" => Structure::Map,
        "" if !schema.is_int_or_string() => Form::Free.structure(value),
        _ => Structure::Leaf,
    }
}
