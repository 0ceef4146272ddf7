//! Where a store listens.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// An address that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Neither `unix://`, `http://` nor `https://`.
    #[error("{0}: expected unix:///path, http://host:port or https://host:port")]
    Scheme(String),
    /// `https://` without a TLS configuration.
    #[error("{0}: https needs a certificate authority")]
    NoTls(String),
    /// The host is not a name TLS can check.
    #[error("{0}: not a host name or address")]
    Host(String),
}

/// One address of a store.
#[derive(Debug, Clone)]
pub enum Endpoint {
    /// A unix socket of this machine.
    Unix(PathBuf),
    /// TCP, `host:port`, in the clear.
    Tcp(String),
    /// TCP with TLS; the configuration holds roots and, if wanted, a client certificate.
    Tls {
        /// `host:port`.
        address: String,
        /// The name the server's certificate must carry.
        name: ServerName<'static>,
        /// Roots and client certificate. ALPN is set to `h2` by the maker.
        config: Arc<ClientConfig>,
    },
}

impl Endpoint {
    /// Reads an address as `--etcd-servers` takes it.
    ///
    /// # Errors
    /// The scheme is unknown, or it is `https` and `tls` is missing.
    pub fn parse(text: &str, tls: Option<&Arc<ClientConfig>>) -> Result<Self, EndpointError> {
        if let Some(path) = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")) {
            return Ok(Self::Unix(path.into()));
        }
        if let Some(address) = text.strip_prefix("http://") {
            return Ok(Self::Tcp(address.trim_end_matches('/').into()));
        }
        let address = text.strip_prefix("https://").ok_or_else(|| EndpointError::Scheme(text.into()))?;
        let address = address.trim_end_matches('/');
        let config = tls.ok_or_else(|| EndpointError::NoTls(text.into()))?;
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|_| EndpointError::Host(text.into()))?;
        let mut config = ClientConfig::clone(config);
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self::Tls { address: address.into(), name, config: Arc::new(config) })
    }

    /// Opens a connection.
    pub(crate) async fn open(&self) -> std::io::Result<Box<dyn Io>> {
        match self {
            Self::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Self::Tls { address, name, config } => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let connector = tokio_rustls::TlsConnector::from(Arc::clone(config));
                Ok(Box::new(connector.connect(name.clone(), stream).await?))
            }
        }
    }
}

/// A connection of any kind.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}
