//! The verbs of Functions that need no API server.

use std::{env, path::PathBuf, process::ExitCode, sync::Arc};

use ::functions::{Interpreters, Launcher, Local, LocalMeans, Log};
use bytes::Bytes;
use cli::{
    function::{
        call::Call,
        files,
        pairs::pairs,
        runtimes as known,
        server::FunctionError,
        source::Source,
        wish::{self, Wish},
    },
    reach::DEV,
};
use jsonnet::httpd;
use k8s::{Clock, ObjectKey, SystemClock};
use serde_json::json;
use tokio::net::TcpListener;

use super::{FunctionsError, answer, object};
use crate::{
    args::{FunctionRunArgs, RuntimesArgs},
    commands::print,
    failure,
};

/// What an event that nobody sent is called.
const EVENT: &str = "run";

/// Prints what a function prints, beside its answers.
#[derive(Debug)]
struct Console;

impl Log for Console {
    fn line(&self, line: &str) {
        failure::note(line);
    }
}

pub(super) async fn run(args: FunctionRunArgs) -> Result<ExitCode, FunctionsError> {
    let dir = args.path.is_dir().then_some(args.path.as_path());
    let name = args.path.display().to_string();
    let source = match dir {
        // The text does not matter where all files are there already, but there must be one.
        Some(_) => Source { function: name, content_type: String::new(), checksum: String::new() },
        None => files::program(&name).await?,
    };
    let deps = match &args.dependencies {
        Some(name) => Some(files::text(name).await?),
        None => None,
    };
    let wish = Wish {
        runtime: Some(args.runtime),
        handler: Some(args.handler),
        source: Some(source),
        deps,
        env: pairs(&args.env),
        timeout: Some(args.timeout),
        ..Wish::default()
    };
    let function = wish::create(&ObjectKey::new("default", "function"), &wish);
    let (log, launcher) = (Arc::new(Console), Launcher::default());
    let means = LocalMeans {
        clock: Arc::new(SystemClock),
        launcher,
        interpreters: Arc::new(interpreters()),
        data: env::current_dir().unwrap_or_default().join(DEV),
        fetch: files::fetch()?,
        log,
    };
    let local = Local::start(&function, dir, means).await?;
    match args.data {
        Some(text) => {
            let data = Some(Bytes::from(text)).filter(|data| !data.is_empty());
            let call = Call { data, ..Call::default() };
            let request = call.direct(EVENT, SystemClock.now()).map_err(FunctionError::from)?;
            let response = local.call(request).await.map_err(FunctionError::Broken)?;
            answer(response.status(), response.body())
        }
        None => serve(&local, args.listen).await,
    }
}

async fn serve(local: &Local, address: std::net::SocketAddr) -> Result<ExitCode, FunctionsError> {
    let failed = |source| FunctionsError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let place = listener.local_addr().map_err(failed)?;
    let signals = httpd::signals().map_err(failed)?;
    print(&format!("serving  {}  http://{place}\n", local.runtime()));
    local.serve(listener, signals).await.map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn runtimes(args: RuntimesArgs) -> ExitCode {
    let found = known::of_machine(&interpreters().all().await);
    print(&match args.output {
        None => known::table(&found),
        Some(format) => object(&json!(found), format),
    })
}

fn interpreters() -> Interpreters {
    let own = env::current_exe().unwrap_or_else(|_| PathBuf::from("windlass"));
    Interpreters::new(Arc::new(SystemClock), own)
}
