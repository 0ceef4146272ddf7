//! The running store: one writer thread, one reader thread, and whoever asks.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use etcd::rpc::RangeRequest;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use crate::cache::ValueCache;
use crate::writer::{Job, Writer};
use crate::{Answer, Head, LogError, Opener, Reader, Refusal, Reply, Request, SizeBytes, State};

/// A read whose rows were trimmed under it is done again this often: each time the newest revision moved on.
const READ_ATTEMPTS: usize = 8;

/// How an engine runs.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Memory for values read or written lately.
    pub cache_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache_bytes: 16 << 20 }
    }
}

/// Why an engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log cannot be opened or read.
    #[error("opening the log")]
    Log(#[from] LogError),
    /// A thread cannot be made.
    #[error("starting a thread")]
    Thread(#[from] std::io::Error),
}

/// What the threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) state: RwLock<State>,
    pub(crate) cache: Mutex<ValueCache>,
    /// The newest published revision.
    pub(crate) published: watch::Sender<i64>,
    pub(crate) size: Mutex<SizeBytes>,
    /// Snapshots under way: nothing is trimmed meanwhile.
    pub(crate) held: AtomicUsize,
    pub(crate) reads: mpsc::Sender<ReadJob>,
    ended: watch::Sender<bool>,
    epoch: Instant,
}

impl Shared {
    pub(crate) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    pub(crate) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Values that are in memory; the positions of those that are not.
    fn cached(&self, ids: &[u64]) -> (Vec<Option<Bytes>>, Vec<usize>) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let values: Vec<_> = ids.iter().map(|id| cache.get(*id)).collect();
        let missing = values.iter().enumerate().filter(|(_, v)| v.is_none()).map(|(at, _)| at).collect();
        (values, missing)
    }
}

/// Work for the reader thread.
#[derive(Debug)]
pub(crate) enum ReadJob {
    Read(Vec<u64>, oneshot::Sender<Result<Vec<Option<Bytes>>, LogError>>),
    /// The log was opened anew.
    Replace(BoxedReader),
}

pub(crate) struct BoxedReader(pub(crate) Box<dyn Reader>);

impl std::fmt::Debug for BoxedReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reader")
    }
}

/// A handle on a running store. The store ends when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
}

impl Engine {
    /// Opens the log, rebuilds the state and starts the threads. Blocks while reading.
    ///
    /// # Errors
    /// The log cannot be opened or read.
    pub fn start(mut opener: Opener, options: Options) -> Result<Self, StartError> {
        let epoch = Instant::now();
        let mut log = opener()?;
        let (state, garbage) = State::rebuild(&mut *log, Duration::ZERO)?;
        let reader = BoxedReader(log.reader()?);
        let (jobs, queue) = mpsc::channel();
        let (reads, read_queue) = mpsc::channel();
        let shared = Arc::new(Shared {
            published: watch::Sender::new(state.revision()),
            state: RwLock::new(state),
            cache: Mutex::new(ValueCache::new(options.cache_bytes)),
            size: Mutex::new(log.size()),
            held: AtomicUsize::new(0),
            reads,
            ended: watch::Sender::new(false),
            epoch,
        });
        std::thread::Builder::new().name("reader".into()).spawn(move || read_all(reader, &read_queue))?;
        let runtime = Handle::try_current().ok(); // a test may ask without one
        let writer = Writer::new(Arc::clone(&shared), opener, log, garbage, runtime, queue);
        let ended = Arc::clone(&shared);
        std::thread::Builder::new().name("writer".into()).spawn(move || {
            writer.run();
            ended.ended.send_replace(true);
        })?;
        Ok(Self { shared, jobs })
    }

