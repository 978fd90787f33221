//! Pure: the rules for one file.

use crate::tidy::{
    finding::Finding,
    source::{blank, without_tests},
};

const LONGEST_FILE: usize = 1200;
const PURE: &str = "//! Pure: ";
/// What `std` has that a pure file may not name.
const IMPURE_MODULES: &[&str] = &["fs", "env", "process", "thread"];
const IMPURE_CRATES: &[&str] =
    &["kube", "hyper", "hyper_util", "rand", "fastrand", "getrandom", "notify", "rustix"];
/// Sockets are named one by one, since an IP address from `std::net` is a value like any other.
const IMPURE_WORDS: &[&str] = &[
    "async",
    "await",
    "SystemTime",
    "Instant",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "ToSocketAddrs",
    "UnixListener",
    "UnixStream",
    "UnixDatagram",
];
const PRINTING: &[&str] = &["print", "println", "eprint", "eprintln", "dbg"];
const UNFINISHED: &[&str] = &["todo", "unimplemented"];
const DOCUMENTED: &[&str] =
    &["fn", "struct", "enum", "union", "trait", "type", "const", "static", "async", "unsafe"];

/// Checks the name of a file of any kind.
pub(crate) fn check_name(path: &str) -> Option<Finding> {
    path.ends_with(".snap.new").then(|| Finding {
        path: path.to_owned(),
        line: 1,
        what: "a snapshot nobody has looked at".to_owned(),
        remedy: "accept it with `cargo insta review` or fix the code, and remove the file",
    })
}

/// Checks the text of a Rust file.
pub(crate) fn check_text(path: &str, text: &str) -> Vec<Finding> {
    let all = blank(text);
    let product = without_tests(&all);
    let mut file = File { path, findings: Vec::new() };
    file.check_length(text);
    file.check_unfinished(&all);
    if text.starts_with(PURE) {
        file.check_purity(&product);
    }
    if path.starts_with("crates/") && path.contains("/src/") && !path.ends_with("/tests.rs") {
        file.check_documentation(text, &product);
    }
    file.findings
}

struct File<'a> {
    path: &'a str,
    findings: Vec<Finding>,
}

impl File<'_> {
    fn report(&mut self, index: usize, what: impl Into<String>, remedy: &'static str) {
        let (path, what) = (self.path.to_owned(), what.into());
        self.findings.push(Finding { path, line: index + 1, what, remedy });
    }

    fn check_length(&mut self, text: &str) {
        let lines = text.lines().count();
        if LONGEST_FILE < lines {
            self.report(
                LONGEST_FILE,
                format!("{lines} lines in one file"),
                "split it by what it knows",
            );
        }
    }

    fn check_unfinished(&mut self, code: &str) {
        for (index, line) in code.lines().enumerate() {
            if line.contains("#[ignore") {
                let remedy = "assert what happens today and say what is wrong with it";
                self.report(index, "an ignored test", remedy);
            }
            if let Some(word) = UNFINISHED.iter().find(|word| calls_macro(line, word)) {
                let remedy = "write it, or answer a clear `not supported yet` error";
                self.report(index, format!("`{word}!`"), remedy);
            }
        }
    }

    fn check_purity(&mut self, code: &str) {
        let grouped = grouped_imports(code);
        let named = code.lines().enumerate().filter_map(|(at, line)| Some((at, impurity(line)?)));
        for (index, what) in named.chain(grouped) {
            let remedy = "move it to the shell and take its result as an argument";
            self.report(index, format!("a pure file names `{what}`"), remedy);
        }
    }

    fn check_documentation(&mut self, text: &str, code: &str) {
        let mut is_documented = false;
        let mut open_brackets = 0_isize;
        for (index, (line, code)) in text.lines().zip(code.lines()).enumerate() {
            let code = code.trim();
            if line.trim_start().starts_with("///") || code.starts_with("#[doc") {
                is_documented = true;
            } else if 0 < open_brackets || code.starts_with("#[") {
                open_brackets += balance(code);
            } else if !code.is_empty() {
                if let Some(item) = public_item(code).filter(|_| !is_documented) {
                    let what = format!("`{item}` has no documentation");
                    self.report(index, what, "say in one sentence what it is or does");
                }
                is_documented = false;
            }
        }
    }
}

/// Returns the item that a line makes public, without its body: `fn plan`.
fn public_item(line: &str) -> Option<String> {
    let mut words = line.strip_prefix("pub ")?.split_whitespace();
    let mut kind = words.next().filter(|word| DOCUMENTED.contains(word))?;
    let mut name = words.next()?;
    while DOCUMENTED.contains(&name) {
        (kind, name) = (name, words.next()?);
    }
    let end = name.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
    Some(format!("{kind} {}", &name[..end.unwrap_or(name.len())]))
}

fn balance(line: &str) -> isize {
    line.chars().map(|letter| isize::from(letter == '[') - isize::from(letter == ']')).sum()
}

/// Returns what a line of a pure file may not name.
fn impurity(line: &str) -> Option<String> {
    let printing = PRINTING.iter().find(|name| calls_macro(line, name));
    printing.map(|name| format!("{name}!")).or_else(|| {
        let found = paths(line).find(|path| is_impure(path))?;
        Some(found.join("::"))
    })
}

