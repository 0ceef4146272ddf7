//! Certificates of nodes that join: the supervisor asks over a socket only its user may open.

use std::sync::Arc;

use anyhow::Context as _;
use pki::signer::Signer;

use crate::Settings;

/// Serves it beside the controllers, leader or not: who asks is the API server of this machine.
pub(crate) async fn serve(settings: &Settings, context: &mut daemon::Context) -> anyhow::Result<()> {
    let Some(own) = &settings.node_signer else { return Ok(()) };
    let signer = Arc::new(Signer::load(&own.folder).context("nodeSigner")?);
    let socket = own.socket.clone();
    for listener in context.listeners("signer", async || web::Listener::unix(&socket)).await? {
        let web::Listener::Unix(listener) = listener else {
            anyhow::bail!("nodeSigner: the socket handed over is none of unix")
        };
        let (signer, mut stop) = (signer.clone(), context.shutdown.clone());
        tokio::spawn(async move {
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = stop.wait() => return,
                };
                match accepted {
                    Ok((stream, _)) => {
                        let signer = signer.clone();
                        tokio::spawn(async move { signer.answer(stream).await });
                    }
                    Err(error) => {
                        // out of descriptors, mostly: wait for some to be closed instead of spinning
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "Accepting a request to sign"
                        );
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    }
                }
            }
        });
    }
    Ok(())
}
