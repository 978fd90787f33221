//! Pure: the committed lists of what may differ, and the verdict on what does.

use std::collections::BTreeMap;

use super::Difference;

/// How many differences may be allowed for good.
const MOST: usize = 40;

/// Differences that are meant: exact places, each with a reason.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Allowed(BTreeMap<(String, String), String>);

/// Scripts with differences that nobody has worked on yet, and how many they are at most.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pending(pub BTreeMap<String, usize>);

impl Allowed {
    /// Reads lines `SCRIPT PATH REASON`.
    ///
    /// # Errors
    ///
    /// What is wrong with the list.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut entries = BTreeMap::new();
        for line in lines(text) {
            let mut parts = line.splitn(3, ' ');
            let (Some(script), Some(path), Some(reason)) =
                (parts.next(), parts.next(), parts.next())
            else {
                return Err(format!("no script, path and reason: {line}"));
            };
            let path = path.replace("%20", " ");
            if path.contains('*') {
                return Err(format!("not an exact path: {line}"));
            }
            entries.insert((script.to_owned(), path), reason.to_owned());
        }
        if MOST < entries.len() {
            return Err(format!("{} entries, {MOST} are too many already", entries.len()));
        }
        Ok(Self(entries))
    }
}

impl Pending {
    /// Reads lines `SCRIPT COUNT`; nothing if one is not such.
    pub fn parse(text: &str) -> Option<Self> {
        let entry = |line: &str| {
            let (script, count) = line.split_once(' ')?;
            Some((script.to_owned(), count.parse().ok()?))
        };
        lines(text).map(entry).collect::<Option<_>>().map(Self)
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Returns what is wrong: differences on no list, and entries of lists for what no longer differs.
pub fn judge(found: &[Difference], allowed: &Allowed, pending: &Pending) -> Vec<String> {
    let place = |it: &Difference| (it.script.clone(), it.path.clone());
    let mut wrong = Vec::new();
    for (script, path) in allowed.0.keys() {
        if !found.iter().any(|it| it.script == *script && it.path == *path) {
            wrong.push(format!("allowed, but no longer different: {script} {path}"));
        }
    }
    let mut left: BTreeMap<&str, Vec<&Difference>> = BTreeMap::new();
    for difference in found.iter().filter(|it| !allowed.0.contains_key(&place(it))) {
        left.entry(&difference.script).or_default().push(difference);
    }
    for (script, differences) in &left {
        let most = pending.0.get(*script).copied().unwrap_or(0);
        if most < differences.len() {
            let texts: Vec<_> = differences.iter().map(ToString::to_string).collect();
            let count = differences.len();
            wrong.push(format!("{script}: {count}, pending are {most}\n{}", texts.join("\n")));
        }
    }
    for script in pending.0.keys().filter(|script| !left.contains_key(script.as_str())) {
        wrong.push(format!("pending, but without a difference: {script}"));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verdict(allowed: &str, pending: &str) -> Vec<String> {
        let (script, path) = ("s".to_owned(), "get/code".to_owned());
        let found = [Difference { script, path, expected: json!(1), actual: json!(2) }];
        let wrong =
            judge(&found, &Allowed::parse(allowed).unwrap(), &Pending::parse(pending).unwrap());
        wrong.iter().map(|text| text.lines().next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn a_difference_is_allowed_or_pending_or_wrong() {
        assert_eq!(verdict("", ""), ["s: 1, pending are 0"]);
        assert_eq!(verdict("s get/code meant\n", ""), [""; 0]);
        assert_eq!(verdict("", "s 1"), [""; 0]);
        assert_eq!(
            verdict("s get/code meant\ns get/x meant", "s 1"),
            ["allowed, but no longer different: s get/x", "pending, but without a difference: s"]
        );
    }

    #[test]
    fn allowing_needs_a_reason_and_an_exact_place() {
        assert!(Allowed::parse("s get/code").is_err());
        assert!(Allowed::parse("s get/* because").is_err());
        let many: Vec<_> = (0..=MOST).map(|index| format!("s p{index} because")).collect();
        assert!(Allowed::parse(&many.join("\n")).is_err());
    }
}
