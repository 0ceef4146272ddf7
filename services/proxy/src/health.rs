//! Health over HTTP: the proxy's own, and that of Services whose load balancers ask node by node.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use client::Key;
use http::{HeaderValue, Response, StatusCode, header};
use tokio::sync::watch;

/// What is known of the proxy's health. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Condition(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    in_step: AtomicBool,
    leaving: AtomicBool,
    updated: std::sync::Mutex<jiff::Timestamp>,
}

impl Condition {
    /// The kernel has (`true`) or has not what was asked for.
    pub(crate) fn set_in_step(&self, in_step: bool) {
        self.0.in_step.store(in_step, Ordering::Relaxed);
        if in_step {
            *self.0.updated.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
                jiff::Timestamp::now();
        }
    }

    /// The node is (`true`) or is not being removed.
    pub(crate) fn set_leaving(&self, leaving: bool) {
        self.0.leaving.store(leaving, Ordering::Relaxed);
    }

    fn healthy(&self) -> bool {
        self.0.in_step.load(Ordering::Relaxed)
    }

    fn report(&self, path: &str) -> (StatusCode, String) {
        let healthy = self.healthy();
        let eligible = !self.0.leaving.load(Ordering::Relaxed);
        let now = jiff::Timestamp::now();
        let is_healthz = path == "/healthz";
        let good = healthy && (eligible || !is_healthz);
        let updated = *self.0.updated.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let updated = if good { now } else { updated };
        let mut body = serde_json::json!({
            "lastUpdated": updated.to_string(), "currentTime": now.to_string(), "healthy": healthy
        });
        if is_healthz {
            body["nodeEligible"] = eligible.into();
        }
        let code = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (code, body.to_string())
    }
}

fn json(code: StatusCode, body: String) -> Response<web::Body> {
    let mut response = Response::new(web::full(body));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Serves `/healthz` and `/livez` until `stop`.
///
/// # Upstream
/// `pkg/proxy/healthcheck/proxy_health.go` `healthzHandler`
pub(crate) async fn serve(listener: web::Listener, condition: Condition, stop: web::Shutdown) {
    let answer = move |request: http::Request<hyper::body::Incoming>, _peer| {
        let response = match request.uri().path() {
            path @ ("/healthz" | "/livez") => {
                let (code, body) = condition.report(path);
                json(code, body)
            }
            _ => json(StatusCode::NOT_FOUND, "404 page not found\n".into()),
        };
        async move { response }
    };
    web::serve(listener, None, answer, stop).await;
}

/// The servers of health-check node ports.
#[derive(Debug)]
pub(crate) struct ServiceChecks {
    address: String,
    condition: Condition,
    running: HashMap<Key, Running>,
}

#[derive(Debug)]
struct Running {
    port: u16,
    endpoints: Arc<AtomicUsize>,
    // ends the server when dropped
    _stop: watch::Sender<bool>,
}

impl ServiceChecks {
    /// None yet; they will listen on `address`.
    pub(crate) fn new(address: &str, condition: Condition) -> Self {
        Self { address: address.into(), condition, running: HashMap::new() }
    }

    /// Starts, changes or ends the server of a Service.
    pub(crate) fn set(&mut self, service: &Key, check: Option<(u16, usize)>) {
        let Some((port, count)) = check else {
            self.running.remove(service);
            return;
        };
        match self.running.get(service).filter(|r| r.port == port) {
            Some(running) => running.endpoints.store(count, Ordering::Relaxed),
            None => {
                self.running.remove(service);
                let endpoints = Arc::new(AtomicUsize::new(count));
                let (sender, stop) = web::shutdown();
                let address = format!("{}:{port}", self.address);
                let (shared, condition) = (Arc::clone(&endpoints), self.condition.clone());
                tokio::spawn(serve_service(address, service.clone(), shared, condition, stop));
                self.running.insert(service.clone(), Running { port, endpoints, _stop: sender });
            }
        }
    }
}

/// # Upstream
/// `pkg/proxy/healthcheck/service_health.go` `hcHandler`
async fn serve_service(
    address: String,
    service: Key,
    endpoints: Arc<AtomicUsize>,
    condition: Condition,
    stop: web::Shutdown,
) {
    let listener = match bind(&address).await {
        Ok(listener) => listener,
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(%service, address, error, "Failed to start healthcheck");
            return;
        }
    };
    let answer = move |_request, _peer| {
        let count = endpoints.load(Ordering::Relaxed);
        let healthy = condition.healthy();
        let body = serde_json::json!({
            "service": {"namespace": service.namespace, "name": service.name},
            "localEndpoints": count,
            "serviceProxyHealthy": healthy,
        });
        let good = count != 0 && healthy;
        let code = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let mut response = json(code, body.to_string());
        response.headers_mut().insert("X-Load-Balancing-Endpoint-Weight", HeaderValue::from(count));
        async move { response }
    };
    web::serve(listener, None, answer, stop).await;
}

/// Binds `ADDRESS:PORT`.
///
/// # Errors
/// It is no address, or it cannot be bound.
pub(crate) async fn bind(address: &str) -> std::io::Result<web::Listener> {
    let address = address.parse().map_err(|_| {
        std::io::Error::new(std::io::ErrorKind::InvalidInput, format!("{address:?} is no address and port"))
    })?;
    web::Listener::tcp(address).await
}