fn is_impure(path: &[&str]) -> bool {
    match path {
        ["tokio", next, ..] => *next != "sync",
        ["std", module, ..] if IMPURE_MODULES.contains(module) => true,
        [first, _, ..] if IMPURE_CRATES.contains(first) => true,
        [.., "Timestamp" | "Zoned", "now"] | [.., "Uuid", "new_v4"] => true,
        _ => path.iter().any(|word| IMPURE_WORDS.contains(word)),
    }
}

/// Returns the modules that a `use std::{...};` brings in and a pure file may not name.
fn grouped_imports(code: &str) -> Vec<(usize, String)> {
    const START: &str = "use std::{";
    let mut found = Vec::new();
    for (start, _) in code.match_indices(START) {
        let first_line = code[..start].lines().count().saturating_sub(1);
        let group = code[start + START.len()..].split(';').next().unwrap_or_default();
        let mut depth = 0_usize;
        for (index, line) in group.split('\n').enumerate() {
            for piece in line.split_inclusive(['{', '}', ',']) {
                let path = piece.trim_end_matches(['{', '}', ',']).trim();
                let module = path.split("::").next().unwrap_or_default();
                if depth == 0 && IMPURE_MODULES.contains(&module) {
                    found.push((first_line + index, format!("std::{module}")));
                }
                match piece.chars().last() {
                    Some('{') => depth += 1,
                    Some('}') => depth = depth.saturating_sub(1),
                    _ => {}
                }
            }
        }
    }
    found
}

fn calls_macro(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let starts_word = !before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
        starts_word && line[at + name.len()..].starts_with('!')
    })
}

/// Returns the paths of a line, each as its words: `std::fs::read` is three, `std::{` two, the last empty.
fn paths(line: &str) -> impl Iterator<Item = Vec<&str>> {
    line.split(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != ':')
        .map(|path| path.trim_start_matches(':').split("::"))
        .map(|words| words.map(|word| word.trim_end_matches(':')).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the findings as lines, without what to do.
    fn told(path: &str, text: &str) -> Vec<String> {
        let told = |finding: &Finding| format!("{}: {}", finding.line, finding.what);
        check_text(path, text).iter().map(told).collect()
    }

    fn impure(line: &str) -> Vec<String> {
        told("crates/a/tests/it/b.rs", &format!("{PURE}a.\n{line}\n"))
    }

    #[test]
    fn pure_files_decide_and_do_nothing_else() {
        for line in [
            "async fn a() {}",
            "let a = b().await;",
            "use tokio::time::sleep;",
            "use tokio::{sync, time};",
            "let a = std::time::Instant::now();",
            "let a = Timestamp::now();",
            "use rand::Rng;",
            "use kube::{Api, Client};",
            "use std::net::{SocketAddr, TcpStream};",
            "use std::{collections::BTreeMap, env};",
            "use std::{\n    env,\n};",
            "println!();",
            "fn a(client: &kube::Client) {}",
        ] {
            assert_eq!(impure(line).len(), 1, "{line}: {:?}", impure(line));
        }
    }

    #[test]
    fn pure_files_may_speak_of_what_they_do_not_do() {
        for line in [
            "// Never async: `std::fs` is for the shell.",
            "use tokio::sync::oneshot;",
            "use std::net::IpAddr;",
            "fn a(now: Timestamp) -> String { format!(\"{now}\") }",
            "use std::{collections::{btree_map, env}, fmt};",
            "let kube = env.process.net;",
            "let a: kube = b(tokio, c);",
            "#[cfg(test)]\nmod tests {\n  use std::fs;\n}",
            "let random = 4;",
        ] {
            assert_eq!(impure(line), Vec::<String>::new(), "{line}");
        }
    }

    #[test]
    fn other_files_may_name_anything() {
        assert_eq!(told("crates/a/src/b.rs", "//! Reads.\nuse std::fs;\n"), Vec::<String>::new());
    }

    #[test]
    fn public_items_say_what_they_are() {
        let text = "pub fn a() {}\n\n/// Documented.\n#[derive(\n    Debug,\n)]\npub struct B;\n\
            pub const fn c() {}\npub(crate) fn d() {}\npub use e::f;\npub mod g;\n    pub async fn h() {}\n\
            #[cfg(test)]\nmod tests {\n    pub fn i() {}\n}\n";
        assert_eq!(
            told("crates/a/src/b.rs", text),
            [
                "1: `fn a` has no documentation",
                "8: `fn c` has no documentation",
                "12: `fn h` has no documentation",
            ]
        );
        assert_eq!(told("crates/a/tests/it/b.rs", text), Vec::<String>::new());
    }

    #[test]
    fn nothing_is_left_undone() {
        let text = "//! Text: todo!() and #[ignore].\n#[ignore = \"slow\"]\nfn a() { todo!() }\n";
        assert_eq!(told("crates/a/tests/b.rs", text), ["2: an ignored test", "3: `todo!`"]);
    }

    #[test]
    fn long_files_are_told_once() {
        assert_eq!(told("xtask/src/a.rs", &"\n".repeat(1200)), Vec::<String>::new());
        assert_eq!(told("xtask/src/a.rs", &"\n".repeat(1201)), ["1201: 1201 lines in one file"]);
    }

    #[test]
    fn snapshots_nobody_looked_at_are_told() {
        let finding = check_name("crates/a/src/b.snap.new").unwrap();
        assert_eq!(
            finding.to_string(),
            "crates/a/src/b.snap.new:1: a snapshot nobody has looked at: \
             accept it with `cargo insta review` or fix the code, and remove the file"
        );
        assert_eq!(check_name("crates/a/src/b.snap"), None);
    }
}
