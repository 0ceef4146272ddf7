//! Who asks, and whether they may.
//!
//! # Upstream
//! `pkg/kubelet/server/auth.go`, `cmd/kubelet/app/auth.go`

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{Method, Request, StatusCode, header};
use hyper::body::Incoming;
use k8s_openapi::api::authentication::v1::TokenReview;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use serde_json::json;
use web::{ClientCa, Peer};

use super::{Answer, text};
use crate::Kubelet;

/// A user as the API server names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct User {
    name: String,
    uid: String,
    groups: Vec<String>,
}

/// Judges requests; answers of the API server are remembered for a while.
#[derive(Debug)]
pub(super) struct Auth {
    ca: Option<ClientCa>,
    tokens: Mutex<HashMap<String, (Instant, User)>>,
    allowed: Mutex<HashMap<Question, (Instant, bool)>>,
}

/// Who would do what to which part of the node.
type Question = (User, String, &'static str);

const TOKEN_LIFE: Duration = Duration::from_secs(120);
const ALLOWED_LIFE: Duration = Duration::from_secs(300);
const DENIED_LIFE: Duration = Duration::from_secs(30);
const REMEMBERED: usize = 1024;

impl Auth {
    pub(super) fn new(kubelet: &Kubelet) -> Result<Self, web::TlsError> {
        let file = &kubelet.settings.authentication.x509.client_ca_file;
        let ca = if file.as_os_str().is_empty() { None } else { Some(ClientCa::from_file(file)?) };
        Ok(Self { ca, tokens: Mutex::default(), allowed: Mutex::default() })
    }

    /// Lets a request through, or says why not.
    pub(super) async fn check(
        &self,
        kubelet: &Kubelet,
        request: &Request<Incoming>,
        peer: &Peer,
    ) -> Result<(), Answer> {
        let Some(user) = self.user(kubelet, request, peer).await else {
            return Err(text(StatusCode::UNAUTHORIZED, "Unauthorized"));
        };
        if kubelet.settings.authorization.mode == "AlwaysAllow" {
            return Ok(());
        }
        let verb = match *request.method() {
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "get",
        };
        let wanted = subresources(request.uri().path());
        for subresource in &wanted {
            match self.allowed(kubelet, &user, verb, subresource).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => {
                    let error = crate::chain(&error);
                    tracing::warn!(user = user.name, verb, error, "Asking whether a request is allowed");
                    let message = format!(
                        "Authorization error (user={}, verb={verb}, resource=nodes, subresource(s)={wanted:?})",
                        user.name
                    );
                    return Err(text(StatusCode::INTERNAL_SERVER_ERROR, message));
                }
            }
        }
        let message = format!(
            "Forbidden (user={}, verb={verb}, resource=nodes, subresource(s)=[{}])\n",
            user.name,
            wanted.join(" ")
        );
        Err(text(StatusCode::FORBIDDEN, message))
    }

    async fn user(&self, kubelet: &Kubelet, request: &Request<Incoming>, peer: &Peer) -> Option<User> {
        if let Some(ca) = self.ca.as_ref().filter(|_| !peer.certificates.is_empty()) {
            match ca.verify(&peer.certificates) {
                Ok(identity) => {
                    let mut groups = identity.organizations;
                    groups.push("system:authenticated".into());
                    return Some(User { name: identity.common_name, uid: String::new(), groups });
                }
                Err(error) => {
                    tracing::debug!(error = crate::chain(&error), "Client certificate was not accepted")
                }
            }
        }
        let bearer = request.headers().get(header::AUTHORIZATION).and_then(|h| h.to_str().ok()); // not text: no token
        if let Some(token) = bearer.and_then(|b| b.strip_prefix("Bearer "))
            && kubelet.settings.authentication.webhook.enabled
        {
            return self.by_token(kubelet, token.trim()).await;
        }
        kubelet.settings.authentication.anonymous.enabled.then(|| User {
            name: "system:anonymous".into(),
            uid: String::new(),
            groups: vec!["system:unauthenticated".into()],
        })
    }

    async fn by_token(&self, kubelet: &Kubelet, token: &str) -> Option<User> {
        {
            let known = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((at, user)) = known.get(token).filter(|(at, _)| at.elapsed() < TOKEN_LIFE) {
                tracing::trace!(age = at.elapsed().as_secs(), "Token is known");
                return Some(user.clone());
            }
        }
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": { "token": token },
        });
        let answer = kubelet.client.post("/apis/authentication.k8s.io/v1/tokenreviews", &review).await;
        let parsed = answer.and_then(|b| Ok(serde_json::from_slice::<TokenReview>(&b)?));
        let status = match parsed {
            Ok(review) => review.status?,
            Err(error) => {
                tracing::warn!(error = crate::chain(&error), "Asking whose token this is");
                return None;
            }
        };
        let user = status.user.filter(|_| status.authenticated == Some(true))?;
        let user = User {
            name: user.username.unwrap_or_default(),
            uid: user.uid.unwrap_or_default(),
            groups: user.groups.unwrap_or_default(),
        };
        let mut known = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(token.to_owned(), (Instant::now(), user.clone()));
        Some(user)
    }

    async fn allowed(
        &self,
        kubelet: &Kubelet,
        user: &User,
        verb: &'static str,
        subresource: &str,
    ) -> Result<bool, client::Error> {
        let key = (user.clone(), subresource.to_owned(), verb);
        {
            let known = self.allowed.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((at, allowed)) = known.get(&key)
                && at.elapsed() < if *allowed { ALLOWED_LIFE } else { DENIED_LIFE }
            {
                return Ok(*allowed);
            }
        }
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {
                "user": user.name, "groups": user.groups, "uid": user.uid,
                "resourceAttributes": {
                    "verb": verb, "version": "v1", "resource": "nodes",
                    "subresource": subresource, "name": kubelet.name,
                },
            },
        });
        let answer =
            kubelet.client.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", &review).await?;
        let review: SubjectAccessReview = serde_json::from_slice(&answer)?;
        let allowed = review.status.is_some_and(|s| s.allowed);
        let mut known = self.allowed.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(key, (Instant::now(), allowed));
        Ok(allowed)
    }
}

/// What of the node a path is; any of these rights will do.
///
/// # Upstream
/// `pkg/kubelet/server/auth.go` `GetRequestAttributes` (KubeletFineGrainedAuthz)
fn subresources(path: &str) -> Vec<&'static str> {
    match path.trim_start_matches('/').split('/').next().unwrap_or_default() {
        "stats" => vec!["stats"],
        "metrics" => vec!["metrics"],
        "logs" => vec!["log"],
        "checkpoint" => vec!["checkpoint"],
        "pods" | "runningpods" => vec!["pods", "proxy"],
        "healthz" => vec!["healthz", "proxy"],
        "configz" => vec!["configz", "proxy"],
        _ => vec!["proxy"],
    }
}
