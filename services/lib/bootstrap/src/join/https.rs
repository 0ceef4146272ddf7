//! One HTTPS request at a time, to a server whose authority is just being learned.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;

/// k3s's limit.
const TIMEOUT: Duration = Duration::from_secs(10);
/// No answer is larger.
const MOST: usize = 4 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The connection.
    #[error("connecting")]
    Connect(#[source] std::io::Error),
    /// The handshake.
    #[error("TLS handshake")]
    Tls(#[source] std::io::Error),
    /// Certificates that cannot be used.
    #[error("setting up TLS")]
    Setup(#[from] rustls::Error),
    /// A file that is no certificate or key.
    #[error("reading a certificate")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// HTTP.
    #[error("talking HTTP")]
    Http(#[from] hyper::Error),
    /// The request.
    #[error("making the request")]
    Request(#[from] http::Error),
    /// The body.
    #[error("reading the answer: {0}")]
    Body(String),
    /// It took too long.
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Timeout,
}

/// `https://host:port/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    host: String,
    port: u16,
    path: String,
}

impl Url {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let uri: http::Uri = text.trim_end_matches('/').parse().ok()?;
        if uri.scheme_str() != Some("https") {
            return None;
        }
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let path = uri.path().trim_end_matches('/').to_owned();
        Some(Self { host, port: uri.port_u16().unwrap_or(443), path })
    }

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    pub(super) fn with(&self, path: &str) -> String {
        format!("https://{}{}{path}", self.authority(), self.path)
    }
}

/// Whom to believe, and whom to be.
pub(super) enum Trust {
    /// Whoever answers: only to learn the authority, before its hash is compared.
    Anybody,
    /// Who holds a certificate of this authority.
    Authority {
        /// It, PEM.
        pem: String,
        /// Our certificate and key, PEM.
        identity: Option<(String, String)>,
    },
}

impl Trust {
    fn config(&self) -> Result<ClientConfig, HttpError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        match self {
            Self::Anybody => {
                let builder =
                    builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)));
                Ok(builder.with_no_client_auth())
            }
            Self::Authority { pem, identity } => {
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                    roots.add(certificate?)?;
                }
                let builder = builder.with_root_certificates(roots);
                let Some((certificate, key)) = identity else { return Ok(builder.with_no_client_auth()) };
                let chain =
                    CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<Vec<_>, _>>()?;
                Ok(builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes())?)?)
            }
        }
    }
}

/// Asks and reads the whole answer.
pub(super) async fn request(
    url: &Url,
    trust: &Trust,
    method: Method,
    path: &str,
    headers: &HeaderMap,
    body: Vec<u8>,
) -> Result<(StatusCode, Bytes), HttpError> {
    let work = send(url, trust, method, path, headers, body);
    tokio::time::timeout(TIMEOUT, work).await.map_err(|_| HttpError::Timeout)?
}

async fn send(
    url: &Url,
    trust: &Trust,
    method: Method,
    path: &str,
    headers: &HeaderMap,
    body: Vec<u8>,
) -> Result<(StatusCode, Bytes), HttpError> {
    let connector = tokio_rustls::TlsConnector::from(Arc::new(trust.config()?));
    let stream = TcpStream::connect((url.host.as_str(), url.port)).await.map_err(HttpError::Connect)?;
    let name = ServerName::try_from(url.host.clone());
    let name =
        name.map_err(|_| HttpError::Connect(std::io::Error::other("the server's name is no host name")))?;
    let stream = connector.connect(name, stream).await.map_err(HttpError::Tls)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", url.path))
        .header(header::HOST, url.authority())
        .body(Full::new(Bytes::from(body)))?;
    request.headers_mut().extend(headers.clone());
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MOST).collect().await;
    let body = body.map_err(|e| HttpError::Body(e.to_string()))?.to_bytes();
    driver.abort();
    Ok((status, body))
}

/// Trusts whoever answers.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
