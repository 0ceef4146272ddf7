//! The store's present revision, read linearizably and shared by all readers that wait for one.

use tokio::sync::{mpsc, oneshot};

use super::kv::{Kv, KvError};

type Reply = oneshot::Sender<Result<i64, KvError>>;

/// Asks for the revision. One read is in flight at a time; who asks meanwhile shares the next one, since the
/// one in flight may have been answered before they asked.
#[derive(Debug, Clone)]
pub struct Fresh(mpsc::Sender<Reply>);

impl Fresh {
    /// Starts the reader.
    pub fn start(kv: Kv) -> Self {
        let (tx, mut rx) = mpsc::channel::<Reply>(1024);
        tokio::spawn(async move {
            while let Some(first) = rx.recv().await {
                let mut waiting = vec![first];
                while let Ok(another) = rx.try_recv() {
                    waiting.push(another);
                }
                let answer = kv.revision().await;
                for reply in waiting {
                    // who no longer waits needs no answer
                    drop(reply.send(answer.clone()));
                }
            }
        });
        Self(tx)
    }

    /// The store's revision at some time after this call.
    pub async fn revision(&self) -> Result<i64, KvError> {
        let (tx, rx) = oneshot::channel();
        if self.0.send(tx).await.is_err() {
            return Err(KvError::Closed);
        }
        rx.await.unwrap_or(Err(KvError::Closed))
    }
}
