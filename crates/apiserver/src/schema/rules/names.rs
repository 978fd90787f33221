//! Pure: how rules name the fields of objects.

/// Names that the expression language keeps for itself.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Returns how rules write the name of a field, if they can name it at all.
pub(super) fn escape(name: &str) -> Option<String> {
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let is_known = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
    (starts_well && name.chars().all(is_known)).then(|| {
        name.replace("__", "__underscores__")
            .replace('.', "__dot__")
            .replace('-', "__dash__")
            .replace('/', "__slash__")
    })
}

/// The functions that can be evaluated, by how they are called.
#[derive(Clone, Copy, Debug)]
pub(super) enum Known {
    Global,
    Member,
    /// With a name of two parts.
    Qualified,
}

const GLOBAL: &str = "size string bytes double int uint duration timestamp url isURL ip isIP cidr \
    isCIDR quantity isQuantity semver isSemver";
const MEMBER: &str = "size contains startsWith endsWith getFullYear getMonth getDayOfYear \
    getDayOfMonth getDate getDayOfWeek getHours getMinutes getSeconds getMilliseconds charAt indexOf \
    lastIndexOf lowerAscii upperAscii replace split substring trim join format reverse isSorted sum \
    min max slice sort flatten distinct first last find findAll getEscapedPath getHost getHostname \
    getPort getQuery getScheme family isUnspecified isLoopback isLinkLocalMulticast \
    isLinkLocalUnicast isGlobalUnicast containsIP containsCIDR ip masked prefixLength string \
    isInteger asInteger asApproximateFloat sign add sub compareTo isGreaterThan isLessThan major \
    minor patch value hasValue or orValue validate";
const QUALIFIED: &str = "ip.isCanonical base64.decode base64.encode strings.quote optional.none \
    optional.of optional.ofNonZeroValue sets.contains sets.equivalent sets.intersects math.abs \
    math.bitAnd math.bitNot math.bitOr math.bitShiftLeft math.bitShiftRight math.bitXor math.ceil \
    math.floor math.greatest math.isFinite math.isInf math.isNaN math.least math.round math.sign \
    math.sqrt math.trunc format.byte format.date format.datetime format.dns1035Label \
    format.dns1035LabelPrefix format.dns1123Label format.dns1123LabelPrefix format.dns1123Subdomain \
    format.dns1123SubdomainPrefix format.labelValue format.named format.qualifiedName format.uri \
    format.uuid";

/// Macros that the parser leaves as calls, because it does not know them.
const MACROS: &str = "all exists exists_one existsOne map filter transformList transformMap \
    transformMapEntry sortBy optMap optFlatMap";

const TYPES: &str = "int uint double bool string bytes list map null_type type";
const BOOLEAN_OPERATORS: &str = "_&&_ _||_ !_ _==_ _!=_ _>=_ _<=_ _>_ _<_ @in @not_strictly_false";
const OPERATORS: &str = "_?_:_ _-_ _+_ _*_ _/_ _%_ -_ _[_]";

impl Known {
    /// Returns whether there is a function of this name.
    pub(super) fn has(self, name: &str) -> bool {
        has(
            match self {
                Self::Global => GLOBAL,
                Self::Member => MEMBER,
                Self::Qualified => QUALIFIED,
            },
            name,
        )
    }
}

/// Returns whether the name is that of a macro that was left as a call.
pub(super) fn is_macro(name: &str) -> bool {
    has(MACROS, name)
}

/// Returns whether the name means a type.
pub(super) fn is_type(name: &str) -> bool {
    has(TYPES, name)
}

/// Returns whether this is an operator whose result is true or false.
pub(super) fn is_boolean_operator(name: &str) -> bool {
    has(BOOLEAN_OPERATORS, name)
}

/// Returns whether this is an operator of any other result.
pub(super) fn is_operator(name: &str) -> bool {
    has(OPERATORS, name)
}

fn has(list: &str, name: &str) -> bool {
    list.split_whitespace().any(|each| each == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_kubernetes_does() {
        for (name, escaped) in [
            ("plain", Some("plain")),
            ("x_y", Some("x_y")),
            ("x__y", Some("x__underscores__y")),
            ("a.b-c/d", Some("a__dot__b__dash__c__slash__d")),
            ("namespace", Some("__namespace__")),
            ("int", Some("int")),
            ("1a", None),
            ("a b", None),
        ] {
            assert_eq!(escape(name).as_deref(), escaped, "{name}");
        }
    }
}
