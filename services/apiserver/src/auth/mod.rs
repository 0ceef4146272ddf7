//! The seams to authentication and authorization. Verbs call neither: the request chain does.

pub mod certificate;
pub mod follow;
pub mod front_proxy;
pub mod impersonate;
pub mod rbac;
pub mod tokens;

use std::collections::BTreeMap;
use std::pin::Pin;

use crate::errors::Result;
use crate::request::RequestInfo;

/// A future of a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The uid, if known.
    pub uid: String,
    /// The groups.
    pub groups: Vec<String>,
    /// Anything else the authenticator says.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// Nobody in particular.
    pub fn anonymous() -> Self {
        Self {
            name: "system:anonymous".into(),
            groups: vec!["system:unauthenticated".into()],
            ..Self::default()
        }
    }

    /// The API server itself.
    pub fn server() -> Self {
        Self {
            name: "system:apiserver".into(),
            groups: vec!["system:authenticated".into(), "system:masters".into()],
            ..Self::default()
        }
    }

    /// Whether it is in a group.
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }

    /// Adds `system:authenticated`, as every successful authentication does.
    pub fn authenticated(mut self) -> Self {
        if !self.in_group("system:authenticated") && !self.in_group("system:unauthenticated") {
            self.groups.push("system:authenticated".into());
        }
        self
    }
}

/// What an authenticator looks at.
pub struct Credentials<'a> {
    /// The request's headers.
    pub headers: &'a http::HeaderMap,
    /// The request's path.
    pub path: &'a str,
    /// The connection's other end with its certificates.
    pub peer: &'a web::Peer,
}

impl Credentials<'_> {
    /// The bearer token, from the `Authorization` header or a WebSocket subprotocol.
    ///
    /// # Upstream
    /// `k8s.io/apiserver/pkg/authentication/request/{bearertoken,websocket}`
    pub fn bearer(&self) -> Option<String> {
        let header = self.headers.get(http::header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        if let Some((scheme, token)) = header.and_then(|h| h.trim().split_once(' '))
            && scheme.eq_ignore_ascii_case("bearer")
            && !token.trim().is_empty()
        {
            return Some(token.trim().to_owned());
        }
        let protocols = self.headers.get_all(http::header::SEC_WEBSOCKET_PROTOCOL);
        let mut protocols = protocols.iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
        let encoded =
            protocols.find_map(|p| p.trim().strip_prefix("base64url.bearer.authorization.k8s.io."))?;
        let decoded =
            base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, encoded).ok()?;
        String::from_utf8(decoded).ok()
    }
}

/// Finds out who asks.
pub trait Authenticator: Send + Sync {
    /// `Ok(None)`: no credentials of this kind. An error: credentials that are wrong (401).
    fn authenticate<'a>(&'a self, credentials: &'a Credentials<'a>) -> BoxFuture<'a, Result<Option<User>>>;
}

/// What somebody wants to do.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    /// Who.
    pub user: &'a User,
    /// What: verb, resource, name, or verb and path.
    pub info: &'a RequestInfo,
    /// The name, with collections narrowed to one name counted as that name.
    pub name: &'a str,
    /// The raw field selector of a collection request.
    pub field_selector: &'a str,
    /// The raw label selector of a collection request.
    pub label_selector: &'a str,
}

/// What an authorizer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Allowed.
    Allow,
    /// Refused, whoever else is asked.
    Deny(String),
    /// Not this one's business.
    NoOpinion(String),
}

/// Decides who may do what.
pub trait Authorizer: Send + Sync {
    /// Decides one request.
    fn authorize<'a>(&'a self, attributes: &'a Attributes<'a>) -> BoxFuture<'a, Decision>;
}

/// Authenticators asked in turn.
pub struct Authenticators(pub Vec<Box<dyn Authenticator>>);

impl Authenticator for Authenticators {
    fn authenticate<'a>(&'a self, credentials: &'a Credentials<'a>) -> BoxFuture<'a, Result<Option<User>>> {
        Box::pin(async move {
            for one in &self.0 {
                if let Some(user) = one.authenticate(credentials).await? {
                    return Ok(Some(user.authenticated()));
                }
            }
            Ok(None)
        })
    }
}

/// Authorizers asked in turn; who has no opinion passes on.
pub struct Authorizers(pub Vec<Box<dyn Authorizer>>);

impl Authorizer for Authorizers {
    fn authorize<'a>(&'a self, attributes: &'a Attributes<'a>) -> BoxFuture<'a, Decision> {
        Box::pin(async move {
            let mut reasons = Vec::new();
            for one in &self.0 {
                match one.authorize(attributes).await {
                    Decision::NoOpinion(reason) if reason.is_empty() => {}
                    Decision::NoOpinion(reason) => reasons.push(reason),
                    decided => return decided,
                }
            }
            Decision::NoOpinion(reasons.join("\n"))
        })
    }
}

/// `system:masters` may do everything.
///
/// # Upstream
/// `k8s.io/apiserver/pkg/authorization/authorizerfactory/builtin.go` `NewPrivilegedGroups`
pub struct PrivilegedGroup;

impl Authorizer for PrivilegedGroup {
    fn authorize<'a>(&'a self, attributes: &'a Attributes<'a>) -> BoxFuture<'a, Decision> {
        let privileged = attributes.user.in_group("system:masters");
        let decision = if privileged { Decision::Allow } else { Decision::NoOpinion(String::new()) };
        Box::pin(std::future::ready(decision))
    }
}

/// The sentence a refused client reads.
///
/// # Upstream
/// `k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go` `forbiddenMessage`
pub fn refusal(attributes: &Attributes<'_>) -> String {
    let (info, user) = (attributes.info, &attributes.user.name);
    if !info.is_resource {
        return format!("User {user:?} cannot {} path {:?}", info.verb, info.path);
    }
    let resource = match info.subresource.as_str() {
        "" => info.resource.clone(),
        sub => format!("{}/{sub}", info.resource),
    };
    let what =
        format!("User {user:?} cannot {} resource {resource:?} in API group {:?}", info.verb, info.group);
    if info.namespace.is_empty() {
        return format!("{what} at the cluster scope");
    }
    format!("{what} in the namespace {:?}", info.namespace)
}
