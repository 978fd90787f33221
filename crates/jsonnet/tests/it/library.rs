//! The standard library, the native functions and `kubecfg.libsonnet`.

use jsonnet::ErrorKind;
use serde_json::{Value, json};

use crate::harness::Hooks;

/// Every public member of `std` in version 0.22 of the language.
const STD: &str = "abs acos all any asciiLower asciiUpper asin assertEqual atan atan2 avg base64 \
    base64Decode base64DecodeBytes ceil char clamp codepoint contains cos count decodeUTF8 deepJoin \
    deg2rad encodeUTF8 endsWith equals equalsIgnoreCase escapeStringBash escapeStringDollars \
    escapeStringJson escapeStringPython escapeStringXML exp exponent extVar filter filterMap find \
    findSubstr flatMap flattenArrays flattenDeepArray floor foldl foldr format get hypot id isArray \
    isBoolean isDecimal isEmpty isEven isFunction isInteger isNull isNumber isObject isOdd isString \
    join length lines log log10 log2 lstripChars makeArray manifestIni manifestJson manifestJsonEx \
    manifestJsonMinified manifestPython manifestPythonVars manifestToml manifestTomlEx \
    manifestXmlJsonml manifestYamlDoc manifestYamlStream mantissa map mapWithIndex mapWithKey max \
    maxArray md5 member mergePatch min minArray mod modulo native objectFields objectFieldsAll \
    objectFieldsEx objectHas objectHasAll objectHasEx objectKeysValues objectKeysValuesAll \
    objectRemoveKey objectValues objectValuesAll parseHex parseInt parseJson parseOctal parseYaml pi \
    pow primitiveEquals prune rad2deg range remove removeAt repeat resolvePath reverse round \
    rstripChars set setDiff setInter setMember setUnion sha1 sha256 sha3 sha512 sign sin slice sort \
    split splitLimit splitLimitR sqrt startsWith strReplace stringChars stripChars substr sum tan \
    thisFile toString trace trim type uniq xnor xor";

/// Evaluates an expression in which `k` is the library; an error is its kind and first line.
async fn value(expression: &str) -> Result<Value, (ErrorKind, String)> {
    let program = format!("local k = import 'kubecfg.libsonnet'; {expression}");
    let hooks = Hooks::new(&[("a.jsonnet", &program)]).await;
    match hooks.call("a", "null").await {
        Ok(text) => Ok(serde_json::from_str(&text).unwrap()),
        Err(error) => Err((error.kind, error.message().to_owned())),
    }
}

#[tokio::test]
async fn the_standard_library_is_complete() {
    let missing =
        format!("[n for n in std.split('{STD}', ' ') if n != '' && !std.objectHasAll(std, n)]");
    assert_eq!(value(&missing).await, Ok(json!([])));
}

/// Sabotage: the library not looked for.
#[tokio::test]
async fn acceptance_16_the_library_needs_no_search_path() {
    assert_eq!(value("k.isK8sObject({apiVersion: 'v1', kind: 'Pod'})").await, Ok(json!(true)));
    let files = [("kubecfg.libsonnet", "'mine'"), ("a.jsonnet", "import 'kubecfg.libsonnet'")];
    let hooks = Hooks::new(&files).await;
    assert_eq!(hooks.call("a", "null").await.unwrap(), "\"mine\"\n");
}

/// Sabotage: one document returned as itself.
#[tokio::test]
async fn acceptance_17_yaml_is_read_and_written() {
    assert_eq!(value("k.parseYaml('mode: 0644')").await, Ok(json!([{"mode": 420}])));
    assert_eq!(value("k.parseYaml('')").await, Ok(json!([])));
    let text = value("k.manifestYaml({a:'yes',b:[1]})").await;
    assert_eq!(text, Ok(json!("a: \"yes\"\nb:\n- 1\n")));
    assert_eq!(value("std.parseYaml('a: 08')").await, Ok(json!({"a": 8})));
}

/// Sabotage: `$1W` read as group 1.
#[tokio::test]
async fn acceptance_18_regular_expressions_are_those_of_re2() {
    let text = value("k.regexSubst('a(x*)b', '-ab-axxb-', '${1}W')").await;
    assert_eq!(text, Ok(json!("-W-xxW-")));
    assert_eq!(value("k.escapeStringRegex('a-b.c')").await, Ok(json!("a-b\\.c")));
    let (kind, message) = value("k.regexMatch('(?=x)', 'x')").await.unwrap_err();
    assert_eq!(kind, ErrorKind::Runtime);
    assert!(message.starts_with("RUNTIME ERROR: regexMatch: error parsing regexp: "), "{message}");
}

/// Sabotage: capitals allowed in names.
#[tokio::test]
async fn acceptance_19_images_are_named_in_full() {
    let image = value("k.resolveImage('busybox')").await;
    assert_eq!(image, Ok(json!("docker.io/library/busybox:latest")));
    assert_eq!(value("k.resolveImage('UPPER')").await.unwrap_err().0, ErrorKind::Runtime);
}

/// Sabotage: the assertion in `named` removed.
#[tokio::test]
async fn acceptance_21_objects_are_grouped() {
    let pod = |name: &str, namespace: &str| {
        format!("{{apiVersion: 'v1', kind: 'Pod', metadata: {{name: '{name}', {namespace}}}}}")
    };
    let (a, b) = (pod("a", "namespace: 'n'"), pod("b", ""));
    let fold = |objects: &str| format!("k.fold(k.layouts.gvkNsName, {objects}, {{}})");
    let grouped = value(&fold(&format!("{{x: [{a}], y: {b}, z: null}}"))).await.unwrap();
    assert_eq!(grouped["v1.Pod"]["n"]["a"]["metadata"]["name"], "a");
    assert_eq!(grouped["v1.Pod"]["_"]["b"]["metadata"]["name"], "b");
    assert_eq!(value(&fold(&format!("[{a}, {a}]"))).await.unwrap_err().0, ErrorKind::Runtime);
    let (_, message) = value(&fold("[7]")).await.unwrap_err();
    let expected = "o must be an object or array of k8s objects, found number";
    assert_eq!(message, format!("RUNTIME ERROR: {expected}"));
}

#[tokio::test]
async fn helpers_of_the_library() {
    for (expression, expected) in [
        ("{a: {b: 1, c: [1]}} + k.toOverlay({a: {c: [2]}})", json!({"a": {"b": 1, "c": [2]}})),
        ("k.toOverlay(3)", json!(3)),
        ("k.getPath({a: {b:: 1}}, 'a.b')", json!(1)),
        ("k.getPath({a: {b:: 1}}, 'a.b', 'no', inc_hidden=false)", json!("no")),
        ("k.getPath({a: 1}, 'a.b.c')", json!(null)),
        (
            "[k.objectHasPath({a: {b:: 1}}, 'a.b'), k.objectHasPathAll({a: {b:: 1}}, 'a.b')]",
            json!([false, true]),
        ),
        (
            "k.deepMap(function(o) o {x: 1}, [{apiVersion: 'v1', kind: 'List', items: [{a: 1}]}, null])",
            json!([{"apiVersion": "v1", "kind": "List", "items": [{"a": 1, "x": 1}]}, null]),
        ),
        ("std.parseJson(k.manifestJson({a: [1]}))", json!({"a": [1]})),
    ] {
        assert_eq!(value(expression).await, Ok(expected), "{expression}");
    }
}
