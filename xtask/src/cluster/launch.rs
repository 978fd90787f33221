//! Starts the processes of the control plane so that they outlive this task, and ends them.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    cluster::{
        arguments::{self, Layout, Ports},
        build::Programs,
        credentials,
        ready::Prober,
        state::{Process, State},
        toolbox::{self, Program},
    },
    program::Stopwatch,
};

const PATIENCE: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_millis(100);
/// The controller manager makes this object once it works.
const FIRST_OBJECT: &str = "/api/v1/namespaces/default/serviceaccounts/default";

/// The processes, which end with this value unless they are kept.
#[derive(Debug)]
pub(crate) struct Launched {
    layout: Layout,
    ports: Ports,
    kubeconfig: String,
    children: Vec<(Program, Child)>,
}

impl Launched {
    /// Starts the three processes, each when the one it needs is ready, and waits for the last.
    pub(crate) fn start(folder: &Path, programs: &Programs) -> anyhow::Result<Self> {
        let layout = Layout::new(folder);
        let ports = free_ports().context("failed to find free ports")?;
        let credentials = credentials::write(&layout, ports)?;
        let prober = Prober::new(&credentials, ports.api_server)?;
        let kubeconfig = credentials.kubeconfig;
        let mut launched = Self { layout: layout.clone(), ports, kubeconfig, children: Vec::new() };

        let arguments = arguments::etcd(&layout, ports);
        launched.spawn(toolbox::ETCD_PROGRAM, &programs.etcd, &arguments)?;
        launched.wait(|| TcpStream::connect((Ipv4Addr::LOCALHOST, ports.etcd)).is_ok())?;

        let arguments = arguments::api_server(&layout, ports);
        launched.spawn(toolbox::API_SERVER, &programs.api_server, &arguments)?;
        launched.wait(|| prober.answers("/readyz"))?;

        let arguments = arguments::controller_manager(&layout, ports);
        launched.spawn(toolbox::CONTROLLER_MANAGER, &programs.controller_manager, &arguments)?;
        launched.wait(|| prober.answers(FIRST_OBJECT))?;
        Ok(launched)
    }

    /// Lets the processes run on, and others know of them.
    pub(crate) fn keep(mut self) -> anyhow::Result<State> {
        fs::write(self.layout.kubeconfig(), &self.kubeconfig)
            .context("failed to write the kubeconfig")?;
        let state = self.state();
        self.children.clear();
        Ok(state)
    }

    fn state(&self) -> State {
        let processes = self
            .children
            .iter()
            .map(|(program, child)| Process { name: program.name.to_owned(), pid: child.id() });
        State {
            version: toolbox::KUBERNETES.to_owned(),
            server: format!("https://127.0.0.1:{}", self.ports.api_server),
            etcd: format!("http://127.0.0.1:{}", self.ports.etcd),
            kubeconfig: self.layout.kubeconfig(),
            audit_log: self.layout.audit_log(),
            logs: self.layout.logs(),
            processes: processes.collect(),
        }
    }

    /// Starts one process in a group of its own, which no terminal's interrupt reaches.
    fn spawn(&mut self, program: Program, file: &Path, arguments: &[String]) -> anyhow::Result<()> {
        let log = self.layout.logs().join(format!("{}.log", program.name));
        fs::create_dir_all(self.layout.logs())
            .context("failed to create the folder of the logs")?;
        let output = File::create(&log).context("failed to create a log")?;
        let child = Command::new(file)
            .args(arguments)
            .current_dir(self.layout.folder())
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("failed to share a log")?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .with_context(|| format!("failed to start `{}`", file.display()))?;
        self.children.push((program, child));
        // At once, so that `down` finds the process even if this task is killed while it waits.
        self.state().save(self.layout.folder()).context("failed to write the state")
    }

    /// Waits until `ready`, or until a process has ended, which none should.
    fn wait(&mut self, ready: impl Fn() -> bool) -> anyhow::Result<()> {
        let watch = Stopwatch::start();
        while !ready() {
            for (program, child) in &mut self.children {
                if let Some(status) = child.try_wait().context("failed to watch a process")? {
                    bail!(
                        "`{}` ended with {status}{}",
                        program.name,
                        last_lines(&self.layout, *program)
                    );
                }
            }
            if PATIENCE < watch.elapsed() {
                let newest = self.children.last().map_or("", |(program, _)| program.name);
                bail!("`{newest}` was not ready after {} s", PATIENCE.as_secs());
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        for (program, child) in self.children.iter_mut().rev() {
            if let Err(error) = child.kill().and_then(|()| child.wait()) {
                eprintln!("cluster: failed to end `{}`: {error}", program.name);
            }
        }
    }
}

/// Kills those of `processes` that run in `folder`: their data goes with them, so there is nothing to save.
pub(crate) fn kill(folder: &Path, processes: &[Process]) -> anyhow::Result<()> {
    for process in processes.iter().rev() {
        let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
        let Some(pid) = pid.filter(|_| process.is_running(folder)) else { continue };
        kill_process(pid, Signal::KILL)
            .with_context(|| format!("failed to end `{}`", process.name))?;
        let watch = Stopwatch::start();
        while process.is_running(folder) {
            if PATIENCE < watch.elapsed() {
                bail!("`{}` did not end", process.name);
            }
            thread::sleep(PAUSE);
        }
    }
    Ok(())
}

/// Returns ports nobody listens on; all are held until the last is found, so that they differ.
fn free_ports() -> std::io::Result<Ports> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listeners = [listen()?, listen()?, listen()?, listen()?];
    let port = |index: usize| Ok::<_, std::io::Error>(listeners[index].local_addr()?.port());
    Ok(Ports {
        etcd: port(0)?,
        etcd_peer: port(1)?,
        api_server: port(2)?,
        controller_manager: port(3)?,
    })
}

fn last_lines(layout: &Layout, program: Program) -> String {
    let path = layout.logs().join(format!("{}.log", program.name));
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.iter().skip(lines.len().saturating_sub(8));
    last.flat_map(|line| ["\n  ", line]).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn free_ports_differ() {
        let ports = free_ports().unwrap();
        let all = [ports.etcd, ports.etcd_peer, ports.api_server, ports.controller_manager];
        assert_eq!(BTreeSet::from(all).len(), 4);
    }
}
