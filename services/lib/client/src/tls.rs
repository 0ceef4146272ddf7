//! The client's side of TLS.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use crate::config::{ClusterConfig, ConfigError};

/// Reads the certificates as they are now and makes a TLS configuration that speaks `protocol`.
pub(crate) fn client_config(
    config: &ClusterConfig,
    protocol: &[u8],
) -> Result<Arc<ClientConfig>, ConfigError> {
    let mut roots = RootCertStore::empty();
    for certificate in config.ca.certificates("reading the certificate authority")? {
        roots.add(certificate)?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut tls = match &config.identity {
        Some((certificate, key)) => builder.with_client_auth_cert(
            certificate.certificates("reading the client certificate")?,
            key.key("reading the client key")?,
        )?,
        None => builder.with_no_client_auth(),
    };
    tls.alpn_protocols = vec![protocol.to_vec()];
    Ok(Arc::new(tls))
}
