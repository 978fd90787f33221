//! The server as a whole: built, started, reached and stopped.

use std::{
    fmt,
    io::Write,
    mem,
    sync::{Arc, Mutex},
};

use k8s::{
    Activity, Executor, ObjectKey, Reached, Resource, Revisions, ServiceHandler, ServicePort,
    ServiceRegistration, ServiceRegistry, Services, SharedClock, SystemClock, Unreachable,
};
use thiserror::Error;
use tokio::task::JoinHandle;

use crate::{
    audit::AuditLog,
    backend::{Backend, Setup},
    bootstrap,
    controllers::{self, ControllersHandle},
    dump,
    entropy::Entropy,
    error::ApiError,
    executors::ExecutorRegistration,
    expiry,
    faults::Faults,
    http::{Core, proxy::Forwarder, service::ApiService},
    listen::{self, Endpoint, Listen, ListenError},
    requests::{RequestLog, RequestRecord},
    services::{Directory, Registration},
    settings::Settings,
    snapshot::{Snapshot, Snapshots},
    tls::{Authority, TlsError},
    tokens::{Signer, TokenError},
    user::User,
};

/// A running API server. Clones share it; when the last one is dropped, it stops.
#[derive(Clone)]
pub struct ApiServer(Arc<Owner>);

/// What is alive as long as the server is.
struct Owner {
    core: Arc<Core>,
    authority: Arc<Authority>,
    listeners: Mutex<Vec<JoinHandle<()>>>,
    _controllers: Option<ControllersHandle>,
}

/// Why the server did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// One of the first objects was refused.
    #[error("failed to create the first objects")]
    Bootstrap(#[from] ApiError),
    /// There is no certificate authority.
    #[error("failed to make the certificate authority")]
    Authority(#[from] TlsError),
    /// There is no key for the tokens of ServiceAccounts.
    #[error("failed to make the key of tokens")]
    Tokens(#[from] TokenError),
}

/// How a server is set up.
#[derive(Clone, Debug)]
pub struct Builder {
    clock: SharedClock,
    activity: Activity,
    controllers: bool,
    settings: Settings,
    audit: Option<AuditLog>,
    seed: Option<u64>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            activity: Activity::default(),
            controllers: true,
            settings: Settings::default(),
            audit: None,
            seed: None,
        }
    }
}

impl Builder {
    /// Takes all times from this clock.
    #[must_use]
    pub fn clock(self, clock: SharedClock) -> Self {
        Self { clock, ..self }
    }

    /// Registers what is at work here.
    #[must_use]
    pub fn activity(self, activity: Activity) -> Self {
        Self { activity, ..self }
    }

    /// Runs the controllers of built-in kinds and simulated pods, or leaves them out.
    #[must_use]
    pub fn controllers(self, controllers: bool) -> Self {
        Self { controllers, ..self }
    }

    /// Notes each request as a line of JSON.
    #[must_use]
    pub fn audit_log(self, to: impl Write + Send + 'static) -> Self {
        Self { audit: Some(AuditLog::new(to)), ..self }
    }

    /// Sets everything else.
    #[must_use]
    pub fn settings(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    /// Decides UIDs and generated names by a seed: with a virtual clock and a pause to settle after each
    /// step, two runs of one script then lead to the same objects.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// Starts the server; it is ready when this returns.
    ///
    /// # Errors
    ///
    /// [`StartError`], which only a fault of the server itself can cause.
    #[expect(clippy::unused_async, reason = "controllers are spawned on the caller's runtime")]
    pub async fn start(self) -> Result<ApiServer, StartError> {
        let authority = Arc::new(Authority::new()?);
        let ca_certificate = authority.pem().to_owned();
        let entropy = Entropy::new(self.seed);
        let Self { clock, activity, settings, .. } = self;
        let services = Directory::new(settings.services.clone());
        let backend = Backend::new(Setup { clock, activity, entropy, ca_certificate, settings });
        bootstrap::create(&backend)?;
        let spawn = || controllers::spawn(backend.clone());
        let controllers = self.controllers.then(spawn).transpose()?;
        tokio::spawn(expiry::run(backend.clone(), backend.settings().event_ttl));
        let core = Arc::new(Core {
            backend,
            requests: RequestLog::default(),
            faults: Faults::new(self.seed.unwrap_or_default()),
            signer: Signer::new()?,
            services,
            forwarder: Forwarder::new()?,
            audit: self.audit,
            snapshots: Snapshots::default(),
        });
        let listeners = Mutex::default();
        Ok(ApiServer(Arc::new(Owner { core, authority, listeners, _controllers: controllers })))
    }
}

impl ApiServer {
    /// Returns the set-up of a server in memory with its controllers.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Returns the server as a `tower` service that acts as the administrator.
    pub fn service(&self) -> ApiService {
        self.service_as(User::admin())
    }

