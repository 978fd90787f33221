use std::collections::BTreeMap;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// Some of them are there, outside.
const NAMES: [&str; 6] = ["a", "d/b", "d/c", "..", "/etc", "a/x"];

/// An entry of a tar file: its name, its type, where it leads and its bytes.
type Packed<'a> = (&'a str, tar::EntryType, &'a str, &'a [u8]);

/// Writes a tar file as nobody should.
fn tarred(entries: &[Packed<'_>]) -> Bytes {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, target, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        let old = header.as_old_mut();
        // The builder itself refuses names that lead outside.
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        old.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, *bytes).unwrap();
    }
    builder.into_inner().unwrap().into()
}

/// Writes a zip file of files and, where the bytes begin with `->`, links.
fn zipped(entries: &[(&str, &str)]) -> Bytes {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    for (name, text) in entries {
        if let Some(target) = text.strip_prefix("->") {
            writer.add_symlink(*name, target, options).unwrap();
        } else {
            writer.start_file(*name, options).unwrap();
            writer.write_all(text.as_bytes()).unwrap();
        }
    }
    writer.finish().unwrap().into_inner().into()
}

fn gzipped(bytes: &[u8]) -> Bytes {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(bytes).unwrap();
    gz.finish().unwrap().into()
}

/// Unpacks into a directory of its own, beside which nothing may appear.
fn unpacked(archive: Archive, bytes: &Bytes, limits: Limits) -> (TempDir, Result<(), UnpackError>) {
    let around = tempfile::tempdir().unwrap();
    let dir = around.path().join("here");
    fs::create_dir(&dir).unwrap();
    let result = unpack(archive, bytes, &dir, limits);
    assert_eq!(fs::read_dir(&around).unwrap().count(), 1, "{result:?}");
    (around, result)
}

