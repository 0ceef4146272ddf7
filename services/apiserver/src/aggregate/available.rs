//! The condition `Available` of APIServices that other servers answer, and with it what they serve.
//!
//! # Upstream
//! `k8s.io/kube-aggregator/pkg/controllers/status/remote/remote_available_controller.go`

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, select_ok};
use schema::{Map, Object, Value};

use super::{ApiService, GROUP, PLURAL, Remote, SLICE_OF, discovery};
use crate::errors;
use crate::server::Server;

/// Between rounds when all is well, and the longest between rounds at all.
const ROUND: Duration = Duration::from_secs(30);
/// Before the second try of what failed; doubled each time.
const RETRY: Duration = Duration::from_millis(250);
/// Endpoints asked at once; one that answers is enough.
const ATTEMPTS: usize = 5;

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    status: &'static str,
    reason: &'static str,
    message: String,
}

impl Condition {
    fn no(reason: &'static str, message: String) -> Self {
        Self { status: "False", reason, message }
    }
}

/// Looks after all of them for ever.
pub async fn run(server: Arc<Server>) {
    server.health.done("poststarthook/apiservice-discovery-controller");
    server.health.done("poststarthook/apiservice-status-remote-available-controller");
    let mut pause = RETRY;
    loop {
        let aggregator = &server.aggregator;
        let remotes = aggregator.remotes();
        let rounds = remotes.iter().map(|(name, service)| one(&server, name, service));
        let well = join_all(rounds).await.into_iter().all(|well| well);
        pause = if well { ROUND } else { (pause * 2).min(ROUND) };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = aggregator.changed.notified() => pause = RETRY,
        }
    }
}

/// Checks one and writes what changed; whether all is well.
async fn one(server: &Arc<Server>, name: &str, service: &ApiService) -> bool {
    let Some(remote) = &service.remote else { return true };
    let found = check(server, service, remote).await;
    let well = found.status == "True";
    discovery::refresh(server, name, service, well).await;
    let wanted = found.clone();
    let edit = move |object: &mut Object| set(object, &wanted, jiff::Timestamp::now());
    let written = crate::start::edit(server, (GROUP, PLURAL), ("", name), "status", edit).await;
    match written {
        Ok(()) => well,
        Err(error) => {
            tracing::warn!(apiservice = name, error = %error, "cannot write the condition of an APIService");
            false
        }
    }
}

async fn check(server: &Arc<Server>, service: &ApiService, remote: &Remote) -> Condition {
    let found = match routed(server, remote) {
        Ok(None) => asked(server, service, remote).await,
        Ok(Some(condition)) => return condition,
        Err(error) => {
            let message = format!("{} cannot be checked due to: {error}", place(remote));
            return Condition { status: "Unknown", reason: "ServiceAccessError", message };
        }
    };
    match found {
        Ok(()) => Condition { status: "True", reason: "Passed", message: "all checks passed".into() },
        Err(why) => Condition::no("FailedDiscoveryCheck", why),
    }
}

fn place(remote: &Remote) -> String {
    format!("service/{} in {:?}", remote.name, remote.namespace)
}

/// What is missing between us and the server; nothing when it may be asked.
fn routed(server: &Arc<Server>, remote: &Remote) -> errors::Result<Option<Condition>> {
    let Some(service) = server.peek("", "services", &remote.namespace, &remote.name)? else {
        return Ok(Some(Condition::no("ServiceNotFound", format!("{} is not present", place(remote)))));
    };
    if service.str_at(&["spec", "type"]) != "ClusterIP" {
        return Ok(None);
    }
    let ports = service.list_at(&["spec", "ports"]);
    let number = |p: &&Value| p.at(&["port"]).and_then(Value::as_int) == Some(i64::from(remote.port));
    let Some(port) = ports.iter().find(number) else {
        let message = format!("{} is not listening on port {}", place(remote), remote.port);
        return Ok(Some(Condition::no("ServicePortError", message)));
    };
    let slices = server.peek_objects("discovery.k8s.io", "endpointslices", &remote.namespace)?;
    if !slices.iter().any(|slice| slice.label(SLICE_OF) == Some(remote.name.as_str())) {
        let message = format!("cannot find endpointslices for {}", place(remote));
        return Ok(Some(Condition::no("EndpointsNotFound", message)));
    }
    let name = port.at(&["name"]).and_then(Value::as_str).unwrap_or("");
    if crate::sub::proxy::ready_endpoints(server, &remote.namespace, &remote.name, name)?.is_empty() {
        let message =
            format!("endpointslices for {} have no addresses with port name {name:?}", place(remote));
        return Ok(Some(Condition::no("MissingEndpoints", message)));
    }
    Ok(None)
}

/// Whether a server answers the group's discovery.
async fn asked(server: &Arc<Server>, service: &ApiService, remote: &Remote) -> Result<(), String> {
    let path = discovery::path_of(service);
    let attempts: Vec<_> = (0..ATTEMPTS).map(|_| Box::pin(attempt(server, remote, &path))).collect();
    select_ok(attempts).await.map(|((), _)| ())
}

async fn attempt(server: &Arc<Server>, remote: &Remote, path: &str) -> Result<(), String> {
    let (url, answer) = remote.get(server, path, "*/*").await;
    let why = match answer {
        Ok(answer) if answer.status.is_success() || answer.status.is_redirection() => return Ok(()),
        Ok(answer) => format!("bad status from {url}: {}", answer.status.as_u16()),
        Err(error) if url.is_empty() => return Err(error.to_string()),
        Err(error) => format!("Get {url:?}: {error}"),
    };
    Err(format!("failing or missing response from {url}: {why}"))
}

/// Puts a condition into an object; its time is that of its last change of status.
fn set(object: &mut Object, found: &Condition, now: jiff::Timestamp) {
    let status = object.root_mut().map_mut("status");
    let list = status.get_or_insert_with("conditions", || Value::List(Vec::new()));
    let Some(list) = list.as_list_mut() else { return };
    let is_it = |v: &Value| v.at(&["type"]).and_then(Value::as_str) == Some("Available");
    let at = list.iter().position(is_it).unwrap_or_else(|| {
        let mut new = Map::new();
        new.insert("type", "Available");
        list.push(Value::Map(new));
        list.len() - 1
    });
    let Some(at) = list[at].as_map_mut() else { return };
    if at.get("status").and_then(Value::as_str) != Some(found.status) {
        at.insert("status", found.status);
        at.insert("lastTransitionTime", meta::time::rfc3339(now));
    }
    at.insert("reason", found.reason);
    at.insert("message", found.message.as_str());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_time_while_its_status_stays() {
        let mut object = Object::new(Map::new());
        let at = |second| jiff::Timestamp::from_second(second).unwrap();
        let time = |object: &Object| {
            let list = object.list_at(&["status", "conditions"]);
            let text = |key: &str| list[0].at(&[key]).and_then(Value::as_str).unwrap_or("").to_owned();
            (list.len(), text("lastTransitionTime"), text("reason"))
        };
        let no = Condition::no("MissingEndpoints", "m".into());
        set(&mut object, &no, at(0));
        set(&mut object, &Condition::no("FailedDiscoveryCheck", "n".into()), at(1));
        assert_eq!(time(&object), (1, "1970-01-01T00:00:00Z".into(), "FailedDiscoveryCheck".into()));
        let yes = Condition { status: "True", reason: "Passed", message: String::new() };
        set(&mut object, &yes, at(2));
        assert_eq!(time(&object), (1, "1970-01-01T00:00:02Z".into(), "Passed".into()));
    }
}
