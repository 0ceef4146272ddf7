//! Writers that remember, and the judge of what they remember.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use etcd::{Kv, Outcome};

use crate::{Entry, Ledger};

/// Writes with `writers` at once, each a key of its own and now and then a new one, until the store is gone; calls
/// `note` for each acknowledgement.
pub async fn write_until_lost(
    kv: &Kv,
    writers: usize,
    ledger: &Arc<Mutex<Ledger>>,
    note: impl Fn(&str, Entry) + Clone + Send + 'static,
) {
    let tasks: Vec<_> = (0..writers)
        .map(|number| {
            let (kv, ledger, note) = (kv.clone(), Arc::clone(ledger), note.clone());
            tokio::spawn(async move { write(kv, format!("/crash/{number}"), &ledger, note).await })
        })
        .collect();
    for task in tasks {
        if let Err(error) = task.await {
            must_not_panic(&error);
        }
    }
}

/// A writer that panicked would hide lost writes.
fn must_not_panic(error: &tokio::task::JoinError) {
    assert!(!error.is_panic(), "a writer panicked: {error}");
}

async fn write(kv: Kv, key: String, ledger: &Mutex<Ledger>, note: impl Fn(&str, Entry)) {
    // begin with what is there: a write without an answer may have happened
    let Ok((_, current)) = kv.get(key.as_bytes(), 0).await else { return };
    let mut counter = current.as_ref().and_then(|kv| parse(&kv.value)).unwrap_or(0);
    let mut expected = current.map_or(0, |kv| kv.mod_revision);
    if counter > 0 {
        // what was read is promised as much as what was acknowledged
        acknowledge(ledger, &note, &key, Entry { counter, revision: expected });
    }
    loop {
        counter += 1;
        let value = |counter: u64| Bytes::from(format!("{counter} {}", "x".repeat(900)));
        match kv.update_if(key.as_bytes(), expected, value(counter), 0).await {
            Ok(Outcome::Done { revision, .. }) => {
                expected = revision;
                acknowledge(ledger, &note, &key, Entry { counter, revision });
            }
            Ok(Outcome::Mismatch { .. }) => panic!("somebody else wrote {key}"),
            Err(_) => return,
        }
        if counter % 16 == 0 {
            let new = format!("{key}/{counter}");
            match kv.create(new.as_bytes(), value(1), 0).await {
                Ok(Outcome::Done { revision, .. }) => {
                    acknowledge(ledger, &note, &new, Entry { counter: 1, revision });
                }
                Ok(Outcome::Mismatch { .. }) => panic!("{new} is there already"),
                Err(_) => return,
            }
        }
    }
}

fn acknowledge(ledger: &Mutex<Ledger>, note: &impl Fn(&str, Entry), key: &str, entry: Entry) {
    ledger.lock().unwrap_or_else(PoisonError::into_inner).note(key, entry);
    note(key, entry);
}

fn parse(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.split(' ').next()?.parse().ok()
}

/// Checks that everything acknowledged is there: no write lost, no revision gone back.
///
/// # Errors
/// The first thing that is not as acknowledged.
pub async fn verify(kv: &Kv, ledger: &Ledger) -> anyhow::Result<()> {
    let revision = kv.linearizable_revision().await?;
    ensure!(
        revision >= ledger.revision(),
        "revision {revision} after {} was acknowledged",
        ledger.revision()
    );
    for (key, acknowledged) in &ledger.entries {
        let found = kv.get(key.as_bytes(), 0).await?.1.with_context(|| format!("{key} is gone"))?;
        let counter = parse(&found.value).with_context(|| format!("{key} holds something else"))?;
        // at most one write was under way when the store died
        let fits = counter == acknowledged.counter && found.mod_revision == acknowledged.revision
            || counter == acknowledged.counter + 1 && found.mod_revision > acknowledged.revision;
        ensure!(fits, "{key}: acknowledged {acknowledged:?}, found {counter} at {}", found.mod_revision);
        ensure!(
            found.version == counter.cast_signed(),
            "{key}: version {} of write {counter}",
            found.version
        );
    }
    Ok(())
}
