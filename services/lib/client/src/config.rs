//! Where the API server is and who asks.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde::Deserialize;

/// Why a kubeconfig cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("reading {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no YAML.
    #[error("parsing {path}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        source: yaml::Error,
    },
    /// The file has not the shape of a kubeconfig.
    #[error("{path} is no kubeconfig")]
    Shape {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The current context, or what it names, is missing.
    #[error("kubeconfig has no {what} {name:?}")]
    Missing {
        /// `context`, `cluster` or `user`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The server's address is not `https://host[:port]`.
    #[error("server address {0:?} is not https://host[:port]")]
    Server(String),
    /// The token cannot stand in a header.
    #[error("the token has characters no token has")]
    Token,
    /// A certificate or key cannot be read.
    #[error("{what}")]
    Pem {
        /// Which.
        what: &'static str,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// A data field is not base64.
    #[error("{what} is not base64")]
    Base64 {
        /// Which.
        what: &'static str,
        /// Why.
        source: base64::DecodeError,
    },
    /// Certificates cannot be used.
    #[error("setting up TLS")]
    Tls(#[from] rustls::Error),
}

/// A PEM source: a file (read again at each connection, so that rotation needs no restart) or bytes.
#[derive(Debug, Clone)]
pub enum Pem {
    /// A file.
    File(PathBuf),
    /// The text itself.
    Inline(Vec<u8>),
}

/// Where the API server is and who asks.
#[derive(Clone)]
pub struct ClusterConfig {
    /// Host name or address, for the connection and the certificate check.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// A unix socket to connect to instead of TCP; TLS is spoken all the same.
    pub socket: Option<PathBuf>,
    /// The certificate's name to check, when it differs from `host`.
    pub tls_name: Option<String>,
    /// The authority the server's certificate must come from.
    pub ca: Pem,
    /// Client certificate and key.
    pub identity: Option<(Pem, Pem)>,
    /// A bearer token, or the file that holds it.
    pub token: Option<Token>,
}

/// A bearer token.
#[derive(Clone)]
pub enum Token {
    /// A file, read for each request: kubelet renews it in place.
    File(PathBuf),
    /// The token itself.
    Inline(String),
}

impl std::fmt::Debug for ClusterConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterConfig")
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Kubeconfig {
    #[serde(default)]
    clusters: Vec<Named<ClusterEntry>>,
    #[serde(default)]
    users: Vec<Named<UserEntry>>,
    #[serde(default)]
    contexts: Vec<Named<ContextEntry>>,
    #[serde(default)]
    current_context: String,
}

#[derive(Deserialize)]
struct Named<T> {
    name: String,
    #[serde(alias = "cluster", alias = "user", alias = "context")]
    entry: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ClusterEntry {
    server: String,
    tls_server_name: Option<String>,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct UserEntry {
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    token: Option<String>,
}

#[derive(Deserialize)]
struct ContextEntry {
    cluster: String,
    user: String,
}

impl ClusterConfig {
    /// Reads a kubeconfig's current context.
    ///
    /// # Errors
    /// The file cannot be read, or what it says cannot be used.
    pub fn from_kubeconfig(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.into(), source })?;
        let value = yaml::parse(&text).map_err(|source| ConfigError::Parse { path: path.into(), source })?;
        let config: Kubeconfig = serde_json::from_value(value)
            .map_err(|source| ConfigError::Shape { path: path.into(), source })?;
        let context = find(config.contexts, "context", &config.current_context)?;
        let cluster = find(config.clusters, "cluster", &context.cluster)?;
        let user = find(config.users, "user", &context.user)?;
        let (host, port) = server(&cluster.server)?;
        let base = path.parent().unwrap_or(Path::new("/"));
        let ca = pem(
            base,
            cluster.certificate_authority_data,
            cluster.certificate_authority,
            "certificate-authority-data",
        )?;
        let cert =
            pem(base, user.client_certificate_data, user.client_certificate, "client-certificate-data")?;
        let key = pem(base, user.client_key_data, user.client_key, "client-key-data")?;
        Ok(Self {
            host,
            port,
            socket: None,
            tls_name: cluster.tls_server_name,
            ca: ca.ok_or_else(|| ConfigError::Missing {
                what: "certificate authority of",
                name: context.cluster,
            })?,
            identity: cert.zip(key),
            token: user.token.map(Token::Inline).or(user.token_file.map(Token::File)),
        })
    }

    /// The same cluster through a unix socket; the certificate is still checked for `host`.
    pub fn via_socket(mut self, socket: impl Into<PathBuf>) -> Self {
        self.socket = Some(socket.into());
        self
    }
}

fn find<T>(entries: Vec<Named<T>>, what: &'static str, name: &str) -> Result<T, ConfigError> {
    let found = entries.into_iter().find(|e| e.name == name);
    found.map(|e| e.entry).ok_or_else(|| ConfigError::Missing { what, name: name.into() })
}

fn server(text: &str) -> Result<(String, u16), ConfigError> {
    let bad = || ConfigError::Server(text.into());
    let uri: http::Uri = text.parse().map_err(|_| bad())?;
    if uri.scheme_str() != Some("https") {
        return Err(bad());
    }
    let host = uri.host().ok_or_else(bad)?.trim_matches(['[', ']']).to_owned();
    Ok((host, uri.port_u16().unwrap_or(443)))
}

fn pem(
    base: &Path,
    data: Option<String>,
    file: Option<PathBuf>,
    what: &'static str,
) -> Result<Option<Pem>, ConfigError> {
    match (data, file) {
        (Some(data), _) => {
            let bytes =
                STANDARD.decode(data.trim()).map_err(|source| ConfigError::Base64 { what, source })?;
            Ok(Some(Pem::Inline(bytes)))
        }
        (None, Some(file)) => Ok(Some(Pem::File(base.join(file)))),
        (None, None) => Ok(None),
    }
}

impl Pem {
    pub(crate) fn certificates(
        &self,
        what: &'static str,
    ) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
        let error = |source| ConfigError::Pem { what, source };
        let certificates: Result<Vec<_>, _> = match self {
            Self::File(path) => CertificateDer::pem_file_iter(path).map_err(error)?.collect(),
            Self::Inline(bytes) => CertificateDer::pem_slice_iter(bytes).collect(),
        };
        certificates.map_err(error)
    }

    pub(crate) fn key(&self, what: &'static str) -> Result<PrivateKeyDer<'static>, ConfigError> {
        match self {
            Self::File(path) => PrivateKeyDer::from_pem_file(path),
            Self::Inline(bytes) => PrivateKeyDer::from_pem_slice(bytes),
        }
        .map_err(|source| ConfigError::Pem { what, source })
    }
}
