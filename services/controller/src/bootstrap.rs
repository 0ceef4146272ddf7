//! Bootstrap tokens: signatures of the cluster's public information, and removal of expired ones.
//!
//! # Upstream
//! `pkg/controller/bootstrap`, `k8s.io/cluster-bootstrap/token/{jws,util}`

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use client::Key;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use reconcile::{Ask, Controller, Error, Kind, Permit, Plan, Watch};
use ring::hmac;

const TYPE: &str = "bootstrap.kubernetes.io/token";
const SIGNATURE: &str = "jws-kubeconfig-";

/// Signs `cluster-info` in `kube-public` with every token meant for that.
#[derive(Debug)]
pub(crate) struct Signer;

/// Deletes expired tokens.
#[derive(Debug)]
pub(crate) struct Cleaner;

fn text<'a>(secret: &'a Secret, key: &str) -> &'a str {
    let value = secret.data.as_ref().and_then(|d| d.get(key));
    value.and_then(|v| std::str::from_utf8(&v.0).ok()).unwrap_or_default() // not text: not there
}

/// When a token ends: `None` never, `Some(None)` has no readable time and counts as ended.
fn expiry(secret: &Secret) -> Option<Option<Timestamp>> {
    let value = text(secret, "expiration");
    if value.is_empty() { None } else { Some(value.parse().ok()) } // see above
}

fn is_expired(secret: &Secret, now: Timestamp) -> bool {
    expiry(secret).is_some_and(|at| at.is_none_or(|at| at <= now))
}

/// Id and secret of a token that signs.
fn signing(secret: &Secret, now: Timestamp) -> Option<(String, String)> {
    let (id, value) = (text(secret, "token-id"), text(secret, "token-secret"));
    let name = secret.name().strip_prefix("bootstrap-token-");
    let good = !id.is_empty() && name == Some(id) && !value.is_empty() && !is_expired(secret, now);
    (good && text(secret, "usage-bootstrap-signing") == "true").then(|| (id.to_owned(), value.to_owned()))
}

/// A JSON web signature without its payload.
fn detached(content: &str, id: &str, secret: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(format!("{{\"alg\":\"HS256\",\"kid\":\"{id}\"}}"));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(content));
    format!("{header}..{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes())))
}

impl Controller for Signer {
    fn name(&self) -> &'static str {
        "bootstrap-signer-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        let info = || vec![Key::new("kube-public", "cluster-info")];
        let of_map = Watch::map::<ConfigMap>(move |_, map| {
            if map.name() == "cluster-info" && map.namespace() == "kube-public" { info() } else { Vec::new() }
        });
        let of_secret = Watch::map::<Secret>(move |_, secret| {
            let token = secret.namespace() == "kube-system" && secret.type_.as_deref() == Some(TYPE);
            if token { info() } else { Vec::new() }
        });
        vec![of_map, of_secret]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::of::<ConfigMap>("patch")]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(map) = ask.view.get::<ConfigMap>(ask.key) else { return Ok(plan) };
        let Some(content) = map.data.as_ref().and_then(|d| d.get("kubeconfig")) else { return Ok(plan) };
        let secrets = ask.view.list::<Secret>("kube-system").filter(|s| s.type_.as_deref() == Some(TYPE));
        let tokens: BTreeMap<String, String> = secrets.filter_map(|s| signing(s, ask.now)).collect();
        let mut next = ConfigMap::clone(map);
        let data = next.data.get_or_insert_default();
        data.retain(|key, _| !key.starts_with(SIGNATURE));
        for (id, secret) in &tokens {
            data.insert(format!("{SIGNATURE}{id}"), detached(content, id, secret));
        }
        plan.update(map.as_ref(), &next)?;
        let ends = ask.view.list::<Secret>("kube-system").filter_map(|s| expiry(s)?);
        if let Some(first) = ends.filter(|at| *at > ask.now).min() {
            plan.again(until(first, ask.now));
        }
        Ok(plan)
    }
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(at.as_second() - now.as_second()).unwrap_or(0) + 1)
}

impl Controller for Cleaner {
    fn name(&self) -> &'static str {
        "token-cleaner-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        let tokens = Watch::map::<Secret>(|_, secret| {
            let token = secret.namespace() == "kube-system" && secret.type_.as_deref() == Some(TYPE);
            if token { vec![secret.key()] } else { Vec::new() }
        });
        vec![tokens]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::of::<Secret>("delete")]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(secret) = ask.view.get::<Secret>(ask.key).filter(|s| !s.deleting()) else { return Ok(plan) };
        match expiry(secret) {
            Some(Some(at)) if at > ask.now => plan.again(until(at, ask.now)),
            Some(_) => {
                plan.delete(secret.as_ref());
            }
            None => {}
        }
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of upstream's own test.
    #[test]
    fn signature() {
        let got = detached(
            "Hello from the other side. I must have called a thousand times.",
            "joshua",
            "my voice is my passcode",
        );
        assert_eq!(
            got,
            "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9..VShe2taLd-YTrmWuRkcL_8QTNDHYxQIEBsAYYiIj1_8"
        );
    }
}
