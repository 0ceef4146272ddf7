//! An agent joins: it learns the cluster's settings and gets its certificates from a server.
//!
//! # Upstream
//! k3s `pkg/agent/config/config.go` `Get`, `pkg/clientaccess/token.go` `ParseAndValidateToken`

mod https;

pub use https::HttpError;

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use config::Config;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use pki::{Token, authority_hash};
use serde_json::Value;

use self::https::{Trust, Url};
use crate::cluster::Cluster;
use crate::files::{self, FileError, Owner};
use crate::node::Identity;
use crate::{BootstrapError, Options, Places, Report};

/// Between two attempts.
const RETRY: Duration = Duration::from_secs(5);
/// What of the last successful join is kept for a start without a server.
const KEPT: &str = "etc/k3s-rs-cluster.json";

/// Why a server does not let this node in.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The token is none.
    #[error("invalid token format")]
    Token,
    /// The server's address is none.
    #[error("Invalid server url, failed to parse: {0}")]
    Url(String),
    /// The server cannot be reached, or does not speak as it should.
    #[error("{url}")]
    Request {
        /// What was asked for.
        url: String,
        /// Why there is no answer.
        source: HttpError,
    },
    /// The authority is not the one the token names.
    #[error("token CA hash does not match the Cluster CA certificate hash: {token} != {server}")]
    Hash {
        /// The token's.
        token: String,
        /// The server's.
        server: String,
    },
    /// The server says no.
    #[error("{url}: {status}{}", if .reason.is_empty() { String::new() } else { format!(": {reason}") })]
    Status {
        /// What was asked for.
        url: String,
        /// What it answered.
        status: StatusCode,
        /// What it said.
        reason: String,
    },
    /// Another node has this name.
    #[error(
        "Node password rejected, duplicate hostname or contents of '{0}' may not match server node-passwd entry, try enabling a unique node name with the --with-node-id flag"
    )]
    Password(PathBuf),
    /// What it sent is not what was asked for.
    #[error("{0} is not what was asked for")]
    Answer(&'static str),
}

/// Joins, trying until it works; says why it does not. A node that was let in before starts without a server too.
pub(crate) async fn run(
    config: &Config,
    identity: &Identity,
    places: &Places,
    options: &Options,
    _report: &mut Report,
) -> Result<Cluster, BootstrapError> {
    let url = config.server_url.clone().unwrap_or_default();
    loop {
        match attempt(config, identity, places).await {
            Ok(cluster) => return Ok(cluster),
            Err(error) if options.renew => return Err(error),
            Err(BootstrapError::Join(error)) => {
                let reason = chain(&error);
                if let (JoinError::Request { .. }, Some(document)) = (&error, kept(places)?) {
                    tracing::warn!(reason, "No server answered: started with what the last join said");
                    return Ok(Cluster::of_document(&document, url));
                }
                tracing::info!(reason, "Waiting to retrieve agent configuration; server is not ready");
                k3s_rs_systemd::Notify.status(&format!("Joining {url}: {reason}"));
                tokio::time::sleep(RETRY).await;
            }
            Err(other) => return Err(other),
        }
    }
}

/// An error with its reasons, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// The cluster's settings of the last join, if its certificates are there and have not ended.
fn kept(places: &Places) -> Result<Option<Value>, FileError> {
    for name in ["client-kubelet", "serving-kubelet", "client-kube-proxy", "client-k3s-controller"] {
        let pem = files::read(&places.agent(&format!("{name}.crt")))?.unwrap_or_default();
        let soon = std::time::SystemTime::now() + Duration::from_secs(60);
        let now = soon.duration_since(std::time::UNIX_EPOCH).map_or(i64::MAX, |d| d.as_secs().cast_signed());
        if pki::facts(&pem).is_none_or(|f| f.not_after.as_second() < now) {
            return Ok(None);
        }
    }
    let text = files::read(&places.agent(KEPT))?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok())) // unreadable: as if there were none
}

struct Server<'a> {
    url: Url,
    trust: Trust,
    headers: HeaderMap,
    identity: &'a Identity,
    places: &'a Places,
}

async fn attempt(config: &Config, identity: &Identity, places: &Places) -> Result<Cluster, BootstrapError> {
    let text = config.server_url.clone().unwrap_or_default();
    let url = Url::parse(&text).ok_or_else(|| JoinError::Url(text.clone()))?;
    let token = match &config.token {
        Some(token) => Some(Token::parse(&token.0).ok_or(JoinError::Token)?),
        None => None, // let in before: the node's certificate will do
    };
    let authority = authority(&url, token.as_ref()).await?;
    let headers = headers(token.as_ref(), identity)?;
    files::folder(&places.agent(""), 0o755)?;
    let client = (places.agent("client-kubelet.crt"), places.agent("client-kubelet.key"));
    let own = match (files::read(&client.0)?, files::read(&client.1)?) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        _ => None,
    };
    let trust = Trust::Authority { pem: authority, identity: own };
    let server = Server { url, trust, headers, identity, places };
    let document = server.get("/v1-k3s/config").await?;
    let document: Value =
        serde_json::from_slice(&document).map_err(|_| JoinError::Answer("/v1-k3s/config"))?;
    for name in ["client-ca.crt", "server-ca.crt"] {
        let pem = server.get(&format!("/v1-k3s/{name}")).await?;
        files::put(&places.agent(name), &pem, 0o644, Owner::ROOT)?;
    }
    for name in ["serving-kubelet", "client-kubelet", "client-kube-proxy", "client-k3s-controller"] {
        server.certificate(name).await?;
    }
    files::put(&places.agent(KEPT), document.to_string().as_bytes(), 0o600, Owner::ROOT)?;
    Ok(Cluster::of_document(&document, text))
}

