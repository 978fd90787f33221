//! Unpacks archives into directories.

use std::{
    fs, io,
    io::{Cursor, Read, Write},
    os::unix::fs::{OpenOptionsExt, symlink},
    path::Path,
};

use bytes::Bytes;
use thiserror::Error;
use zip::ZipArchive;

use crate::{
    archive::{
        ArchiveError, Compression, Entry, EntryKind, Ledger, MOST_BYTES, MOST_ENTRIES, Step,
    },
    content::Archive,
};

/// How many bytes are unpacked at a time.
const PIECE: usize = 64 * 1024;
/// How many bytes a tar file may have: its files, and for each entry its head and what fills it up.
const LARGEST_TAR: u64 = MOST_BYTES + MOST_ENTRIES as u64 * 2048;
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
pub(crate) fn unpack(archive: Archive, bytes: &Bytes, dir: &Path) -> Result<(), UnpackError> {
    let unpacking = Unpacking { dir, ledger: Ledger::default() };
    match archive {
        Archive::Zip => unpacking.zip(bytes),
        Archive::CompressedTar => {
            // What is not read cannot fill the disk, nor take for ever.
            unpacking.tar(decompressed(bytes)?.take(LARGEST_TAR))
        }
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

/// A directory that is being filled.
struct Unpacking<'a> {
    dir: &'a Path,
    ledger: Ledger,
}

impl Unpacking<'_> {
    fn zip(mut self, bytes: &Bytes) -> Result<(), UnpackError> {
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
        let mut archive = tar::Archive::new(bytes);
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
            self.put(&Entry { name, kind }, mode, &mut entry)?;
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
