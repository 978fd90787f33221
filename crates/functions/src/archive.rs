//! Pure: which entries of an archive are unpacked, and where to.
//!
//! An archive comes from whoever wrote the Function. Nothing in it may reach what lies outside of the
//! directory that it is unpacked into, neither while it is unpacked nor by its links later on.

use std::collections::BTreeMap;

use thiserror::Error;

/// How many entries an archive may have, with the directories that their names imply.
pub(crate) const MOST_ENTRIES: usize = 50_000;
/// How many bytes the files of an archive may have.
pub(crate) const MOST_BYTES: u64 = 1 << 30;
/// How many bytes one part of a path may have, and all of it: what file systems take, and less than they do.
const LONGEST_NAMES: (usize, usize) = (255, 2048);

/// What a tar file is compressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    /// Nothing.
    None,
    /// gzip.
    Gzip,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
    /// Zstandard.
    Zstd,
}

/// An entry as the archive has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its path.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// A directory.
    Directory,
    /// A file with its own bytes.
    File,
    /// A symbolic link to a path, which counts from the link.
    Link(String),
    /// Another name for a file of the archive.
    Same(String),
    /// A device, or something else that is no file.
    Special,
}

/// What is to be done for an entry. Paths count from the directory that is unpacked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing.
    Nothing,
    /// Make a directory.
    Directory(String),
    /// Write a file, perhaps in the place of an earlier one.
    File(String),
    /// Make a symbolic link.
    Link {
        /// Where.
        path: String,
        /// To what, as the link will say it.
        target: String,
    },
    /// Copy a file that was written before.
    Copy {
        /// Where.
        path: String,
        /// The file.
        from: String,
    },
}

/// Why an archive is not unpacked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum ArchiveError {
    /// Its bytes mean nothing.
    #[error("the archive cannot be read: {0}")]
    Unreadable(String),
    /// No file can have such a name.
    #[error("the name or target of entry `{0:.60}` of the archive is none that a file can have")]
    Name(String),
    /// The name of an entry leads elsewhere.
    #[error("entry `{0}` of the archive leads outside of it")]
    Outside(String),
    /// A link leads elsewhere.
    #[error("link `{name}` of the archive leads outside of it, to `{target}`")]
    LinkOutside {
        /// The link.
        name: String,
        /// Where it leads.
        target: String,
    },
    /// An entry is another name of something that is no file.
    #[error(
        "entry `{name}` of the archive is another name of `{target}`, which is no file before it"
    )]
    NoFile {
        /// The entry.
        name: String,
        /// What it names.
        target: String,
    },
    /// A path leads through something that is no directory.
    #[error(
        "entry `{0}` of the archive leads through what is no directory, or takes the place of one"
    )]
    Blocked(String),
    /// An entry is a device or the like.
    #[error("entry `{0}` of the archive is neither file, directory nor link")]
    Special(String),
    /// There are too many entries.
    #[error("the archive has more than {MOST_ENTRIES} entries")]
    TooMany,
    /// There are too many bytes.
    #[error("the files of the archive have more than {MOST_BYTES} bytes")]
    TooLarge,
}

/// How much may be unpacked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How many entries there may be.
    pub entries: usize,
    /// How many bytes their files may have.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: MOST_ENTRIES, bytes: MOST_BYTES }
    }
}

/// What was unpacked so far. The directory is empty at first, so this is all there is in it.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// What may still be unpacked.
    left: Limits,
    seen: BTreeMap<String, Kind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
    Link,
}

impl Compression {
    /// Tells by the first bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        const MAGIC: [(&[u8], Compression); 4] = [
            (b"\x1f\x8b", Compression::Gzip),
            (b"BZh", Compression::Bzip2),
            (b"\xfd7zXZ\0", Compression::Xz),
            (b"\x28\xb5\x2f\xfd", Compression::Zstd),
        ];
        let known = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic));
        known.map_or(Self::None, |(_, compression)| *compression)
    }
}

