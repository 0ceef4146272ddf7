//! Leader election by Lease: at most one of several acts.
//!
//! # Upstream
//! `k8s.io/client-go/tools/leaderelection`: 15 s lease, 10 s renew deadline, 2 s retry

use std::time::{Duration, Instant};

use client::{Client, Key, Resource};
use jiff::Timestamp;
use serde_json::{Value, json};

const LEASE: Duration = Duration::from_secs(15);
const DEADLINE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(2);

/// Who stands for which office.
#[derive(Debug, Clone)]
pub struct Election {
    /// The Lease's name in `kube-system`.
    pub name: String,
    /// This process.
    pub identity: String,
}

struct Seen {
    record: Value,
    at: Instant,
}

fn resource() -> Resource {
    Resource {
        group: "coordination.k8s.io".into(),
        version: "v1".into(),
        plural: "leases".into(),
        kind: "Lease".into(),
        namespaced: true,
    }
}

/// Waits until elected, then gives a future that completes when leadership is lost (end the process then).
pub async fn lead(client: Client, election: Election) -> impl Future<Output = ()> {
    let mut seen: Option<Seen> = None;
    // others count from what the server stored: an answer that comes late must not lengthen our time
    let mut renewed = loop {
        let begun = Instant::now();
        match tokio::time::timeout(DEADLINE, attempt(&client, &election, &mut seen)).await {
            Ok(Ok(true)) => break begun,
            Ok(Ok(false)) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "Leader election failed")
            }
            Err(_) => tracing::warn!(lease = election.name, "Leader election got no answer in time"),
        }
        tokio::time::sleep(RETRY).await;
    };
    tracing::info!(lease = election.name, identity = election.identity, "Elected leader");
    async move {
        loop {
            tokio::time::sleep(RETRY).await;
            let left = DEADLINE.saturating_sub(renewed.elapsed());
            let begun = Instant::now();
            match tokio::time::timeout(left, attempt(&client, &election, &mut seen)).await {
                Ok(Ok(true)) => renewed = begun,
                Ok(Ok(false)) => break, // another one holds it
                Ok(Err(error)) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "Lease not renewed")
                }
                Err(_) => {}
            }
            if renewed.elapsed() >= DEADLINE {
                break;
            }
        }
        tracing::error!(lease = election.name, "Leadership lost");
    }
}

/// Takes or renews the lease; whether it is ours now.
async fn attempt(
    client: &Client,
    election: &Election,
    seen: &mut Option<Seen>,
) -> Result<bool, client::Error> {
    let (leases, key) = (resource(), Key::new("kube-system", election.name.clone()));
    let now = meta::time::rfc3339_micro(Timestamp::now());
    let lease: Value = match client.get(&leases, &key).await {
        Err(error) if error.is_not_found() => {
            let object = json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": key.name, "namespace": key.namespace},
                "spec": {
                    "holderIdentity": election.identity, "leaseDurationSeconds": LEASE.as_secs(),
                    "acquireTime": now, "renewTime": now, "leaseTransitions": 0,
                },
            });
            let created: Result<Value, _> = client.create(&leases, &key.namespace, &object, "").await;
            return created.map(|_| true);
        }
        other => other?,
    };
    let spec = &lease["spec"];
    if seen.as_ref().is_none_or(|s| s.record != *spec) {
        *seen = Some(Seen { record: spec.clone(), at: Instant::now() });
    }
    let holder = spec["holderIdentity"].as_str().unwrap_or_default();
    let ours = holder == election.identity;
    let valid = seen.as_ref().is_some_and(|s| s.at.elapsed() < LEASE);
    if !ours && !holder.is_empty() && valid {
        return Ok(false);
    }
    let mut next = lease.clone();
    next["spec"]["holderIdentity"] = json!(election.identity);
    next["spec"]["leaseDurationSeconds"] = json!(LEASE.as_secs());
    next["spec"]["renewTime"] = json!(now);
    if !ours {
        next["spec"]["acquireTime"] = json!(now);
        next["spec"]["leaseTransitions"] = json!(spec["leaseTransitions"].as_i64().unwrap_or(0) + 1);
    }
    match client.put(leases.object(&key, ""), &next).await {
        Ok(_) => {
            *seen = Some(Seen { record: next["spec"].clone(), at: Instant::now() });
            Ok(true)
        }
        Err(error) if error.is_conflict() => Ok(false),
        Err(error) => Err(error),
    }
}
