//! Unpacks archives into directories.

use std::{
    cell::Cell,
    fs, io,
    io::{Cursor, Read, Write},
    os::unix::fs::{OpenOptionsExt, symlink},
    path::Path,
};

use bytes::Bytes;
use thiserror::Error;
use zip::ZipArchive;

use crate::{
    archive::{ArchiveError, Compression, Entry, EntryKind, Ledger, Limits, MOST_ENTRIES, Step},
    content::Archive,
};

/// How many bytes are unpacked at a time.
const PIECE: usize = 64 * 1024;
/// How many bytes of a tar file may stand before the bytes of a file: its name may be long, and is kept in memory.
const LARGEST_HEAD: u64 = 1 << 20;
/// How the record begins by which a zip file may have more entries than 16 bits can count, and where it counts them.
const MANY: (&[u8], usize) = (b"PK\x06\x06", 32);
/// How much memory a decompressor may use, in KiB: what the strongest level of `xz` needs, and more.
const DECOMPRESSOR_KIB: u32 = 256 * 1024;

/// The bits of a mode that say what a file is.
const KIND: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
/// What is kept of a file's mode: those who may not write may at least read it.
const MODE: u32 = 0o755;

/// Why an archive was not unpacked.
#[derive(Debug, Error)]
pub(crate) enum UnpackError {
    /// It is a bad one.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A file was not written.
    #[error("failed to write `{path}`")]
    Write {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Unpacks an archive into a directory that is there and empty.
///
/// # Errors
///
/// [`UnpackError`] if not all of it was unpacked; what was remains.
pub(crate) fn unpack(
    archive: Archive,
    bytes: &Bytes,
    dir: &Path,
    limits: Limits,
) -> Result<(), UnpackError> {
    let unpacking = Unpacking { dir, ledger: Ledger::new(limits) };
    match archive {
        Archive::Zip => unpacking.zip(bytes),
        Archive::CompressedTar => unpacking.tar(decompressed(bytes)?),
    }
}

fn decompressed(bytes: &Bytes) -> Result<Box<dyn Read + '_>, UnpackError> {
    let input = &bytes[..];
    Ok(match Compression::of(input) {
        Compression::None => Box::new(input),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
        Compression::Xz => {
            Box::new(lzma_rust2::XzReader::new_mem_limit(input, true, DECOMPRESSOR_KIB))
        }
        Compression::Zstd => {
            Box::new(ruzstd::decoding::StreamingDecoder::new(input).map_err(unreadable)?)
        }
    })
}

/// Returns whether a zip file says of itself that it has too many entries: all of them would be read into memory
/// before the first is seen.
fn is_crowded(bytes: &[u8]) -> bool {
    let (magic, at) = MANY;
    let records = bytes.windows(magic.len()).enumerate().filter(|(_, window)| *window == magic);
    let mut counts = records.filter_map(|(start, _)| {
        bytes.get(start + at..)?.first_chunk().map(|count| u64::from_le_bytes(*count))
    });
    counts.any(|count| (MOST_ENTRIES as u64) < count)
}

/// Reads as much as is allowed between two looks at what was read.
struct Metered<'a, R> {
    inner: R,
    left: &'a Cell<u64>,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let left = self.left.get().checked_sub(read as u64);
        self.left.set(left.ok_or_else(|| io::Error::other("the head of an entry is too long"))?);
        Ok(read)
    }
}

/// A directory that is being filled.
struct Unpacking<'a> {
    dir: &'a Path,
    ledger: Ledger,
}

