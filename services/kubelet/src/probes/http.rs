//! GET as probes and hooks send it: any certificate will do, redirects are followed on the same host.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::task::AbortOnDropHandle;

/// A request.
#[derive(Debug, Clone)]
pub struct Target {
    /// With TLS.
    pub https: bool,
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path and query.
    pub path: String,
    /// More headers; `Host` and `User-Agent` replace what would be sent.
    pub headers: Vec<(String, String)>,
    /// Who asks.
    pub agent: String,
}

impl Target {
    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// As shown in messages.
    pub fn url(&self) -> String {
        let slash = if self.path.starts_with('/') { "" } else { "/" };
        format!("{}://{}{slash}{}", if self.https { "https" } else { "http" }, self.authority(), self.path)
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its code.
    pub code: u16,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Bytes of an answer that are read; upstream's limit.
const MAX_BODY: usize = 10 << 10;
const MAX_REDIRECTS: usize = 10;

/// Asks, following redirects to the same host.
pub async fn get(target: &Target) -> Result<Answer, BoxError> {
    let mut target = target.clone();
    for _ in 0..=MAX_REDIRECTS {
        let (code, location) = once(&target).await?;
        let Some(location) = location.filter(|_| (300..400).contains(&code)) else {
            return Ok(Answer { code });
        };
        let uri: http::Uri = location.parse()?;
        if uri.host().is_some_and(|h| h != target.host) {
            return Ok(Answer { code }); // elsewhere: that it answers is enough
        }
        if let Some(scheme) = uri.scheme_str() {
            target.https = scheme == "https";
            target.port = uri.port_u16().unwrap_or(if target.https { 443 } else { 80 });
        }
        target.path = uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
    }
    Err("stopped after 10 redirects".into())
}

async fn once(target: &Target) -> Result<(u16, Option<String>), BoxError> {
    let tcp = super::act::dial(&target.host, target.port).await?;
    if !target.https {
        return over(tcp, target).await;
    }
    let provider = web::provider();
    let algorithms = provider.signature_verification_algorithms;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate { algorithms }))
        .with_no_client_auth();
    let name = ServerName::try_from(target.host.clone())?;
    over(tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await?, target).await
}

async fn over<I>(io: I, target: &Target) -> Result<(u16, Option<String>), BoxError>
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let path = if target.path.starts_with('/') { target.path.clone() } else { format!("/{}", target.path) };
    let mut request = Request::get(path).body(Empty::<Bytes>::new())?;
    let headers = request.headers_mut();
    headers.insert(header::HOST, HeaderValue::from_str(&target.authority())?);
    headers.insert(header::USER_AGENT, HeaderValue::from_str(&target.agent)?);
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    let mut own = http::HeaderMap::new();
    for (name, value) in &target.headers {
        own.append(HeaderName::try_from(name.as_str())?, HeaderValue::from_str(value)?);
    }
    for name in own.keys() {
        headers.remove(name);
    }
    for (name, value) in &own {
        headers.append(name, value.clone());
    }
    let response = sender.send_request(request).await?;
    let code = response.status().as_u16();
    let location = response.headers().get(header::LOCATION).and_then(|l| l.to_str().ok()).map(str::to_owned);
    // a long answer is as good as a short one
    if let Err(error) = Limited::new(response.into_body(), MAX_BODY).collect().await {
        tracing::trace!(error = &*error, "Rest of a probe's answer left unread");
    }
    Ok((code, location))
}

/// Takes any certificate: probes ask whether a server answers, not who it is.
#[derive(Debug)]
struct AnyCertificate {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
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
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