impl Ledger {
    /// Returns the ledger of an empty directory.
    pub(crate) fn new(left: Limits) -> Self {
        Self { left, seen: BTreeMap::new() }
    }

    /// Takes note of an entry and says what is to be done for it.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`] if the archive must not be unpacked.
    pub(crate) fn admit(&mut self, entry: &Entry) -> Result<Step, ArchiveError> {
        let name = &entry.name;
        self.count()?;
        if !can_be_named(entry) {
            return Err(ArchiveError::Name(name.clone()));
        }
        let parts = inside(name).ok_or_else(|| ArchiveError::Outside(name.clone()))?;
        let blocked = || ArchiveError::Blocked(name.clone());
        let Some((_, parents)) = parts.split_last() else {
            // `./` is the directory itself, which is there.
            let is_directory = entry.kind == EntryKind::Directory;
            return is_directory.then_some(Step::Nothing).ok_or_else(blocked);
        };
        self.open(parents, name)?;
        let path = parts.join("/");
        let (kind, step) = self.step(entry, &path, parents.len())?;
        let before = self.seen.get(&path);
        if before.is_some_and(|it| (*it == Kind::Directory) != (kind == Kind::Directory)) {
            return Err(blocked());
        }
        self.seen.insert(path, kind);
        Ok(step)
    }

    /// Takes note of bytes that were unpacked.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::TooLarge`] if they are too many by now.
    pub(crate) fn charge(&mut self, bytes: u64) -> Result<(), ArchiveError> {
        self.left.bytes = self.left.bytes.checked_sub(bytes).ok_or(ArchiveError::TooLarge)?;
        Ok(())
    }

    fn count(&mut self) -> Result<(), ArchiveError> {
        self.left.entries = self.left.entries.checked_sub(1).ok_or(ArchiveError::TooMany)?;
        Ok(())
    }

    /// Says what is to be done for an entry at a path that lies so many directories deep.
    fn step(&self, entry: &Entry, path: &str, depth: usize) -> Result<(Kind, Step), ArchiveError> {
        let (name, own) = (&entry.name, path.to_owned());
        Ok(match &entry.kind {
            EntryKind::Directory => (Kind::Directory, Step::Directory(own)),
            EntryKind::File => (Kind::File, Step::File(own)),
            EntryKind::Link(target) => {
                let (name, target) = (name.clone(), target.clone());
                if !stays_inside(&target, depth) {
                    return Err(ArchiveError::LinkOutside { name, target });
                }
                (Kind::Link, Step::Link { path: own, target })
            }
            EntryKind::Same(target) => {
                let from = inside(target).map(|parts| parts.join("/"));
                let is_file =
                    |from: &String| from != path && self.seen.get(from) == Some(&Kind::File);
                let from = from.filter(is_file).ok_or_else(|| ArchiveError::NoFile {
                    name: name.clone(),
                    target: target.clone(),
                })?;
                (Kind::File, Step::Copy { path: own, from })
            }
            EntryKind::Special => return Err(ArchiveError::Special(name.clone())),
        })
    }

    /// Takes note of the directories that the path of an entry leads through.
    ///
    /// A path through a link would be written to where the link leads. Directories that come into being by the way
    /// count like any other: deep paths would cost more than all else.
    fn open(&mut self, parents: &[&str], name: &str) -> Result<(), ArchiveError> {
        let mut path = String::new();
        for part in parents {
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(part);
            match self.seen.get(&path) {
                Some(Kind::Directory) => {}
                Some(_) => return Err(ArchiveError::Blocked(name.to_owned())),
                None => {
                    self.count()?;
                    self.seen.insert(path.clone(), Kind::Directory);
                }
            }
        }
        Ok(())
    }
}

/// Returns whether a file can have the name of an entry, and lead to where it does.
fn can_be_named(entry: &Entry) -> bool {
    let (part, whole) = LONGEST_NAMES;
    let is_usual = |path: &str| {
        path.len() <= whole && !path.contains('\0') && path.split('/').all(|it| it.len() <= part)
    };
    let target = match &entry.kind {
        EntryKind::Link(target) | EntryKind::Same(target) => target.as_str(),
        EntryKind::Directory | EntryKind::File | EntryKind::Special => "",
    };
    is_usual(&entry.name) && is_usual(target)
}