impl Unpacking<'_> {
    fn zip(mut self, bytes: &Bytes) -> Result<(), UnpackError> {
        if is_crowded(bytes) {
            return Err(ArchiveError::TooMany.into());
        }
        let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(unreadable)?;
        for index in 0..archive.len() {
            let mut file = archive.by_index(index).map_err(unreadable)?;
            let mode = file.unix_mode().unwrap_or(FILE | 0o644);
            let kind = match mode & KIND {
                _ if file.is_dir() => EntryKind::Directory,
                DIRECTORY => EntryKind::Directory,
                0 | FILE => EntryKind::File,
                LINK => {
                    let mut target = String::new();
                    let read = file.by_ref().take(PIECE as u64).read_to_string(&mut target);
                    read.map_err(unreadable)?;
                    EntryKind::Link(target)
                }
                _ => EntryKind::Special,
            };
            let name = file.name().map_err(unreadable)?.into_owned();
            let entry = Entry { name, kind };
            self.put(&entry, mode, &mut file)?;
        }
        Ok(())
    }

    fn tar(mut self, bytes: impl Read) -> Result<(), UnpackError> {
        let left = Cell::new(LARGEST_HEAD);
        let mut archive = tar::Archive::new(Metered { inner: bytes, left: &left });
        for entry in archive.entries().map_err(unreadable)? {
            let mut entry = entry.map_err(unreadable)?;
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(unreadable);
            let target = || text(&entry.link_name_bytes().unwrap_or_default());
            let kind = match entry.header().entry_type() {
                // git notes its commit in one.
                tar::EntryType::XGlobalHeader => continue,
                tar::EntryType::Directory => EntryKind::Directory,
                tar::EntryType::Regular
                | tar::EntryType::Continuous
                | tar::EntryType::GNUSparse => EntryKind::File,
                tar::EntryType::Symlink => EntryKind::Link(target()?),
                tar::EntryType::Link => EntryKind::Same(target()?),
                _ => EntryKind::Special,
            };
            let mode = entry.header().mode().map_err(unreadable)?;
            let name = text(&entry.path_bytes())?;
            // The bytes of files have a limit of their own.
            left.set(u64::MAX);
            self.put(&Entry { name, kind }, mode, &mut entry)?;
            left.set(LARGEST_HEAD);
        }
        Ok(())
    }

    fn put(&mut self, entry: &Entry, mode: u32, bytes: &mut impl Read) -> Result<(), UnpackError> {
        let failed = |source| UnpackError::Write { path: entry.name.clone(), source };
        match self.ledger.admit(entry)? {
            Step::Nothing => Ok(()),
            Step::Directory(path) => fs::create_dir_all(self.dir.join(path)).map_err(failed),
            Step::File(path) => {
                let file = self.create(&path, mode).map_err(failed)?;
                self.fill(file, &entry.name, bytes)
            }
            Step::Link { path, target } => {
                let path = self.place(&path).map_err(failed)?;
                symlink(target, path).map_err(failed)
            }
            Step::Copy { path, from } => {
                // A copy counts like any other file: it takes as much room.
                let from = self.dir.join(from);
                let size = fs::metadata(&from).map_err(failed)?.len();
                self.ledger.charge(size)?;
                fs::copy(from, self.place(&path).map_err(failed)?).map(drop).map_err(failed)
            }
        }
    }

    fn create(&self, path: &str, mode: u32) -> io::Result<fs::File> {
        let path = self.place(path)?;
        fs::OpenOptions::new().write(true).create_new(true).mode(mode & MODE | 0o600).open(path)
    }

    /// Returns a path at which nothing is, in a directory.
    fn place(&self, path: &str) -> io::Result<std::path::PathBuf> {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().unwrap_or(self.dir))?;
        match fs::remove_file(&path) {
            // What an archive has twice counts as the last says.
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(path),
        }
    }

    fn fill(
        &mut self,
        mut file: fs::File,
        name: &str,
        bytes: &mut impl Read,
    ) -> Result<(), UnpackError> {
        let mut piece = vec![0; PIECE];
        loop {
            let read = match bytes.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(unreadable(error)),
            };
            self.ledger.charge(read as u64)?;
            let written = file.write_all(piece.get(..read).unwrap_or_default());
            written.map_err(|source| UnpackError::Write { path: name.to_owned(), source })?;
        }
    }
}

fn unreadable(error: impl std::error::Error) -> UnpackError {
    ArchiveError::Unreadable(k8s::in_one_line(&error)).into()
}

#[cfg(test)]
mod tests;
