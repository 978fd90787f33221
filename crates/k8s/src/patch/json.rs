//! Pure: JSON patches, RFC 6902, with bounds on what they may build.

use json_patch::{PatchErrorKind, PatchOperation, jsonptr::Pointer};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use crate::json::{MAX_DEPTH, is_too_deep, same};

/// How many operations one patch may have.
const MAX_OPERATIONS: usize = 10_000;

/// How many values, with the bytes of their texts, one patch may copy within the target.
const MAX_COPIED: usize = 3 << 20;

/// Why a JSON patch did not apply.
#[derive(Debug, Error)]
pub enum PatchError {
    /// The patch is not a list of operations.
    #[error("a JSON patch must be a list of operations")]
    NotAList,
    /// An operation lacks a field, or has one that cannot be.
    #[error("operation {index} of the patch is malformed")]
    Malformed {
        /// Which operation, counted from 0.
        index: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The patch has too many operations.
    #[error("the patch has {count} operations, more than {MAX_OPERATIONS}")]
    TooManyOperations {
        /// How many it has.
        count: usize,
    },
    /// An operation does not go with the target.
    #[error("operation {index} of the patch failed at `{path}`: {reason}")]
    Failed {
        /// Which operation, counted from 0.
        index: usize,
        /// The path it changes or tests.
        path: String,
        /// Why it failed.
        reason: &'static str,
    },
    /// The patch copies more than a target may hold.
    #[error("operation {index} of the patch copies too much")]
    CopiesTooMuch {
        /// Which operation, counted from 0.
        index: usize,
    },
    /// The result is nested too deep.
    #[error("the patched value is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

impl PatchError {
    /// Returns whether the patch itself is wrong, whatever it is applied to.
    pub fn is_syntax(&self) -> bool {
        match self {
            Self::NotAList | Self::Malformed { .. } | Self::TooManyOperations { .. } => true,
            Self::Failed { .. } | Self::CopiesTooMuch { .. } | Self::TooDeep => false,
        }
    }
}

/// Applies a JSON patch: all of its operations, or none.
pub fn json(target: &mut Value, patch: &Value) -> Result<(), PatchError> {
    let operations = decode(patch)?;
    let mut patched = target.clone();
    let mut budget = MAX_COPIED;
    for (index, operation) in operations.into_iter().enumerate() {
        if let PatchOperation::Copy(copy) = &operation {
            let size = patched.pointer(copy.from.as_str()).map_or(0, size);
            budget = budget.checked_sub(size).ok_or(PatchError::CopiesTooMuch { index })?;
        }
        let path = operation.path().to_string();
        apply(&mut patched, operation).map_err(|reason| PatchError::Failed {
            index,
            path,
            reason,
        })?;
    }
    if is_too_deep(&patched) {
        return Err(PatchError::TooDeep);
    }
    *target = patched;
    Ok(())
}

fn decode(patch: &Value) -> Result<Vec<PatchOperation>, PatchError> {
    let operations = patch.as_array().ok_or(PatchError::NotAList)?;
    let count = operations.len();
    if count > MAX_OPERATIONS {
        return Err(PatchError::TooManyOperations { count });
    }
    let decoded = operations.iter().enumerate().map(|(index, operation)| {
        PatchOperation::deserialize(operation)
            .map_err(|source| PatchError::Malformed { index, source })
    });
    decoded.collect()
}

fn apply(target: &mut Value, operation: PatchOperation) -> Result<(), &'static str> {
    match operation {
        // The library tells `1` from `1.0`, the standard does not.
        PatchOperation::Test(test) => match target.pointer(test.path.as_str()) {
            Some(value) if same(value, &test.value) => Ok(()),
            Some(_) => Err("the value is another"),
            None => Err("there is no such path"),
        },
        PatchOperation::Move(step) if step.from == step.path => exists(target, &step.from),
        operation => {
            json_patch::patch_unsafe(target, &[operation]).map_err(|error| match error.kind {
                PatchErrorKind::InvalidFromPointer => "there is no such path to take from",
                PatchErrorKind::CannotMoveInsideItself => "a value cannot move into itself",
                _ => "there is no such path",
            })
        }
    }
}

fn exists(target: &Value, path: &Pointer) -> Result<(), &'static str> {
    target.pointer(path.as_str()).map(|_| ()).ok_or("there is no such path to take from")
}