/// The server's authority, trusted because the token names it (or, by a short token, on first use).
async fn authority(url: &Url, token: Option<&Token>) -> Result<String, JoinError> {
    let ask = async |trust: &Trust| {
        let wrong = |source| JoinError::Request { url: url.with("/cacerts"), source };
        let answer = https::request(url, trust, Method::GET, "/cacerts", &HeaderMap::new(), Vec::new()).await;
        let (status, body) = answer.map_err(wrong)?;
        if status == StatusCode::OK {
            return String::from_utf8(body.to_vec()).map_err(|_| JoinError::Answer("/cacerts"));
        }
        Err(JoinError::Status { url: url.with("/cacerts"), status, reason: String::new() })
    };
    let pem = ask(&Trust::Anybody).await?;
    let hash = authority_hash(&pem);
    match token.map(|t| t.authority_hash.as_str()) {
        Some(wanted) if !wanted.is_empty() && wanted != hash => {
            return Err(JoinError::Hash { token: wanted.to_owned(), server: hash });
        }
        Some("") => tracing::warn!(
            "The token does not name the cluster's authority: use the full token of the server's node-token file"
        ),
        _ => {}
    }
    // who answered must hold a certificate of that authority
    ask(&Trust::Authority { pem: pem.clone(), identity: None }).await?;
    Ok(pem)
}

fn headers(token: Option<&Token>, identity: &Identity) -> Result<HeaderMap, JoinError> {
    let mut headers = HeaderMap::new();
    let mut put = |name: &'static str, value: String| {
        let value = HeaderValue::from_str(&value).map_err(|_| JoinError::Token)?;
        headers.insert(HeaderName::from_static(name), value);
        Ok(())
    };
    if let Some(token) = token {
        let bootstrap = token.user.is_empty() && is_bootstrap_token(&token.password);
        let user = if token.user.is_empty() { "node" } else { &token.user };
        let value = match bootstrap {
            true => format!("Bearer {}", token.password),
            false => format!("Basic {}", STANDARD.encode(format!("{user}:{}", token.password))),
        };
        put("authorization", value)?;
    }
    put("k3s-node-name", identity.name.clone())?;
    put("k3s-node-password", identity.password.clone())?;
    let ips: Vec<String> = identity.ips.iter().map(ToString::to_string).collect();
    put("k3s-node-ip", ips.join(","))?;
    Ok(headers)
}

/// `abcdef.0123456789abcdef`
fn is_bootstrap_token(text: &str) -> bool {
    let word = |s: &str, n| s.len() == n && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    text.split_once('.').is_some_and(|(id, secret)| word(id, 6) && word(secret, 16))
}

impl Server<'_> {
    async fn get(&self, path: &str) -> Result<Vec<u8>, JoinError> {
        self.ask(Method::GET, path, Vec::new()).await
    }

    async fn ask(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Vec<u8>, JoinError> {
        let url = self.url.with(path);
        let request = async |trust: &Trust| {
            let answer =
                https::request(&self.url, trust, method.clone(), path, &self.headers, body.clone()).await;
            answer.map_err(|source| JoinError::Request { url: url.clone(), source })
        };
        let (mut status, mut body) = request(&self.trust).await?;
        if status == StatusCode::UNAUTHORIZED
            && let Trust::Authority { pem, identity: Some(_) } = &self.trust
        {
            // the node was deleted, its certificate counts no more: the token may
            let trust = Trust::Authority { pem: pem.clone(), identity: None };
            (status, body) = request(&trust).await?;
        }
        match status {
            StatusCode::OK => Ok(body.to_vec()),
            StatusCode::FORBIDDEN if path.contains("-kubelet") => {
                Err(JoinError::Password(self.places.node.join("password")))
            }
            _ => Err(JoinError::Status { url, status, reason: reason(&body) }),
        }
    }

    /// Has a certificate made over a key that stays here.
    async fn certificate(&self, name: &'static str) -> Result<(), BootstrapError> {
        let (certificate, key) =
            (self.places.agent(&format!("{name}.crt")), self.places.agent(&format!("{name}.key")));
        let pem = match files::read(&key)? {
            Some(pem) => pem,
            None => {
                let pem = pki::new_key()?;
                files::put(&key, pem.as_bytes(), 0o600, Owner::ROOT)?;
                pem
            }
        };
        let request = pki::request(&pem)?;
        let chain = self.ask(Method::POST, &format!("/v1-k3s/{name}.crt"), request).await?;
        let text = String::from_utf8(chain).map_err(|_| JoinError::Answer(name))?;
        if pki::facts(&text).is_none() || text.contains("PRIVATE KEY") {
            return Err(JoinError::Answer(name).into());
        }
        files::put(&certificate, text.as_bytes(), 0o644, Owner::ROOT)?;
        tracing::info!(name, node = self.identity.name, "Got a certificate");
        Ok(())
    }
}

/// What a `Status` or a text says.
fn reason(body: &[u8]) -> String {
    let parsed: Option<Value> = serde_json::from_slice(body).ok(); // not JSON: the text itself
    let message = parsed.and_then(|v| v["message"].as_str().map(str::to_owned));
    message.unwrap_or_else(|| String::from_utf8_lossy(body).trim().chars().take(200).collect())
}
