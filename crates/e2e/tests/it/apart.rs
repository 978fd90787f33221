//! Engines in processes of their own, which can be killed, frozen and cut off from the API server.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command},
};

use e2e::World;
use kube::config::Kubeconfig;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// What engines of a world need that are no part of the test's process.
pub(crate) struct Apart {
    folder: TempDir,
    kubeconfig: Kubeconfig,
    targets: String,
}

/// An engine in a process of its own, which ends with the test.
pub(crate) struct Engine(Child);

/// The way to an API server, which can be closed: nothing that engines send arrives then.
pub(crate) struct Gate {
    address: SocketAddr,
    server: String,
    open: JoinSet<()>,
}

impl Apart {
    /// Stops the engine of a world, so that others can take its place.
    pub(crate) async fn of(world: &World) -> Self {
        let kubeconfig = world.leave_to_others().await;
        let targets = format!("--target-label-selector=story={}", world.id);
        let apart = Self { folder: tempfile::tempdir().unwrap(), kubeconfig, targets };
        apart.write();
        apart
    }

    /// Starts an engine.
    pub(crate) fn engine(&self, flags: &[&str]) -> Engine {
        let mut engine = Command::new(env!("CARGO_BIN_EXE_bench"));
        engine.args(["control", "--metrics-address=0", "--health-probe-bind-address=0"]);
        engine.args([&self.targets, "--kubeconfig"]).arg(self.place()).args(flags);
        Engine(engine.spawn().unwrap())
    }

    /// Puts a gate before the API server, through which all engines go that are started from now on.
    pub(crate) async fn gate(&mut self) -> Gate {
        let mut clusters = self.kubeconfig.clusters.iter_mut();
        let server = clusters.find_map(|it| it.cluster.as_mut()?.server.as_mut()).unwrap();
        let target = server.trim_start_matches("https://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        *server = format!("https://{address}");
        self.write();
        let mut gate = Gate { address, server: target, open: JoinSet::new() };
        gate.let_in(listener);
        gate
    }

    fn place(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    fn write(&self) {
        std::fs::write(self.place(), serde_json::to_vec(&self.kubeconfig).unwrap()).unwrap();
    }
}

impl Engine {
    /// Ends the process as `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Stops the process where it is.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a frozen process go on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Returns the exit code, if the process has ended.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.0.try_wait().unwrap().and_then(|status| status.code())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Gate {
    /// Breaks all connections, and refuses others.
    pub(crate) async fn close(&mut self) {
        self.open.shutdown().await;
    }

    /// Lets connections through again.
    pub(crate) async fn open(&mut self) {
        self.let_in(TcpListener::bind(self.address).await.unwrap());
    }

    fn let_in(&mut self, listener: TcpListener) {
        let server = self.server.clone();
        self.open.spawn(async move {
            // They go with this task.
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let server = server.clone();
                connections.spawn(async move {
                    let mut far = TcpStream::connect(server).await?;
                    copy_bidirectional(&mut near, &mut far).await
                });
            }
        });
    }
}
