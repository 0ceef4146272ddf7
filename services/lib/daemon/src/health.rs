//! Health checks and metrics over HTTP, as upstream's components serve them.

use std::sync::{Arc, PoisonError, RwLock};

use http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;

use crate::Metrics;

/// One named check.
pub type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The named checks of a daemon. Clones share them.
#[derive(Clone, Default)]
pub struct Health {
    checks: Arc<RwLock<Vec<(String, Check)>>>,
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let checks = self.checks.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_list().entries(checks.iter().map(|(name, _)| name)).finish()
    }
}

impl Health {
    /// Adds a check.
    pub fn add(&self, name: &str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.checks.write().unwrap_or_else(PoisonError::into_inner).push((name.into(), Arc::new(check)));
    }

    /// The answer to `/healthz` and its kin: the code and the text.
    ///
    /// # Upstream
    /// `k8s.io/apiserver/pkg/server/healthz/healthz.go` `handleRootHealth`
    pub fn report(&self, endpoint: &str, verbose: bool, exclude: &[&str]) -> (StatusCode, String) {
        let checks = self.checks.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut text = String::from("[+]ping ok\n");
        let mut failed = false;
        for (name, check) in &checks {
            if exclude.contains(&name.as_str()) {
                text.push_str(&format!("[+]{name} excluded: ok\n"));
                continue;
            }
            match check() {
                Ok(()) => text.push_str(&format!("[+]{name} ok\n")),
                Err(reason) => {
                    failed = true;
                    tracing::info!(check = name.as_str(), reason, "Health check failed");
                    text.push_str(&format!("[-]{name} failed: reason withheld\n"));
                }
            }
        }
        for name in exclude.iter().filter(|e| **e != "ping" && !checks.iter().any(|(name, _)| name == *e)) {
            text.push_str(&format!("warn: some health checks cannot be excluded: no matches for {name:?}\n"));
        }
        match (failed, verbose) {
            (true, _) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{text}{endpoint} check failed\n")),
            (false, true) => (StatusCode::OK, format!("{text}{endpoint} check passed\n")),
            (false, false) => (StatusCode::OK, "ok".into()),
        }
    }
}

/// Serves `/healthz`, `/livez`, `/readyz` and `/metrics` until `stop`.
pub async fn serve_health(
    listener: web::Listener,
    tls: Option<web::TlsConfig>,
    health: Health,
    metrics: Metrics,
    stop: web::Shutdown,
) {
    let answer = move |request: Request<Incoming>, _peer| {
        let response = respond(&request, &health, &metrics);
        async move { response }
    };
    web::serve(listener, tls, answer, stop).await;
}

fn respond(request: &Request<Incoming>, health: &Health, metrics: &Metrics) -> Response<web::Body> {
    let query = request.uri().query().unwrap_or_default();
    let parameters = || query.split('&').filter_map(|p| p.split_once('=').or(Some((p, ""))));
    let (code, content, body) = match request.uri().path() {
        "/metrics" => (StatusCode::OK, Metrics::CONTENT_TYPE, metrics.text()),
        path @ ("/healthz" | "/livez" | "/readyz") => {
            let exclude: Vec<&str> = parameters().filter(|(k, _)| *k == "exclude").map(|(_, v)| v).collect();
            let verbose = parameters().any(|(k, _)| k == "verbose");
            let (code, text) = health.report(&path[1..], verbose, &exclude);
            (code, "text/plain; charset=utf-8", text)
        }
        _ => (StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "404 page not found\n".into()),
    };
    let mut response = Response::new(web::full(body));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(content));
    let nosniff = http::HeaderValue::from_static("nosniff");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}
