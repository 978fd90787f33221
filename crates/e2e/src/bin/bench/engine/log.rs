//! The audit log that `cargo xtask cluster up` has the real API server keep.

use std::{
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom},
    path::PathBuf,
};

use crate::server::Server;

/// A place in the log.
pub(crate) struct AuditLog {
    path: PathBuf,
    from: u64,
}

impl AuditLog {
    /// Returns the present end of a server's log; nothing if it keeps none.
    pub(crate) fn of(server: &Server) -> Option<Self> {
        let path = server.kubeconfig.with_file_name("audit.log");
        let from = fs::metadata(&path).ok()?.len();
        Some(Self { path, from })
    }

    /// Returns what was logged since.
    pub(crate) fn since(&self) -> anyhow::Result<String> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.from))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok(text)
    }
}
