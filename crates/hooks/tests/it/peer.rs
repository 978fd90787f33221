//! A server that reads one request per connection and answers as it is told, byte by byte.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use api::{Hook, HookError, HookReply, HookRequest};
use hooks::Webhooks;
use k8s::{Activity, SystemClock};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A server on a port of its own, until the test ends.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    /// Starts a server that answers the requests in turn, the last answer again and again, and closes after
    /// each.
    pub(crate) async fn answering(answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<_>>>::default());
        let log = Arc::clone(&seen);
        tokio::spawn(async move {
            for turn in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = request(&mut stream).await;
                log.lock().unwrap().push(request);
                let answer = answers.get(turn).or(answers.last()).unwrap();
                // The caller may have gone.
                let _ = stream.write_all(answer).await;
            }
        });
        Self { address, seen }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/sync?a=b", self.address)
    }

    /// Returns the requests so far.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// Reads a request whose body has the length that it says.
pub(crate) async fn request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let mut more = [0; 4096];
        let count = stream.read(&mut more).await.unwrap();
        bytes.extend_from_slice(&more[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let length = values(head, "content-length").concat();
            length.parse().unwrap_or(0) <= body.len()
        });
        if count == 0 || whole {
            return text;
        }
    }
}

/// Returns the values of a header of a request.
pub(crate) fn values(request: &str, name: &str) -> Vec<String> {
    let head = request.split("\r\n\r\n").next().unwrap_or_default();
    let headers = head.split("\r\n").filter_map(|line| line.split_once(": "));
    let wanted = headers.filter(|(key, _)| key.eq_ignore_ascii_case(name));
    wanted.map(|(_, value)| value.to_owned()).collect()
}

/// Calls a hook with an empty object; `variables` are those of the environment.
pub(crate) async fn call(
    url: &str,
    variables: &[(&str, String)],
    change: impl FnOnce(&mut HookRequest),
) -> Result<HookReply, HookError> {
    let variable = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, text)| text.clone())
    };
    let (clock, activity) = (Arc::new(SystemClock), Activity::default());
    let webhooks = Webhooks::with_variables(clock, activity, variable).unwrap();
    let mut request = HookRequest::new(url, "{}".into(), Duration::from_secs(30));
    change(&mut request);
    webhooks.call(request).await
}
