//! The process: the log, the engine, its listeners.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use mvcc::grpc::{self, Services};
use mvcc::{Engine, Options};

use crate::{Settings, kine, sqlite};

/// Requests under way at the end get this long.
const LAST_WRITES: Duration = Duration::from_millis(500);

/// Serves until the shutdown signal, or until the log lost what was acknowledged.
///
/// # Errors
/// The database cannot be opened, a listener cannot be bound, or the engine gave up.
pub async fn run(settings: Settings, mut context: daemon::Context) -> anyhow::Result<()> {
    let engine = start(&settings).await?;
    let services = Services::new(&engine, grpc::PROGRESS_INTERVAL, scratch(&settings.path)?);
    let socket = settings.socket.clone();
    let mut listeners = Vec::new();
    for listener in context.listeners("datastore", async || web::Listener::unix(&socket)).await? {
        listeners.push((listener, None));
    }
    if let Some(address) = settings.listen {
        let tls = match &settings.tls {
            Some(files) => {
                let server = web::TlsConfig::from_files(&files.certificate, &files.key)?;
                Some(grpc::Tls { server, clients: Arc::new(web::ClientCa::from_file(&files.client_ca)?) })
            }
            None if address.ip().is_loopback() => None,
            None => anyhow::bail!("listening on {address} needs tls: only loopback is served in the clear"),
        };
        listeners.push((web::Listener::tcp(address).await.context("listening")?, tls));
    }
    let probe = engine.clone();
    context.feed_watchdog(move || alive(probe.clone()));
    let revision = engine.state().revision();
    tracing::info!(revision, keys = engine.state().keys(), path = %settings.path.display(), "Opened the datastore");
    let serving: Vec<_> = listeners
        .into_iter()
        .map(|(listener, tls)| {
            tokio::spawn(grpc::serve(listener, tls, services.clone(), context.shutdown.clone()))
        })
        .collect();
    context.ready("serving");
    tokio::select! {
        () = engine.ended() => anyhow::bail!("the engine gave up; see above"),
        () = context.shutdown.wait() => {}
    }
    // writes under way end within a sync; watches never do
    let ended = async {
        for task in serving {
            task.await.context("serving")?;
        }
        Ok(())
    };
    tokio::time::timeout(LAST_WRITES, ended).await.unwrap_or(Ok(()))
}

/// The folder beside the database in which snapshots are made: what a process that was killed left there is removed.
fn scratch(database: &Path) -> anyhow::Result<PathBuf> {
    let folder = database.with_extension("snapshots");
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => std::fs::create_dir(&folder),
    }
    .with_context(|| format!("emptying {}", folder.display()))?;
    Ok(folder)
}

async fn start(settings: &Settings) -> anyhow::Result<Engine> {
    let path = settings.path.clone();
    let restore = settings.restore.clone();
    let original = settings.import.clone().filter(|original| original.exists());
    let options = Options { cache_bytes: settings.cache_bytes };
    // reading a large log takes a while: signals are answered meanwhile
    let started = tokio::task::spawn_blocking(move || -> anyhow::Result<Engine> {
        let opener = sqlite::opener(&path)?;
        if let Some(snapshot) = restore.filter(|_| !path.exists()) {
            sqlite::restore(&snapshot, &path)?;
            tracing::info!(snapshot = %snapshot.display(), "Restored a snapshot");
        }
        if let Some(original) = original.filter(|_| !path.exists()) {
            let moved = kine::import(&original, &path)?;
            let (keys, revision) = (moved.keys, moved.revision);
            tracing::info!(keys, revision, original = %original.display(), "Imported the database of k3s");
        }
        Ok(Engine::start(opener, options)?)
    });
    started.await.context("opening the database")?
}

/// A round trip through the writer, without a write.
async fn alive(engine: Engine) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    match engine.submit(mvcc::Request::Txn(Default::default())).await {
        // a stalled or failing disk degrades writes; killing the process would not mend it
        Ok(_) | Err(mvcc::Refusal::LogFailed) => Ok(()),
        Err(refusal) => Err(refusal.into()),
    }
}