fn size(value: &Value) -> usize {
    1 + match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(fields) => fields.iter().map(|(key, value)| key.len() + size(value)).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "calls read better with `json!` alone")]
    fn patched(mut target: Value, patch: Value) -> Result<Value, String> {
        json(&mut target, &patch).map(|()| target).map_err(|error| error.to_string())
    }

    #[test]
    fn operations_apply_in_order() {
        assert_eq!(
            patched(
                json!({"a": [1, 3], "b": {"x/y": 1}, "c": 1.0}),
                json!([
                    {"op": "add", "path": "/a/1", "value": 2},
                    {"op": "add", "path": "/a/-", "value": 4},
                    {"op": "remove", "path": "/b/x~1y"},
                    {"op": "replace", "path": "/b", "value": {"z": null}},
                    {"op": "copy", "from": "/a", "path": "/d"},
                    {"op": "move", "from": "/d/0", "path": "/e"},
                    {"op": "move", "from": "/e", "path": "/e"},
                    {"op": "test", "path": "/c", "value": 1}])
            ),
            Ok(json!({"a": [1, 2, 3, 4], "b": {"z": null}, "c": 1.0, "d": [2, 3, 4], "e": 1}))
        );
    }

    #[test]
    fn a_failing_operation_leaves_the_target_alone() {
        let mut target = json!({"a": 1});
        let patch = json!([
            {"op": "remove", "path": "/a"}, {"op": "test", "path": "/a", "value": 1}]);
        let error = json(&mut target, &patch).unwrap_err();
        assert!(!error.is_syntax());
        assert_eq!(
            error.to_string(),
            "operation 1 of the patch failed at `/a`: there is no such path"
        );
        assert_eq!(target, json!({"a": 1}));
        assert!(patched(json!({}), json!([{"op": "remove", "path": "/a"}])).is_err());
        assert!(patched(json!([]), json!([{"op": "add", "path": "/2", "value": 1}])).is_err());
        assert!(
            patched(json!({"a": {}}), json!([{"op": "move", "from": "/a", "path": "/a/b"}]))
                .is_err()
        );
    }

    #[test]
    fn bad_syntax_is_told_apart() {
        let many = vec![json!({"op": "test", "path": "", "value": 1}); 10_001];
        for patch in [
            json!({}),
            json!([{"op": "grow", "path": "/a"}]),
            json!([{"op": "add", "path": "/a"}]),
            json!([{"op": "remove", "path": "a"}]),
            json!(many),
        ] {
            assert!(json(&mut json!({}), &patch).unwrap_err().is_syntax());
        }
    }

    #[test]
    fn a_patch_cannot_grow_without_bound() {
        let doubling = vec![json!({"op": "copy", "from": "", "path": "/-"}); 100];
        assert_eq!(
            patched(json!(["x"]), json!(doubling)).unwrap_err(),
            "operation 20 of the patch copies too much"
        );
        let deepening =
            (0..600).map(|depth| json!({"op": "add", "path": "/a".repeat(depth + 1), "value": {}}));
        assert_eq!(
            patched(json!({}), deepening.collect()).unwrap_err(),
            "the patched value is nested deeper than 512 levels"
        );
    }

    fn patches() -> impl Strategy<Value = Value> {
        let path = || "(/[ab012~-]{1,2}){0,3}";
        let value =
            || prop_oneof![Just(json!(1)), Just(json!([1, {"a": 2}])), Just(json!({"b": []}))];
        let operation = ("add|remove|replace|move|copy|test", path(), path(), value());
        let operation = operation.prop_map(
            |(op, path, from, value)| json!({"op": op, "path": path, "from": from, "value": value}),
        );
        prop::collection::vec(operation, 0..8).prop_map(Value::from)
    }

    proptest! {
        #[test]
        fn a_patch_applies_whole_or_not_at_all(patch in patches()) {
            let before = json!({"a": [1, 2, {"b": 3}], "b": {"a": 1}});
            let mut target = before.clone();
            if json(&mut target, &patch).is_err() {
                prop_assert_eq!(target, before);
            }
        }
    }
}
