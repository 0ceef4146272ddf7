//! A store of one test's own: the real engine and the real protocol, over a log in memory.

use etcd::Kv;
use mvcc::grpc::{Services, serve};
use mvcc::{Engine, MemoryLog, Opener, Options};
use std::time::Duration;
use tempfile::TempDir;

/// Idle watches are told how far they are this often: tests do not wait for seconds.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// A running store. It ends when dropped.
#[derive(Debug)]
pub struct Store {
    /// A client of it.
    pub kv: Kv,
    /// Where it listens, as `--etcd-servers` takes it.
    pub endpoint: String,
    /// The engine behind it.
    pub engine: Engine,
    stop: tokio::sync::watch::Sender<bool>,
    _folder: TempDir,
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// Starts a store in memory.
///
/// # Panics
/// The machine cannot: no temporary folder, no thread, no socket.
pub async fn store() -> Store {
    let log = MemoryLog::default();
    store_over(Box::new(move || Ok(Box::new(log.clone())))).await
}

/// Starts a store over any log.
///
/// # Panics
/// As [`store`], or the log cannot be opened.
pub async fn store_over(opener: Opener) -> Store {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("store.sock");
    let engine = Engine::start(opener, Options::default()).expect("an engine");
    let listener = web::Listener::unix(&socket).expect("a socket");
    let (stop, shutdown) = web::shutdown();
    let services = Services::new(&engine, PROGRESS_INTERVAL, folder.path().to_owned());
    tokio::spawn(serve(listener, None, services, shutdown));
    let endpoint = format!("unix://{}", socket.display());
    let kv = Kv::connect(&[&endpoint], None).expect("a unix endpoint");
    Store { kv, endpoint, engine, stop, _folder: folder }
}
