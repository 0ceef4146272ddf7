//! The accept loop.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use crate::turn::LetPass;
use crate::{Addr, Body, Listener, Stream, TlsConfig};

/// A TLS handshake that takes longer is given up.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Streams a client may have open on one HTTP/2 connection, as kube-apiserver has it: informers each keep one.
const MAX_STREAMS: u32 = 1000;

/// The other end of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Where it comes from.
    pub addr: Addr,
    /// The certificates it presented, leaf first, not judged yet (see `ClientCa`).
    pub certificates: Vec<CertificateDer<'static>>,
}

/// The signal to stop: clones wait, the sender of [`shutdown`] fires.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// Completes when the signal was given.
    pub async fn wait(&mut self) {
        // a dropped sender means the owner is gone: stop as well
        if self.0.wait_for(|stop| *stop).await.is_err() {
            tracing::debug!("Shutdown signal's owner went away");
        }
    }

    /// Whether the signal was given.
    pub fn is_set(&self) -> bool {
        *self.0.borrow()
    }
}

/// Makes a stop signal and what waits for it.
pub fn shutdown() -> (watch::Sender<bool>, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (sender, Shutdown(receiver))
}

/// Accepts connections and answers requests until `stop`; then lets running requests end (the caller bounds how
/// long it waits). HTTP/1.1 with upgrades and HTTP/2, by ALPN or, without TLS, by the client's preface.
pub async fn serve<S, F>(listener: Listener, tls: Option<TlsConfig>, service: S, mut stop: Shutdown)
where
    S: Fn(Request<Incoming>, Arc<Peer>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let connections = tokio_connections();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.wait() => break,
        };
        match accepted {
            Ok((stream, addr)) => {
                let (tls, service, stop) = (tls.clone(), service.clone(), stop.clone());
                let guard = connections.1.clone();
                tokio::spawn(async move {
                    connection(stream, addr, tls, service, stop).await;
                    drop(guard);
                });
            }
            Err(error) => {
                // out of descriptors, mostly: wait for some to be closed instead of spinning
                tracing::warn!(error = &error as &dyn std::error::Error, "Accepting a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    let (mut open, guard) = connections;
    drop(guard);
    // every connection holds a clone of the guard: nothing is ever sent, the end of all is what is waited for
    while open.recv().await.is_some() {}
}

fn tokio_connections() -> (tokio::sync::mpsc::Receiver<()>, tokio::sync::mpsc::Sender<()>) {
    let (guard, open) = tokio::sync::mpsc::channel(1);
    (open, guard)
}

async fn connection<S, F>(stream: Stream, addr: Addr, tls: Option<TlsConfig>, service: S, stop: Shutdown)
where
    S: Fn(Request<Incoming>, Arc<Peer>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let Some(tls) = tls else {
        let peer = Arc::new(Peer { addr, certificates: Vec::new() });
        return requests(stream, peer, service, stop).await;
    };
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.acceptor().accept(stream)).await {
        Ok(Ok(stream)) => {
            let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let certificates = certificates.iter().map(|c| c.clone().into_owned()).collect();
            requests(stream, Arc::new(Peer { addr, certificates }), service, stop).await;
        }
        Ok(Err(error)) => tracing::debug!(?addr, error = &error as &dyn std::error::Error, "TLS handshake"),
        Err(_) => tracing::debug!(?addr, "TLS handshake took too long"),
    }
}

async fn requests<I, S, F>(io: I, peer: Arc<Peer>, service: S, mut stop: Shutdown)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Fn(Request<Incoming>, Arc<Peer>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let addr = peer.addr;
    let service = hyper::service::service_fn(move |request| {
        let answer = service(request, Arc::clone(&peer));
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).half_close(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_STREAMS as usize)
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .keep_alive_timeout(Duration::from_secs(15));
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(io), service));
    let ended = tokio::select! {
        ended = LetPass::new(connection.as_mut()) => ended,
        () = stop.wait() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(?addr, error = &*error, "Connection ended");
    }
}
