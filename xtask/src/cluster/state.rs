//! What is known about the running control plane, in one file beside its data.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// A process that outlives the task that started it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// The program's name.
    pub(crate) name: String,
    /// The process' number.
    pub(crate) pid: u32,
}

impl Process {
    /// Returns whether the process runs; `folder` tells it from a later one with the same number.
    pub(crate) fn is_running(&self, folder: &Path) -> bool {
        let Ok(command_line) = fs::read(format!("/proc/{}/cmdline", self.pid)) else {
            return false;
        };
        String::from_utf8_lossy(&command_line).contains(&format!("={}/", folder.display()))
    }
}

/// Where the control plane is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The version of Kubernetes.
    pub(crate) version: String,
    /// The address of the API server.
    pub(crate) server: String,
    /// The address of etcd.
    pub(crate) etcd: String,
    /// The administrator's kubeconfig.
    pub(crate) kubeconfig: PathBuf,
    /// The log of all requests.
    pub(crate) audit_log: PathBuf,
    /// The folder of the processes' own logs.
    pub(crate) logs: PathBuf,
    /// The processes, in the order they were started.
    pub(crate) processes: Vec<Process>,
}

impl State {
    /// Reads the state in `folder`, whether or not anything runs.
    pub(crate) fn load(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path(folder)).ok()?).ok()
    }

    /// Reads the state in `folder` if all its processes run, and were ready once.
    pub(crate) fn of_running(folder: &Path) -> Option<Self> {
        let state = Self::load(folder)?;
        let was_ready = state.kubeconfig.is_file();
        (was_ready && state.processes.iter().all(|process| process.is_running(folder)))
            .then_some(state)
    }

    /// Writes the state to `folder`.
    pub(crate) fn save(&self, folder: &Path) -> anyhow::Result<()> {
        fs::write(path(folder), serde_json::to_string_pretty(self)?)?;
        Ok(())
    }

    /// Returns the state as people read it.
    pub(crate) fn text(&self) -> String {
        let mut lines = vec![
            format!("server      {} (Kubernetes {})", self.server, self.version),
            format!("kubeconfig  {}", self.kubeconfig.display()),
            format!("audit log   {}", self.audit_log.display()),
            format!("logs        {}", self.logs.display()),
            format!("etcd        {}", self.etcd),
        ];
        let processes = self.processes.iter();
        lines.extend(
            processes.map(|process| format!("process     {} {}", process.pid, process.name)),
        );
        lines.join("\n") + "\n"
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("state.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(pids: [u32; 3]) -> State {
        let names = ["etcd", "kube-apiserver", "kube-controller-manager"];
        let processes = names.into_iter().zip(pids);
        State {
            version: "v1.36.3".to_owned(),
            server: "https://127.0.0.1:3".to_owned(),
            etcd: "http://127.0.0.1:1".to_owned(),
            kubeconfig: "/state/kubeconfig".into(),
            audit_log: "/state/audit.log".into(),
            logs: "/state/logs".into(),
            processes: processes
                .map(|(name, pid)| Process { name: name.to_owned(), pid })
                .collect(),
        }
    }

    #[test]
    fn a_process_of_another_folder_is_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        let own = std::process::id();
        state([own, own, own]).save(folder.path()).unwrap();
        assert_eq!(State::load(folder.path()), Some(state([own, own, own])));
        assert_eq!(State::of_running(folder.path()), None);
    }

    #[test]
    fn the_text_says_where_everything_is() {
        assert_eq!(
            state([7, 8, 9]).text(),
            "server      https://127.0.0.1:3 (Kubernetes v1.36.3)\n\
             kubeconfig  /state/kubeconfig\n\
             audit log   /state/audit.log\n\
             logs        /state/logs\n\
             etcd        http://127.0.0.1:1\n\
             process     7 etcd\n\
             process     8 kube-apiserver\n\
             process     9 kube-controller-manager\n"
        );
    }
}