    /// Puts a request into the writer's next batch; the answer comes when it is durable and published.
    ///
    /// # Errors
    /// The request is refused, or the log failed.
    pub async fn submit(&self, request: Request) -> Result<Reply, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Request(request, reply)).map_err(|_| Refusal::Stopping)?;
        answer.await.map_err(|_| Refusal::Stopping)?
    }

    /// A read of the newest published state, or of an older revision: the revision of the state, the answer, and the
    /// values of what was found.
    ///
    /// # Errors
    /// The read is refused, or the log failed.
    pub async fn range(&self, request: &RangeRequest) -> Result<(i64, Answer, Vec<Bytes>), Refusal> {
        for _ in 0..READ_ATTEMPTS {
            let (revision, answer) = {
                let state = self.shared.state();
                (state.revision(), state.range(request)?)
            };
            if request.keys_only {
                return Ok((revision, answer, Vec::new()));
            }
            let ids: Vec<u64> = answer.found.iter().map(|found| found.version.id).collect();
            let values: Option<Vec<Bytes>> = self.values(&ids).await?.into_iter().collect();
            if let Some(values) = values {
                return Ok((revision, answer, values));
            }
            // something found was overwritten and compacted while its value was fetched: read again
        }
        Err(Refusal::Compacted)
    }

    /// Values by id; `None` for what was trimmed.
    ///
    /// # Errors
    /// The log failed.
    pub async fn values(&self, ids: &[u64]) -> Result<Vec<Option<Bytes>>, Refusal> {
        let (mut values, missing) = self.shared.cached(ids);
        if missing.is_empty() {
            return Ok(values);
        }
        let wanted: Vec<u64> = missing.iter().map(|at| ids[*at]).collect();
        let (reply, answer) = oneshot::channel();
        self.shared.reads.send(ReadJob::Read(wanted, reply)).map_err(|_| Refusal::Stopping)?;
        let read = answer.await.map_err(|_| Refusal::Stopping)?.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "Reading values");
            Refusal::LogFailed
        })?;
        let mut cache = self.shared.cache.lock().unwrap_or_else(PoisonError::into_inner);
        for (at, value) in missing.into_iter().zip(read) {
            if let Some(value) = &value {
                cache.insert(ids[at], value);
            }
            values[at] = value;
        }
        Ok(values)
    }

    /// The state as published, locked for reading: hold it shortly and never across an await.
    pub fn state(&self) -> RwLockReadGuard<'_, State> {
        self.shared.state()
    }

    /// The newest published revision, and when it changes.
    pub fn published(&self) -> watch::Receiver<i64> {
        self.shared.published.subscribe()
    }

    /// Time since the engine started: the clock of its leases.
    pub fn now(&self) -> Duration {
        self.shared.now()
    }

    /// How large the log is.
    pub fn size(&self) -> SizeBytes {
        *self.shared.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Completes when the writer has given up: acknowledged writes are gone from the log. Nothing is served after.
    pub async fn ended(&self) {
        let mut ended = self.shared.ended.subscribe();
        // the sender lives as long as this handle
        if ended.wait_for(|ended| *ended).await.is_err() {
            tracing::debug!("Engine went away");
        }
    }

    /// Writes a log of its own that holds the newest state to `path`, while the store goes on.
    ///
    /// # Errors
    /// The engine is stopping, or reading or writing fails.
    pub async fn snapshot(&self, path: &Path) -> Result<Head, LogError> {
        let (reply, answer) = oneshot::channel();
        let stopping = || LogError::Storage(Box::new(Refusal::Stopping));
        let _held = Held::new(&self.shared);
        self.jobs.send(Job::Reader(reply)).map_err(|_| stopping())?;
        let (mut reader, head) = answer.await.map_err(|_| stopping())??;
        let path = path.to_owned();
        let copied = tokio::task::spawn_blocking(move || reader.0.snapshot(head, &path)).await;
        copied.map_err(|error| LogError::Storage(Box::new(error)))??;
        Ok(head)
    }
}

/// Keeps rows from being trimmed.
struct Held<'a>(&'a AtomicUsize);

impl<'a> Held<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.held.fetch_add(1, Ordering::SeqCst);
        Self(&shared.held)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn read_all(mut reader: BoxedReader, queue: &mpsc::Receiver<ReadJob>) {
    for job in queue {
        match job {
            ReadJob::Read(ids, reply) => {
                let values = reader.0.read(&ids);
                if reply.send(values).is_err() {
                    tracing::debug!("Nobody waits for values any more");
                }
            }
            ReadJob::Replace(new) => reader = new,
        }
    }
}