    /// Returns the server as a `tower` service that acts as a user.
    pub fn service_as(&self, user: User) -> ApiService {
        ApiService::new(self.0.core.clone(), Some(user))
    }

    /// Returns the server as a `tower` service that knows users by the tokens in their requests alone.
    pub fn open_service(&self) -> ApiService {
        ApiService::new(self.0.core.clone(), None)
    }

    /// Returns the object rules behind the transports.
    pub fn backend(&self) -> &Backend {
        &self.0.core.backend
    }

    /// Returns the revision of the newest write.
    pub fn revision(&self) -> u64 {
        self.backend().revision()
    }

    /// Returns the last requests, oldest first.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.0.core.requests.all()
    }

    /// Returns all objects, one line of JSON each, by resource, namespace and name. The server's own
    /// certificate, which is another one in each process, is left out.
    pub fn dump(&self) -> String {
        dump::text(self.backend())
    }

    /// Returns all objects as they are now, to come back to.
    pub fn snapshot(&self) -> Snapshot {
        self.backend().snapshot()
    }

    /// Makes the objects what they were; whoever watches has to list anew.
    pub fn restore(&self, snapshot: &Snapshot) {
        self.backend().restore(snapshot);
    }

    /// Returns what goes wrong in this server: nothing, until a rule is added.
    pub fn faults(&self) -> &Faults {
        &self.0.core.faults
    }

    /// Gives pods to an executor: those that name it, and those bound to its node `windlass-NAME`.
    ///
    /// # Errors
    ///
    /// What the server answered when the node was written.
    pub fn register_executor(
        &self,
        name: &str,
        executor: Arc<dyn Executor>,
    ) -> Result<ExecutorRegistration, ApiError> {
        self.backend().executors().register(self.backend(), name, executor)
    }

    /// Has a Service answered in this process until the registration is dropped.
    pub fn serve(&self, service: ObjectKey, handler: Arc<dyn ServiceHandler>) -> Registration {
        self.0.core.services.register(service, handler)
    }

    /// Listens on a socket, with TLS, until the server stops.
    ///
    /// # Errors
    ///
    /// [`ListenError`] if the address is taken, or not one to listen on.
    pub async fn listen(&self, options: &Listen) -> Result<Endpoint, ListenError> {
        let Owner { core, authority, .. } = &*self.0;
        let (endpoint, task) = listen::listen(core, authority, options).await?;
        self.0.listeners().push(task);
        Ok(endpoint)
    }

    /// Stops the server: watches end, requests that were begun are answered, for a second at most.
    pub async fn shutdown(&self) {
        self.backend().stop();
        let listeners = mem::take(&mut *self.0.listeners());
        for listener in listeners {
            // A listener that panicked is gone as well.
            let _ = listener.await;
        }
    }
}

impl Owner {
    fn listeners(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.listeners.lock().expect("the lock of the listeners is never poisoned")
    }
}

impl Revisions for ApiServer {
    fn latest_revision(&self, resource: &Resource) -> u64 {
        self.backend().latest_revision(resource)
    }
}

impl Services for ApiServer {
    fn find(&self, port: &ServicePort) -> Result<Option<Reached>, Unreachable> {
        self.0.core.services.find(self.backend(), port)
    }
}

impl ServiceRegistry for ApiServer {
    fn serve(&self, service: ObjectKey, handler: Arc<dyn ServiceHandler>) -> ServiceRegistration {
        Box::new(Self::serve(self, service, handler))
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.core.backend.stop();
    }
}

impl fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiServer(revision {})", self.revision())
    }
}
