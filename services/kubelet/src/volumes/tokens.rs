//! Service account tokens, bound to their pod and renewed in time.
//!
//! # Upstream
//! `pkg/kubelet/token/token_manager.go`

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use client::Client;
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, Volume};
use serde::Deserialize;
use serde_json::json;

use super::payload;
use crate::pod::facts::PodFacts;

/// Tokens by audience and lifetime, or why there is none.
pub type Given = BTreeMap<(String, i64), Result<String, String>>;

type Which = (String, String, i64);

/// What is read of a TokenRequest that was answered: without a token it is no answer.
#[derive(Deserialize)]
struct Answer {
    status: AnswerStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnswerStatus {
    token: String,
    expiration_timestamp: Timestamp,
}

struct Held {
    token: String,
    renew: Timestamp,
    expires: Timestamp,
}

/// Tokens of the pods of this node.
pub struct Tokens {
    client: Client,
    held: Mutex<HashMap<Which, Held>>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    /// None yet.
    pub fn new(client: Client) -> Self {
        Self { client, held: Mutex::default() }
    }

    /// The tokens a pod's volumes hold.
    pub async fn of(&self, pod: &Pod) -> Given {
        let each = wanted(pod).into_iter().map(async |(audience, seconds)| {
            let token = self.expiring(pod, &audience, seconds).await;
            ((audience, seconds), token.map(|(token, _)| token).map_err(|e| crate::chain(&e)))
        });
        join_all(each).await.into_iter().collect()
    }

    /// A pod's token for an audience (empty: the API server's own), and its end.
    ///
    /// # Errors
    /// The API server gives none, and there is none that still holds.
    pub async fn expiring(
        &self,
        pod: &Pod,
        audience: &str,
        seconds: i64,
    ) -> Result<(String, Timestamp), client::Error> {
        let which = (pod.uid().to_owned(), audience.to_owned(), seconds);
        let now = Timestamp::now();
        let known = {
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.get(&which).map(|h| ((h.token.clone(), h.expires), now < h.renew, now < h.expires))
        };
        if let Some((token, true, _)) = known {
            return Ok(token);
        }
        match self.request(pod, audience, seconds).await {
            Ok((token, expires)) => {
                let lifetime = expires.duration_since(now);
                // renewed when a fifth of its life is left, or after a day, whichever comes first
                let after = SignedDuration::from_secs((lifetime.as_secs() * 4 / 5).min(24 * 3600));
                let held = Held { token: token.clone(), renew: now + after, expires };
                self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(which, held);
                Ok((token, expires))
            }
            Err(error) => match known {
                Some((token, _, true)) => {
                    tracing::warn!(
                        pod = pod.full_name(),
                        error = &error as &dyn std::error::Error,
                        "Renewing a token"
                    );
                    Ok(token)
                }
                _ => Err(error),
            },
        }
    }

    async fn request(
        &self,
        pod: &Pod,
        audience: &str,
        seconds: i64,
    ) -> Result<(String, Timestamp), client::Error> {
        let account = pod.facts().service_account_name.as_deref().unwrap_or("default");
        let path = format!("/api/v1/namespaces/{}/serviceaccounts/{account}/token", pod.namespace());
        let audiences: Vec<&str> = if audience.is_empty() { Vec::new() } else { vec![audience] };
        let bound = json!({ "apiVersion": "v1", "kind": "Pod", "name": pod.name(), "uid": pod.uid() });
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": { "audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": bound },
        });
        let answer: Answer = serde_json::from_slice(&self.client.post(path, &body).await?)?;
        Ok((answer.status.token, answer.status.expiration_timestamp))
    }

    /// Forgets a pod's tokens.
    pub fn forget(&self, uid: &str) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).retain(|(u, ..), _| u != uid);
    }
}

/// Audience and lifetime of each token that the volumes of a pod's containers hold.
fn wanted(pod: &Pod) -> BTreeSet<(String, i64)> {
    let used = super::used(pod);
    let volumes = pod.facts().volumes.iter().flatten().filter(|v| used.contains(v.name.as_str()));
    volumes.flat_map(of_volume).collect()
}

/// Audience and lifetime of each token that a volume holds.
pub fn of_volume(volume: &Volume) -> impl Iterator<Item = (String, i64)> {
    let parts = volume.projected.iter().flat_map(|p| p.sources.iter().flatten());
    parts.filter_map(|part| part.service_account_token.as_ref()).map(payload::token)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_volumes_of_containers_want_tokens() {
        let volume =
            |name: &str, sources: serde_json::Value| json!({"name": name, "projected": {"sources": sources}});
        let token = |path: &str, audience: &str| json!({"serviceAccountToken": {"path": path, "audience": audience, "expirationSeconds": 600}});
        let pod: Pod = serde_json::from_value(json!({
            "spec": {
                "containers": [{"name": "c", "volumeMounts": [{"name": "api", "mountPath": "/a"}, {"name": "more", "mountPath": "/b"}]}],
                "volumes": [
                    volume("api", json!([{"serviceAccountToken": {"path": "token"}}, {"configMap": {"name": "ca"}}])),
                    volume("more", json!([token("a", "vault"), token("b", "vault")])),
                    volume("unused", json!([token("a", "nobody")])),
                ],
            },
        }))
        .unwrap();
        let expected = [(String::new(), 3600), ("vault".to_owned(), 600)];
        assert_eq!(wanted(&pod), BTreeSet::from(expected));
    }
}
