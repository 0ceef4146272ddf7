//! k3s's supervisor: what agents join by, on the API's own port.
//!
//! Paths under `/v1-k3s/`, `/cacerts`, `/ping` and `/static/` are answered here, before the request chain of the API:
//! they have accounts of their own (join tokens), which count nowhere else. Certificates are signed by the controller,
//! behind a socket (see `pki::signer`): this process never holds an authority's key.
//!
//! # Upstream
//! k3s `pkg/server/handlers/router.go`

mod accounts;
mod answers;
mod files;
mod node;
mod settings;

pub use settings::{LocalNode, Settings};

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use web::{Body, Peer};

use crate::errors::{self, Error};
use crate::http::response;
use crate::server::Server;

/// Requests of agents at a time, as k3s.
const READS: usize = 20;
const WRITES: usize = 10;
/// Between two attempts at what is put into the cluster.
const RETRY: Duration = Duration::from_millis(500);

/// The supervisor of a server.
pub struct Supervisor {
    settings: Settings,
    accounts: accounts::Accounts,
    reads: Semaphore,
    writes: Semaphore,
}

impl Supervisor {
    /// Reads what it needs.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn new(settings: Settings) -> anyhow::Result<Self> {
        let accounts = accounts::Accounts::new(&settings)?;
        Ok(Self { settings, accounts, reads: Semaphore::new(READS), writes: Semaphore::new(WRITES) })
    }

    /// What the supervisor puts into a cluster: roles of our daemons, the password of this machine's node and, once it
    /// has registered, its role. Tried until it is done.
    pub async fn start(self: Arc<Self>, server: Arc<Server>) {
        while let Err(error) = self.place(&server).await {
            tracing::info!(error = %error, "The supervisor's objects are not in place yet");
            tokio::time::sleep(RETRY).await;
        }
        let Some(node) = &self.settings.local_node else { return };
        loop {
            match node::label_server(&server, &node.name).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::info!(error = %error, "This machine's node is not labelled yet"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn place(&self, server: &Arc<Server>) -> Result<(), Error> {
        if let Some(file) = &self.settings.objects_file {
            for object in files::objects(file)? {
                crate::start::reconcile_role(server, &object).await?;
            }
        }
        if let Some(node) = &self.settings.local_node {
            let password = files::text(&node.password_file)?;
            node::ensure_password(server, &node.name, password.trim()).await?;
        }
        Ok(())
    }
}

/// Whether a path is the supervisor's.
fn is_ours(path: &str) -> bool {
    path == "/cacerts" || path == "/ping" || path.starts_with("/v1-k3s/") || path.starts_with("/static/")
}

/// The supervisor, where there is one and the path is its.
pub fn of<'a>(server: &'a Server, path: &str) -> Option<&'a Arc<Supervisor>> {
    server.supervisor.as_ref().filter(|_| is_ours(path))
}

impl Supervisor {
    /// Answers one request.
    pub async fn handle(
        &self,
        server: &Arc<Server>,
        request: Request<Incoming>,
        peer: &Peer,
    ) -> Response<Body> {
        let answer = self.answer(server, request, peer).await;
        answer.unwrap_or_else(|error| response::of_error(&error, "application/json"))
    }
}

impl Supervisor {
    async fn answer(
        &self,
        server: &Arc<Server>,
        request: Request<Incoming>,
        peer: &Peer,
    ) -> Result<Response<Body>, Error> {
        let path = request.uri().path().to_owned();
        match path.as_str() {
            "/ping" => return Ok(answers::plain("pong")),
            "/cacerts" => return Ok(answers::plain(files::text(&self.settings.server_ca_file)?)),
            _ => {}
        }
        if let Some(name) = path.strip_prefix("/static/") {
            return files::file_of(&self.settings.static_dir, name);
        }
        let user = self
            .accounts
            .authenticate(server, request.headers(), peer)
            .await?
            .ok_or_else(errors::unauthorized)?;
        if !accounts::AGENT_GROUPS.iter().any(|group| user.in_group(group)) {
            return Err(accounts::forbidden("not authorized"));
        }
        let slots =
            if matches!(*request.method(), Method::GET | Method::HEAD) { &self.reads } else { &self.writes };
        // agents retry, each after another wait
        let _slot = slots
            .try_acquire()
            .map_err(|_| errors::too_many_requests("too many requests of agents at once", 1))?;
        self.agents(server, &path, &user, request).await
    }

    async fn agents(
        &self,
        server: &Arc<Server>,
        path: &str,
        user: &crate::auth::User,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Error> {
        use pki::signer::Profile;
        match path.strip_prefix("/v1-k3s/").unwrap_or_default() {
            "config" => Ok(answers::json(files::text(&self.settings.config_file)?)),
            "client-ca.crt" => Ok(answers::plain(files::text(&self.settings.client_ca_file)?)),
            "server-ca.crt" => Ok(answers::plain(files::text(&self.settings.server_ca_file)?)),
            "readyz" => answers::ready(server),
            "apiservers" => answers::api_servers(server),
            "client-kubelet.crt" => {
                let node = node::check(server, user, request.headers()).await?;
                answers::certificate(&self.settings.signer, Profile::ClientKubelet { node }, request).await
            }
            "serving-kubelet.crt" => {
                let node = node::check(server, user, request.headers()).await?;
                let ips = node::addresses(request.headers())?;
                answers::certificate(&self.settings.signer, Profile::ServingKubelet { node, ips }, request)
                    .await
            }
            "client-kube-proxy.crt" => {
                answers::certificate(&self.settings.signer, Profile::ClientKubeProxy, request).await
            }
            "client-k3s-controller.crt" => {
                answers::certificate(&self.settings.signer, Profile::ClientK3sController, request).await
            }
            "server-bootstrap" => Err(errors::bad_request("etcd disabled")),
            _ => Ok(response::text(StatusCode::NOT_FOUND, "404 page not found\n")),
        }
    }
}
