//! Pure: media types: what a body is, and in which form an answer is wanted.

use crate::error::ApiError;

/// How a body is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Encoding {
    #[default]
    Json,
    Yaml,
    Protobuf,
}

/// What stands for the object in an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The object itself.
    #[default]
    Plain,
    /// Rows and columns.
    Table,
    /// The metadata alone.
    Metadata,
}

/// The form an answer is wanted in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) encoding: Encoding,
    pub(crate) shape: Shape,
    pub(crate) pretty: bool,
    /// Whether the form is that of an older version of the meta group.
    pub(crate) beta: bool,
}

/// How a patch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchKind {
    Json,
    Merge,
    Strategic,
    Apply,
}

/// One clause of an `Accept` header.
struct Clause<'h> {
    kind: String,
    parameters: Vec<(&'h str, &'h str)>,
    quality: f32,
}

/// The media type of what is applied on the server.
pub(crate) const APPLY: &str = "application/apply-patch+yaml";

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// What the reference offers: its words are kept, although protobuf is only read here.
const AVAILABLE: [&str; 5] = [
    JSON,
    YAML,
    PROTOBUF,
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];

impl Encoding {
    /// Returns the media type.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::Yaml => YAML,
            Self::Protobuf => PROTOBUF,
        }
    }
}

/// What is asked for, on which it depends what is said when there is no form for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// Anything of custom resources.
    Custom,
    /// What can be listed and watched.
    Collection,
    /// Everything else.
    Object,
}

/// Picks the form of an answer from an `Accept` header.
pub(crate) fn negotiate(accept: &str, offer: Offer) -> Result<Wanted, ApiError> {
    if accept.trim().is_empty() {
        return Ok(Wanted::default());
    }
    let clauses = clauses(accept);
    clauses.iter().find_map(wanted).ok_or_else(|| {
        let is_known = clauses.iter().any(|clause| AVAILABLE.contains(&clause.kind.as_str()));
        match offer {
            _ if is_known => ApiError::not_acceptable(&AVAILABLE[..3]),
            Offer::Custom => ApiError::not_acceptable(&AVAILABLE[..3]),
            Offer::Object => ApiError::no_representation(&AVAILABLE[..3]),
            Offer::Collection => ApiError::no_representation(&AVAILABLE),
        }
    })
}

/// Returns the clauses of an `Accept` header without parameters such as `as`, best first.
pub(crate) fn accepted_types(accept: &str) -> Vec<(String, Vec<(&str, &str)>)> {
    clauses(accept).into_iter().map(|clause| (clause.kind, clause.parameters)).collect()
}

/// Returns how a request body is written.
pub(crate) fn body_encoding(content_type: &str, is_custom: bool) -> Result<Encoding, ApiError> {
    match essence(content_type).as_str() {
        "" | JSON => Ok(Encoding::Json),
        YAML => Ok(Encoding::Yaml),
        PROTOBUF if !is_custom => Ok(Encoding::Protobuf),
        _ if is_custom => Err(ApiError::unsupported_media_type(&[JSON, YAML])),
        _ => Err(ApiError::unsupported_media_type(&[JSON, YAML, PROTOBUF])),
    }
}

/// Returns how a patch is written.
pub(crate) fn patch_kind(content_type: &str, is_custom: bool) -> Result<PatchKind, ApiError> {
    match essence(content_type).as_str() {
        "application/json-patch+json" => Ok(PatchKind::Json),
        "application/merge-patch+json" => Ok(PatchKind::Merge),
        "application/strategic-merge-patch+json" if !is_custom => Ok(PatchKind::Strategic),
        "application/apply-patch+yaml" => Ok(PatchKind::Apply),
        _ if is_custom => Err(ApiError::unsupported_media_type(&PATCHES)),
        _ => Err(ApiError::no_patch_type()),
    }
}

const PATCHES: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];

/// Returns the media type without its parameters.
pub(crate) fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn clauses(accept: &str) -> Vec<Clause<'_>> {
    let mut clauses: Vec<_> = accept.split(',').map(clause).collect();
    clauses.retain(|clause| 0.0 < clause.quality);
    clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    clauses
}

fn clause(text: &str) -> Clause<'_> {
    let parameters: Vec<_> = text
        .split(';')
        .skip(1)
        .map(|it| it.split_once('=').unwrap_or((it, "")))
        .map(|(name, value)| (name.trim(), value.trim().trim_matches('"')))
        .collect();
    let quality = parameters.iter().find(|it| it.0 == "q").and_then(|it| it.1.parse().ok());
    Clause { kind: essence(text), parameters, quality: quality.unwrap_or(1.0) }
}

fn wanted(clause: &Clause<'_>) -> Option<Wanted> {
    let encoding = match clause.kind.as_str() {
        JSON | "*/*" | "application/*" => Encoding::Json,
        YAML => Encoding::Yaml,
        _ => return None,
    };
    let get = |name| clause.parameters.iter().find(|it| it.0 == name).map_or("", |it| it.1);
    let shape = match get("as") {
        "" => Shape::Plain,
        "Table" => Shape::Table,
        "PartialObjectMetadata" | "PartialObjectMetadataList" => Shape::Metadata,
        _ => return None,
    };
    let beta = match (shape, get("g"), get("v")) {
        (Shape::Plain, ..) | (_, "meta.k8s.io", "v1") => false,
        (_, "meta.k8s.io", "v1beta1") => true,
        _ => return None,
    };
    let pretty = matches!(get("pretty"), "1" | "true");
    Some(Wanted { encoding, shape, pretty, beta })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_best_clause_that_can_be_honoured_wins() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        for (accept, encoding, shape) in [
            ("", Encoding::Json, Shape::Plain),
            ("*/*", Encoding::Json, Shape::Plain),
            ("application/vnd.kubernetes.protobuf,application/json", Encoding::Json, Shape::Plain),
            ("application/json;q=0.5,application/yaml", Encoding::Yaml, Shape::Plain),
            (table, Encoding::Json, Shape::Table),
            ("application/json;as=Odd;v=v1;g=meta.k8s.io,*/*", Encoding::Json, Shape::Plain),
            (
                "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
                Encoding::Json,
                Shape::Metadata,
            ),
        ] {
            let wanted = negotiate(accept, Offer::Object).unwrap();
            assert_eq!((wanted.encoding, wanted.shape), (encoding, shape), "{accept}");
        }
        assert_eq!(negotiate("text/html", Offer::Custom).unwrap_err().code(), 406);
    }

    #[test]
    fn custom_resources_take_fewer_types() {
        let strategic = "application/strategic-merge-patch+json; charset=utf-8";
        assert_eq!(patch_kind(strategic, false).unwrap(), PatchKind::Strategic);
        assert_eq!(patch_kind(strategic, true).unwrap_err().code(), 415);
        assert_eq!(body_encoding(PROTOBUF, true).unwrap_err().code(), 415);
        assert_eq!(body_encoding("", true).unwrap(), Encoding::Json);
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_refused(text in ".{0,60}") {
            let _ = (negotiate(&text, Offer::Object), body_encoding(&text, false), patch_kind(&text, true));
        }
    }
}
