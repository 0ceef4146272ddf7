//! The implementations under test.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use etcd::rpc::kv_client::KvClient;
use etcd::rpc::lease_client::LeaseClient;
use etcd::rpc::watch_client::WatchClient;
use etcd::{Channel, Endpoint, Kv};

/// A store and a prefix in it.
pub(crate) struct Fixture {
    pub(crate) kv: Kv,
    channel: Channel,
    prefix: String,
    /// No other check uses this store: compaction may be tested.
    pub(crate) alone: bool,
}

static NUMBER: AtomicUsize = AtomicUsize::new(0);

impl Fixture {
    pub(crate) fn key(&self, name: &str) -> Vec<u8> {
        format!("{}{name}", self.prefix).into_bytes()
    }

    pub(crate) fn prefix(&self) -> &[u8] {
        self.prefix.as_bytes()
    }

    pub(crate) fn raw(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone())
    }

    pub(crate) fn raw_watch(&self) -> WatchClient<Channel> {
        WatchClient::new(self.channel.clone())
    }

    pub(crate) fn raw_lease(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel.clone())
    }

    /// Puts a key whatever was there; gives the revision.
    pub(crate) async fn put(&self, name: &str, value: &'static str) -> i64 {
        let request = etcd::rpc::PutRequest {
            key: self.key(name).into(),
            value: Bytes::from_static(value.as_bytes()),
            ..Default::default()
        };
        self.raw().put(request).await.unwrap().into_inner().header.unwrap().revision
    }

    pub(crate) async fn delete(&self, name: &str) -> i64 {
        let request = etcd::rpc::DeleteRangeRequest { key: self.key(name).into(), ..Default::default() };
        self.raw().delete_range(request).await.unwrap().into_inner().header.unwrap().revision
    }

    fn over(endpoint: &str, alone: bool) -> Self {
        let channel = Channel::new(vec![Endpoint::parse(endpoint, None).unwrap()]);
        let prefix = format!("/contract/{}/", NUMBER.fetch_add(1, Ordering::SeqCst));
        Self { kv: Kv::new(channel.clone()), channel, prefix, alone }
    }

    pub(crate) fn etcd<F: Future<Output = ()>>(check: impl FnOnce(Self) -> F) {
        let Some(etcd) = Etcd::shared() else {
            println!("skipped: no etcd; set K3S_RS_ETCD to its program");
            return;
        };
        block_on(check(Self::over(&etcd.endpoint, false)));
    }

    pub(crate) fn memory<F: Future<Output = ()>>(check: impl FnOnce(Self) -> F) {
        block_on(async {
            let store = testkit::store().await;
            check(Self::over(&store.endpoint, true)).await;
        });
    }

    pub(crate) fn sqlite<F: Future<Output = ()>>(check: impl FnOnce(Self) -> F) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        block_on(async {
            let store = testkit::store_over(k3s_rs_datastore::sqlite::opener(&path).unwrap()).await;
            check(Self::over(&store.endpoint, true)).await;
        });
    }
}

fn block_on(check: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), check).await.unwrap() });
}

/// Real etcd, one for all checks; the kernel ends it with the test process.
struct Etcd {
    endpoint: String,
}

impl Etcd {
    fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Etcd>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    fn program() -> Option<PathBuf> {
        let cache = std::env::var_os("K3S_RS_CACHE").map(PathBuf::from);
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/k3s-rs"));
        let cached = cache.or_else(home).map(|cache| cache.join("upstream/bin/etcd"));
        let named = std::env::var_os("K3S_RS_ETCD").map(PathBuf::from);
        named.or(cached).filter(|program| program.exists())
    }

    fn start() -> Option<Self> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("contract-etcd");
        if folder.exists() {
            std::fs::remove_dir_all(&folder).unwrap();
        }
        let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (client, peer) = (format!("http://{}", free()), format!("http://{}", free()));
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(Self::program()?);
        command.arg("--data-dir").arg(folder).args([
            &format!("--listen-client-urls={client}"),
            &format!("--advertise-client-urls={client}"),
            &format!("--listen-peer-urls={peer}"),
            &format!("--initial-advertise-peer-urls={peer}"),
            &format!("--initial-cluster=default={peer}"),
            "--watch-progress-notify-interval=200ms",
            "--log-level=error",
        ]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        // the death of the thread that starts it is what ends it: this one lasts as long as the process
        std::thread::spawn(move || command.spawn().unwrap().wait().unwrap());
        let kv = Kv::connect(&[&client], None).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let begun = Instant::now();
            while kv.linearizable_revision().await.is_err() {
                assert!(begun.elapsed() < Duration::from_secs(30), "etcd does not start");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Some(Self { endpoint: client })
    }
}
