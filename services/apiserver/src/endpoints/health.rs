//! `/livez`, `/readyz`, `/healthz`.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/server/healthz/healthz.go`

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::{Response, StatusCode};
use web::Body;

use crate::http::response;
use crate::request::info::query_pairs;
use crate::server::Server;

/// Start-up steps as upstream names their checks; each is done once.
pub const STEPS: [&str; 14] = [
    "poststarthook/generic-apiserver-start-informers",
    "poststarthook/storage-readiness",
    "poststarthook/bootstrap-controller",
    "poststarthook/priority-and-fairness-config-producer",
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/scheduling/bootstrap-system-priority-classes",
    "poststarthook/start-kubernetes-service-cidr-controller",
    "poststarthook/start-system-namespaces-controller",
    "poststarthook/start-cluster-authentication-info-controller",
    "poststarthook/start-kube-apiserver-identity-lease-controller",
    "poststarthook/apiservice-discovery-controller",
    "poststarthook/apiservice-status-remote-available-controller",
    "poststarthook/kube-apiserver-autoregistration",
    "autoregister-completion",
];

/// What is ready.
#[derive(Default)]
pub struct Health {
    done: Mutex<BTreeMap<&'static str, bool>>,
    stopping: std::sync::atomic::AtomicBool,
}

/// One check's outcome.
type Outcome = std::result::Result<(), String>;

impl Health {
    /// A start-up step is done.
    pub fn done(&self, step: &'static str) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).insert(step, true);
    }

    /// The server is going away: not ready any more.
    pub fn stop(&self) {
        self.stopping.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    fn step(&self, name: &str) -> Outcome {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if done.get(name).copied().unwrap_or(false) { Ok(()) } else { Err("not finished".into()) }
    }

    /// The endpoints.
    pub const ENDPOINTS: [&'static str; 3] = ["healthz", "livez", "readyz"];

    /// The checks of an endpoint.
    pub fn names(endpoint: &str) -> Vec<&'static str> {
        let mut names = vec!["ping", "log", "etcd"];
        if endpoint == "readyz" {
            names.extend(["etcd-readiness", "informer-sync"]);
        }
        names.extend(STEPS);
        if endpoint == "readyz" {
            names.push("shutdown");
        }
        names
    }

    async fn check(&self, server: &Arc<Server>, name: &str) -> Outcome {
        match name {
            "ping" | "log" => Ok(()),
            "etcd" | "etcd-readiness" => {
                let revision =
                    tokio::time::timeout(std::time::Duration::from_secs(2), server.store.kv.revision());
                match revision.await {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(_) => Err("no answer within 2s".into()),
                }
            }
            "informer-sync" if server.store.cache.revision() > 0 => Ok(()),
            "informer-sync" => Err("the cache is not filled yet".into()),
            "shutdown" if self.stopping.load(std::sync::atomic::Ordering::Relaxed) => {
                Err("process is shutting down".into())
            }
            "shutdown" => Ok(()),
            step => self.step(step),
        }
    }

    /// All checks of an endpoint.
    pub async fn all(&self, server: &Arc<Server>, endpoint: &str, query: Option<&str>) -> Response<Body> {
        let query = query_pairs(query);
        let verbose = query.iter().any(|(k, _)| k == "verbose");
        let mut excluded: Vec<&str> =
            query.iter().filter(|(k, _)| k == "exclude").map(|(_, v)| v.as_str()).collect();
        let (mut lines, mut failed) = (String::new(), Vec::new());
        for name in Self::names(endpoint) {
            if let Some(at) = excluded.iter().position(|e| *e == name) {
                excluded.remove(at);
                lines.push_str(&format!("[+]{name} excluded: ok\n"));
                continue;
            }
            match self.check(server, name).await {
                Ok(()) => lines.push_str(&format!("[+]{name} ok\n")),
                Err(error) => {
                    tracing::debug!(check = name, error, "health check failed");
                    failed.push(name);
                    lines.push_str(&format!("[-]{name} failed: reason withheld\n"));
                }
            }
        }
        if !excluded.is_empty() {
            let list: Vec<String> = excluded.iter().map(|e| format!("{e:?}")).collect();
            let list = list.join(", ");
            lines.push_str(&format!("warn: some health checks cannot be excluded: no matches for {list}\n"));
        }
        if !failed.is_empty() {
            lines.push_str(&format!("{endpoint} check failed\n"));
            return response::text(StatusCode::INTERNAL_SERVER_ERROR, lines);
        }
        if !verbose {
            return response::text(StatusCode::OK, "ok");
        }
        lines.push_str(&format!("{endpoint} check passed\n"));
        response::text(StatusCode::OK, lines)
    }

    /// One check of an endpoint.
    pub async fn one(&self, server: &Arc<Server>, endpoint: &str, name: &str) -> Response<Body> {
        if !Self::names(endpoint).contains(&name) {
            return response::text(StatusCode::NOT_FOUND, "404 page not found\n");
        }
        match self.check(server, name).await {
            Ok(()) => {
                let mut answer = response::text(StatusCode::OK, "ok");
                answer.headers_mut().remove(http::header::X_CONTENT_TYPE_OPTIONS);
                answer
            }
            Err(error) => {
                let text = format!("internal server error: {error}\n");
                response::text(StatusCode::INTERNAL_SERVER_ERROR, text)
            }
        }
    }
}
