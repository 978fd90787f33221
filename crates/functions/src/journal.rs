//! What a pod prints: its latest lines in memory, and the same in a file.

use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

use futures::stream::{self, BoxStream, StreamExt};
use k8s::{LogLine, LoggedRun, Object, ObjectKey, PodLog, SharedClock};
use tokio::sync::watch;
use tracing::{debug, info};

use self::ring::{KEPT, Ring};
use crate::host::Log;

mod ring;

/// What a pod prints. Who follows it is at its end when this is dropped.
#[derive(Debug)]
pub(crate) struct Journal {
    pod: ObjectKey,
    clock: SharedClock,
    ring: Arc<Mutex<Ring>>,
    printed: watch::Sender<()>,
    record: Mutex<Record>,
}

/// The file of a log, and the one before it.
#[derive(Debug)]
struct Record {
    path: PathBuf,
    /// Absent before the first line, and after the file could not be written.
    file: Option<File>,
    size: usize,
}

impl Journal {
    /// Returns the empty log of a pod, whose file lies in `dir`.
    pub(crate) fn new(pod: &Object, dir: &std::path::Path, clock: SharedClock) -> Self {
        let ObjectKey { namespace, name } = &pod.key();
        let path = dir.join(format!("{namespace}_{name}_{}.log", pod.meta().uid));
        let record = Mutex::new(Record { path, file: None, size: 0 });
        let (ring, printed) = (Arc::default(), watch::Sender::default());
        Self { pod: pod.key(), clock, ring, printed, record }
    }

    /// Notes that the program was started again.
    pub(crate) fn restart(&self) {
        lines(&self.ring).restart();
    }

    /// Returns what was printed, and what will be.
    pub(crate) fn read(&self, run: LoggedRun) -> Option<PodLog> {
        match run {
            LoggedRun::Latest => {
                let (kept, number) = {
                    let ring = lines(&self.ring);
                    (ring.all(), ring.next())
                };
                Some(PodLog { kept, coming: self.follow(number) })
            }
            LoggedRun::Previous => {
                let kept = lines(&self.ring).previous()?;
                Some(PodLog { kept, coming: stream::empty().boxed() })
            }
        }
    }

    /// Returns the lines from a number on. Nothing is kept for whoever is slow: they miss lines.
    fn follow(&self, number: u64) -> BoxStream<'static, LogLine> {
        let start = (Arc::clone(&self.ring), self.printed.subscribe(), number);
        let next = |(ring, mut printed, number): (Arc<Mutex<Ring>>, watch::Receiver<()>, u64)| async move {
            let mut is_open = true;
            loop {
                let found = lines(&ring).after(number);
                if let Some((line, number)) = found {
                    return Some((line, (ring, printed, number)));
                }
                if !is_open {
                    return None;
                }
                // Between the last look and the end there may have been one more line.
                is_open = printed.changed().await.is_ok();
            }
        };
        stream::unfold(start, next).boxed()
    }
}

impl Log for Journal {
    fn line(&self, line: &str) {
        info!(pod = %self.pod, line, "function");
        let line = LogLine { time: self.clock.now(), text: line.into() };
        let mut record = self.record.lock().expect("the lock of a record is never poisoned");
        if let Err(error) = record.write(&line) {
            // A full disk must not keep a function from answering.
            debug!(path = %record.path.display(), %error, "failed to write a log");
            record.file = None;
        }
        drop(record);
        lines(&self.ring).push(line);
        self.printed.send_replace(());
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let record = self.record.get_mut().expect("the lock of a record is never poisoned");
        for path in [record.path.with_extension("log.1"), record.path.clone()] {
            // As a kubelet has it, the log of a pod goes with the pod.
            let _ = fs::remove_file(path);
        }
    }
}

impl Record {
    fn write(&mut self, line: &LogLine) -> std::io::Result<()> {
        let text = format!("{} {}\n", line.time, line.text);
        if self.file.is_none() || KEPT < self.size {
            if let Some(dir) = self.path.parent() {
                fs::create_dir_all(dir)?;
            }
            if self.path.exists() {
                fs::rename(&self.path, self.path.with_extension("log.1"))?;
            }
            (self.file, self.size) = (Some(File::create(&self.path)?), 0);
        }
        self.size += text.len();
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(text.as_bytes()))
    }
}

fn lines(ring: &Mutex<Ring>) -> MutexGuard<'_, Ring> {
    ring.lock().expect("the lock of a ring is never poisoned")
}

#[cfg(test)]
mod tests {
    use k8s::SystemClock;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn followers_end_with_the_pod_and_its_files_go() {
        let dir = tempfile::tempdir().unwrap();
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "p", "namespace": "n", "uid": "u"}});
        let pod = Object::from_value(&pod).unwrap();
        let journal = Journal::new(&pod, dir.path(), Arc::new(SystemClock));
        journal.line("one");
        let PodLog { kept, coming } = journal.read(LoggedRun::Latest).unwrap();
        assert_eq!(kept.len(), 1);
        journal.line("two");
        let file = fs::read_to_string(dir.path().join("n_p_u.log")).unwrap();
        assert_eq!(file.lines().count(), 2);
        assert!(file.ends_with(" two\n"));
        drop(journal);
        let coming: Vec<_> = coming.map(|line| line.text.to_string()).collect().await;
        assert_eq!(coming, ["two"]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