/// Returns the parts of a path that has no way out of where it begins.
fn inside(path: &str) -> Option<Vec<&str>> {
    let parts = path.split('/').filter(|part| !part.is_empty() && *part != ".");
    let parts: Vec<_> = parts.collect();
    (!path.starts_with('/') && !parts.contains(&"..")).then_some(parts)
}

/// Returns whether a link that lies so many directories deep leads to something within.
///
/// Behind the first name `..` may mean anything, as that name may be a link: it is not allowed there.
fn stays_inside(target: &str, depth: usize) -> bool {
    let parts: Vec<_> = target.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let up = parts.iter().take_while(|part| **part == "..").count();
    !target.is_empty()
        && !target.starts_with('/')
        && up <= depth
        && !parts.iter().skip(up).any(|part| *part == "..")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn admit(entries: &[(&str, EntryKind)]) -> Result<Vec<Step>, ArchiveError> {
        let mut ledger = Ledger::default();
        let entries = entries
            .iter()
            .map(|(name, kind)| Entry { name: (*name).to_owned(), kind: kind.clone() });
        entries.map(|entry| ledger.admit(&entry)).collect()
    }

    fn link(target: &str) -> EntryKind {
        EntryKind::Link(target.to_owned())
    }

    fn same(target: &str) -> EntryKind {
        EntryKind::Same(target.to_owned())
    }

    #[test]
    fn what_leads_outside_is_told() {
        use EntryKind::{Directory, File, Special};
        for (entries, words) in [
            (vec![("/etc/x", File)], "leads outside"),
            (vec![("../x", File)], "leads outside"),
            (vec![("a/../../x", File)], "leads outside"),
            (vec![("a/..", Directory)], "leads outside"),
            (vec![("a", link("/etc"))], "leads outside"),
            (vec![("a", link("../x"))], "leads outside"),
            (vec![("d/a", link("../../x"))], "leads outside"),
            (vec![("d/a", link("b/../../.."))], "leads outside"),
            (vec![("a", link(""))], "leads outside"),
            (vec![("a", same("/etc/passwd"))], "no file before it"),
            (vec![("a", same("../x"))], "no file before it"),
            (vec![("l", link("d")), ("a", same("l"))], "no file before it"),
            (vec![("l", link("d")), ("l/x", File)], "no directory"),
            (vec![("f", File), ("f/x", File)], "no directory"),
            (vec![("d", Directory), ("d", link("x"))], "takes the place"),
            (vec![(".", File)], "no directory"),
            (vec![("dev", Special)], "neither file"),
        ] {
            let error = admit(&entries).unwrap_err().to_string();
            assert!(error.contains(words), "{entries:?}: {error}");
        }
    }

    #[test]
    fn what_stays_inside_is_unpacked() {
        use EntryKind::{Directory, File};
        let entries = [
            ("./", Directory),
            ("./d/", Directory),
            ("d//x", File),
            ("d/x", File),
            ("d/up", link("../d/x")),
            ("y", same("./d/x")),
        ];
        let file = || Step::File("d/x".to_owned());
        let expected = vec![
            Step::Nothing,
            Step::Directory("d".to_owned()),
            file(),
            file(),
            Step::Link { path: "d/up".to_owned(), target: "../d/x".to_owned() },
            Step::Copy { path: "y".to_owned(), from: "d/x".to_owned() },
        ];
        assert_eq!(admit(&entries), Ok(expected));
    }

    #[test]
    fn names_that_no_file_can_have_are_told() {
        use EntryKind::File;
        let (part, whole) = ("x".repeat(256), "x/".repeat(1025));
        for (name, kind) in [
            (part.as_str(), File),
            (whole.as_str(), File),
            ("a\0b", File),
            ("a", link("b\0c")),
            ("a", link(&part)),
        ] {
            let error = admit(&[(name, kind)]).unwrap_err();
            assert_eq!(error, ArchiveError::Name(name.to_owned()));
            assert!(error.to_string().len() < 200, "{error}");
        }
    }

    #[test]
    fn archives_have_their_limits() {
        let limited = |entries, bytes| Ledger::new(Limits { entries, bytes });
        let file = |name: &str| Entry { name: name.to_owned(), kind: EntryKind::File };
        let mut ledger = limited(4, 9);
        assert!(ledger.admit(&file("a/b/x")).is_ok());
        assert!(ledger.admit(&file("a/b/y")).is_ok());
        assert_eq!(ledger.admit(&file("x")), Err(ArchiveError::TooMany));
        assert_eq!(limited(3, 9).admit(&file("a/b/c/x")), Err(ArchiveError::TooMany));
        assert_eq!(ledger.charge(9), Ok(()));
        assert_eq!(ledger.charge(1), Err(ArchiveError::TooLarge));
        assert_eq!(ledger.charge(u64::MAX), Err(ArchiveError::TooLarge));
    }

    #[test]
    fn compression_is_known_by_its_first_bytes() {
        assert_eq!(Compression::of(b"\x1f\x8b\x08"), Compression::Gzip);
        assert_eq!(Compression::of(b"BZh9"), Compression::Bzip2);
        assert_eq!(Compression::of(b"x.py\0"), Compression::None);
        assert_eq!(Compression::of(b""), Compression::None);
    }

    /// Follows a path as the system would; nothing if it leaves the directory, or goes on for ever.
    fn follow(links: &BTreeMap<String, String>, path: &str) -> Option<Vec<String>> {
        let mut rest: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut at: Vec<String> = Vec::new();
        for _ in 0..500 {
            let Some(part) = rest.pop() else { return Some(at) };
            match part.as_str() {
                "" | "." => {}
                ".." => drop(at.pop()?),
                _ => {
                    at.push(part);
                    if let Some(target) = links.get(&at.join("/")) {
                        at.pop();
                        if target.starts_with('/') {
                            return None;
                        }
                        rest.extend(target.split('/').rev().map(str::to_owned));
                    }
                }
            }
        }
        // The system gives up on links in a circle as well.
        Some(at)
    }

    fn path() -> impl Strategy<Value = String> {
        let part = prop_oneof![Just("a"), Just("b"), Just("c"), Just(".."), Just("."), Just("")];
        proptest::collection::vec(part, 1..5).prop_map(|parts| parts.join("/"))
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let kind = prop_oneof![
            Just(EntryKind::Directory),
            Just(EntryKind::File),
            path().prop_map(EntryKind::Link),
            path().prop_map(EntryKind::Same),
        ];
        (path(), kind).prop_map(|(name, kind)| Entry { name, kind })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        /// Breaks when `inside` lets `..` pass.
        #[test]
        fn nothing_that_was_admitted_leads_outside(entries in proptest::collection::vec(entry(), 1..12)) {
            let mut ledger = Ledger::default();
            let mut links = BTreeMap::new();
            // What is refused ends the archive, but more is found out by going on.
            let admitted = entries.iter().map(|entry| ledger.admit(entry)).filter_map(Result::ok);
            for step in admitted {
                let (path, target) = match step {
                    Step::Nothing => continue,
                    Step::Directory(path) | Step::File(path) => (path, None),
                    Step::Link { path, target } => (path, Some(target)),
                    Step::Copy { path, from } => {
                        prop_assert_eq!(follow(&links, &from).map(|it| it.join("/")), Some(from));
                        (path, None)
                    }
                };
                // It is written to where its name says, whatever links there are.
                let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
                prop_assert_eq!(follow(&links, parent).map(|it| it.join("/")), Some(parent.to_owned()));
                links.remove(&path);
                links.extend(target.map(|target| (path, target)));
            }
            for link in links.keys() {
                prop_assert!(follow(&links, link).is_some(), "{link} in {links:?}");
            }
        }
    }
}
