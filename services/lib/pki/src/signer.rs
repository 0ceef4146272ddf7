//! Signing for nodes that join, behind a unix socket.
//!
//! The supervisor (part of the API server) answers nodes that want certificates, but must not read the authorities'
//! keys: of the daemons only the controller does. So it hands a request on over a socket that its user alone may open.
//! CertificateSigningRequest objects would do the same through the API, but their signers certify the names a request
//! carries, and k3s's agents send requests that carry none: the server decides whom a certificate names. What may be
//! asked for here is a fixed set of profiles, so that who takes over the API server's process cannot have an
//! administrator's certificate made.
//!
//! One JSON line each way per connection.

use std::net::IpAddr;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use x509_parser::prelude::FromDer;

use crate::{Authority, Leaf, PkiError};

/// No request is longer.
const MOST: u64 = 64 << 10;

/// What a certificate is wanted for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "profile")]
pub enum Profile {
    /// A node's identity.
    ClientKubelet {
        /// The node.
        node: String,
    },
    /// A node's kubelet as server.
    ServingKubelet {
        /// The node.
        node: String,
        /// Its addresses.
        ips: Vec<IpAddr>,
    },
    /// `system:kube-proxy`.
    ClientKubeProxy,
    /// `system:k3s-controller`.
    ClientK3sController,
}

impl Profile {
    /// What the certificate says.
    ///
    /// # Upstream
    /// k3s `pkg/server/handlers/handlers.go`
    pub fn leaf(&self) -> Leaf {
        match self {
            Self::ClientKubelet { node } => Leaf::client(&format!("system:node:{node}"), &["system:nodes"]),
            Self::ServingKubelet { node, ips } => {
                let mut all = vec![IpAddr::from([127, 0, 0, 1])];
                all.extend(ips.iter().filter(|ip| !ip.is_loopback()));
                Leaf::server(node, vec![node.clone(), "localhost".into()], all)
            }
            Self::ClientKubeProxy => Leaf::client("system:kube-proxy", &[]),
            Self::ClientK3sController => Leaf::client("system:k3s-controller", &[]),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    #[serde(flatten)]
    profile: Profile,
    public_key: String,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    certificate: String,
    error: String,
}

/// Why a certificate could not be had from the signer.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// Nobody answers on the socket.
    #[error("asking the signer")]
    Socket(#[from] std::io::Error),
    /// The answer is none.
    #[error("reading the signer's answer")]
    Answer(#[from] serde_json::Error),
    /// The signer refused.
    #[error("the signer refused: {0}")]
    Refused(String),
}

/// Asks the signer behind a socket for a certificate over a public key (DER); gives the chain, PEM.
///
/// # Errors
/// Nobody answers, or the answer is no.
pub async fn ask(socket: &Path, profile: Profile, public_key: &[u8]) -> Result<String, SignError> {
    let mut stream = UnixStream::connect(socket).await?;
    let request = serde_json::to_string(&Request { profile, public_key: STANDARD.encode(public_key) })?;
    stream.write_all(format!("{request}\n").as_bytes()).await?;
    let mut line = String::new();
    BufReader::new(stream.take(MOST)).read_line(&mut line).await?;
    let answer: Answer = serde_json::from_str(&line)?;
    if answer.error.is_empty() { Ok(answer.certificate) } else { Err(SignError::Refused(answer.error)) }
}

/// The two authorities nodes get certificates from.
#[derive(Debug)]
pub struct Signer {
    client: Authority,
    server: Authority,
}

impl Signer {
    /// Reads `client-ca` and `server-ca` of a folder.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn load(folder: &Path) -> Result<Self, PkiError> {
        let read = |name: &str| {
            Authority::load(&folder.join(format!("{name}.crt")), &folder.join(format!("{name}.key")))
        };
        Ok(Self { client: read("client-ca")?, server: read("server-ca")? })
    }

    /// Answers one connection.
    pub async fn answer(&self, stream: UnixStream) {
        if let Err(error) = self.one(stream).await {
            tracing::info!(error = &error as &dyn std::error::Error, "A request to the signer was cut");
        }
    }

    async fn one(&self, stream: UnixStream) -> std::io::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut line = String::new();
        BufReader::new(read.take(MOST)).read_line(&mut line).await?;
        let answer = match self.sign(&line) {
            Ok(certificate) => Answer { certificate, ..Answer::default() },
            Err(error) => Answer { error, ..Answer::default() },
        };
        let text = serde_json::to_string(&answer)?;
        write.write_all(format!("{text}\n").as_bytes()).await
    }

    fn sign(&self, line: &str) -> Result<String, String> {
        let request: Request = serde_json::from_str(line).map_err(|e| e.to_string())?;
        let key = STANDARD.decode(&request.public_key).map_err(|e| e.to_string())?;
        let authority = match &request.profile {
            Profile::ServingKubelet { .. } => &self.server,
            _ => &self.client,
        };
        let leaf = request.profile.leaf();
        let chain = authority.sign(&key, &leaf).map_err(|e| e.to_string())?;
        tracing::info!(subject = leaf.common_name, "Signed a certificate for a node");
        Ok(chain)
    }
}

/// The public key of a DER signing request, if whoever made it holds the private one.
pub fn public_key_of(request: &[u8]) -> Option<Vec<u8>> {
    let (_, request) =
        x509_parser::certification_request::X509CertificationRequest::from_der(request).ok()?;
    request.verify_signature().ok()?;
    Some(request.certification_request_info.subject_pki.raw.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_node_gets_its_certificate() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["client-ca", "server-ca"] {
            Authority::ensure(folder.path(), name, name).unwrap();
        }
        let signer = Signer::load(folder.path()).unwrap();
        let socket = folder.path().join("socket");
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let key = crate::new_key().unwrap();
        let public = public_key_of(&crate::request(&key).unwrap()).unwrap();
        let profile = Profile::ServingKubelet { node: "n1".into(), ips: vec!["10.0.0.1".parse().unwrap()] };
        let asked = ask(&socket, profile, &public);
        let served = async { signer.answer(listener.accept().await.unwrap().0).await };
        let (chain, ()) = tokio::join!(asked, served);
        let chain = chain.unwrap();
        assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 2);
        let facts = crate::facts(&chain).unwrap();
        assert_eq!(facts.subject, "CN=n1");
        assert_eq!(public_key_of(b"x"), None);
    }
}
