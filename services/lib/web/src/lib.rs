//! HTTP/1.1 and HTTP/2 servers over TLS, TCP and unix sockets, with certificates that reload.
//!
//! A daemon binds or is handed a [`Listener`], names its certificate files in a [`TlsConfig`] and gives [`serve`]
//! one function from request to response. Client certificates are asked for but not judged during the handshake:
//! as upstream, who presents an unknown one gets 401, not a broken connection. [`ClientCa`] judges them.

mod body;
mod client_ca;
mod listener;
mod reload;
mod serve;
mod splice;
mod tls;
mod turn;

pub use body::{Body, BodySender, BoxError, channel, empty, full};
pub use client_ca::{ClientCa, ClientIdentity};
pub use listener::{Addr, Listener, Stream};
pub use reload::Reloading;
pub use serve::{Peer, Shutdown, serve, shutdown};
pub use splice::{SpliceError, splice};
pub use tls::{TlsConfig, TlsError};

/// The one cryptography provider of the project.
pub fn provider() -> std::sync::Arc<rustls::crypto::CryptoProvider> {
    std::sync::Arc::new(rustls::crypto::ring::default_provider())
}