fn refused(archive: Archive, bytes: &Bytes) -> String {
    let result = unpacked(archive, bytes, Limits::default()).1;
    match result {
        Err(UnpackError::Archive(error)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Breaks when `step` does not ask `stays_inside`.
#[test]
fn acceptance_5_archives_that_lead_outside_are_bad() {
    use tar::EntryType as Kind;
    for (entries, words) in [
        (vec![("../x", Kind::Regular, "", &b"x"[..])], "leads outside"),
        (vec![("/x", Kind::Regular, "", b"x")], "leads outside"),
        (vec![("l", Kind::Symlink, "/etc", b"")], "leads outside"),
        (vec![("d/l", Kind::Symlink, "../..", b"")], "leads outside"),
        (vec![("l", Kind::Symlink, "d", b""), ("l/x", Kind::Regular, "", b"x")], "no directory"),
        (vec![("h", Kind::Link, "/etc/passwd", b"")], "no file before it"),
        (vec![("h", Kind::Link, "../x", b"")], "no file before it"),
        (vec![("n", Kind::Block, "", b"")], "neither file"),
        (vec![("n", Kind::Char, "", b"")], "neither file"),
        (vec![("n", Kind::Fifo, "", b"")], "neither file"),
    ] {
        let told = refused(Archive::CompressedTar, &gzipped(&tarred(&entries)));
        assert!(told.contains(words), "{entries:?}: {told}");
    }
    for (entries, words) in [
        (vec![("../x", "x")], "leads outside"),
        (vec![("/x", "x")], "leads outside"),
        (vec![("l", "->/etc")], "leads outside"),
        (vec![("d/l", "->../..")], "leads outside"),
        (vec![("l", "->d"), ("l/x", "x")], "no directory"),
    ] {
        let told = refused(Archive::Zip, &zipped(&entries));
        assert!(told.contains(words), "{entries:?}: {told}");
    }
}

#[test]
fn names_that_are_no_text_are_refused() {
    let mut tar = tarred(&[("name", tar::EntryType::Regular, "", b"x")]).to_vec();
    tar[1] = 0xff;
    // The sum of the head is another one then.
    let sum: u32 = tar[..148].iter().chain(&tar[156..512]).map(|byte| u32::from(*byte)).sum();
    tar[148..156].copy_from_slice(format!("{:06o}\0 ", sum + 8 * 32).as_bytes());
    assert!(refused(Archive::CompressedTar, &tar.into()).contains("invalid utf-8"));
}

/// Breaks when `fill` charges nothing; when `open` counts no directories.
#[test]
fn what_grows_too_large_is_not_unpacked_to_its_end() {
    use tar::EntryType::{Link, Regular};
    let zeros = vec![0; 300_000];
    let few = Limits { bytes: 400_000, entries: 10 };
    let one = tarred(&[("a", Regular, "", &zeros)]);
    let copied = tarred(&[("a", Regular, "", &zeros), ("b", Link, "a", b"")]);
    let twice = tarred(&[("a", Regular, "", &zeros), ("a", Regular, "", &zeros)]);
    let deep = "d/".repeat(10) + "x";
    let deep = tarred(&[(&deep, Regular, "", b"")]);
    let wide: Vec<_> = (0..11).map(|number| number.to_string()).collect();
    let wide: Vec<_> = wide.iter().map(|name| (name.as_str(), Regular, "", &b""[..])).collect();
    let text = "0".repeat(300_000);
    let zip = zipped(&[("a", &text), ("b", &text)]);
    for (archive, bytes, words) in [
        (Archive::CompressedTar, gzipped(&copied), "more than"),
        (Archive::CompressedTar, gzipped(&twice), "more than"),
        (Archive::CompressedTar, deep, "more than"),
        (Archive::CompressedTar, tarred(&wide), "more than"),
        (Archive::Zip, zip, "more than"),
    ] {
        let (around, result) = unpacked(archive, &bytes, few);
        let told = result.unwrap_err().to_string();
        assert!(told.contains(words), "{told}");
        let files = fs::read_dir(around.path().join("here")).unwrap();
        let size: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
        assert!(size < few.bytes + PIECE as u64, "{size}");
    }
    assert!(unpacked(Archive::CompressedTar, &gzipped(&one), few).1.is_ok());
}

/// Breaks when nobody meters what is read between files.
#[test]
fn what_is_no_file_may_not_fill_the_memory() {
    let name = vec![b'x'; 2 << 20];
    let long = tarred(&[("long", tar::EntryType::GNULongName, "", &name)]);
    let told = refused(Archive::CompressedTar, &gzipped(&long));
    assert!(told.contains("the head of an entry is too long"), "{told}");
    // A size that is announced and never comes is no reason to wait for it.
    let told = refused(Archive::CompressedTar, &gzipped(&long[..4096]));
    assert!(told.starts_with("the archive cannot be read"), "{told}");

    let mut record = vec![0; 56];
    record[..4].copy_from_slice(b"PK\x06\x06");
    record[32..40].copy_from_slice(&u64::from(u32::MAX).to_le_bytes());
    let crowded = [&zipped(&[("a", "x")])[..], &record].concat();
    assert!(refused(Archive::Zip, &crowded.into()).contains("more than 50000 entries"));
}

/// What a hostile archive is made of: names that lead anywhere, of any type.
fn entries() -> impl Strategy<Value = Vec<(usize, u8, usize)>> {
    proptest::collection::vec((0..NAMES.len(), 0u8..7, 0..NAMES.len()), 1..6)
}

fn kind(number: u8) -> tar::EntryType {
    use tar::EntryType::{Char, Directory, Fifo, Link, Regular, Symlink};
    [Regular, Directory, Symlink, Link, Char, Fifo, Regular][usize::from(number)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Breaks when `step` does not ask `stays_inside`.
    #[test]
    fn whatever_is_unpacked_stays_where_it_belongs(entries in entries()) {
        let all: Vec<Packed<'_>> = entries
            .iter()
            .map(|(name, number, target)| {
                let kind = kind(*number);
                let bytes: &[u8] = if kind == tar::EntryType::Regular { b"x" } else { b"" };
                (NAMES[*name], kind, NAMES[*target], bytes)
            })
            .collect();
        let (around, _) = unpacked(Archive::CompressedTar, &tarred(&all), Limits::default());
        let mut left = vec![around.path().join("here")];
        let mut seen = BTreeMap::new();
        while let Some(dir) = left.pop() {
            for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
                let kind = entry.file_type().unwrap();
                prop_assert!(kind.is_file() || kind.is_dir() || kind.is_symlink());
                left.extend(kind.is_dir().then(|| entry.path()));
                seen.insert(entry.path(), kind);
            }
        }
        let here = fs::canonicalize(around.path().join("here")).unwrap();
        for link in seen.iter().filter(|(_, kind)| kind.is_symlink()).map(|(path, _)| path) {
            // One that leads nowhere, or in a circle, leads nowhere outside either.
            prop_assert!(fs::canonicalize(link).map_or(true, |to| to.starts_with(&here)));
        }
    }

    #[test]
    fn damaged_archives_do_no_harm(
        number in 0usize..3,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        end in any::<prop::sample::Index>(),
    ) {
        let tar = tarred(&[
            ("a", tar::EntryType::Regular, "", b"text"), ("l", tar::EntryType::Symlink, "a", b"")]);
        let (archive, bytes) = match number {
            0 => (Archive::Zip, zipped(&[("a", "text"), ("d/b", "text"), ("l", "->a")])),
            1 => (Archive::CompressedTar, gzipped(&tar)),
            _ => (Archive::CompressedTar, tar),
        };
        let mut bytes = bytes.to_vec();
        for (at, byte) in &damage {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        // Most are whole.
        let end = end.index(2 * bytes.len());
        bytes.truncate(end.max(1));
        let limits = Limits { bytes: 1 << 16, ..Limits::default() };
        let _ = unpacked(archive, &bytes.into(), limits);
    }
}
