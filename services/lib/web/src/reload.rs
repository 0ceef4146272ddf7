//! A value made from files, made again when they change.
//!
//! The files' times are looked at no more than once a second, on use: no thread, no watch to lose, and a rotation
//! that writes the key before the certificate is simply seen complete a second later. A change that cannot be read
//! keeps the value in use and is logged.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

const LOOK_EVERY: Duration = Duration::from_secs(1);

type Load<T, E> = Box<dyn Fn() -> Result<T, E> + Send + Sync>;

/// A value that follows its files.
pub struct Reloading<T, E> {
    files: Vec<PathBuf>,
    load: Load<T, E>,
    state: RwLock<State<T>>,
}

struct State<T> {
    value: Arc<T>,
    stamps: Vec<Option<(SystemTime, u64)>>,
    looked: Instant,
}

impl<T, E: std::error::Error + 'static> Reloading<T, E> {
    /// Loads for the first time.
    ///
    /// # Errors
    /// As `load`.
    pub fn new(
        files: Vec<PathBuf>,
        load: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        let stamps = stamps(&files);
        let value = Arc::new(load()?);
        let state = State { value, stamps, looked: Instant::now() };
        Ok(Self { files, load: Box::new(load), state: RwLock::new(state) })
    }

    /// The value as the files say now.
    pub fn current(&self) -> Arc<T> {
        {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            if state.looked.elapsed() < LOOK_EVERY {
                return Arc::clone(&state.value);
            }
        }
        self.look()
    }

    fn look(&self) -> Arc<T> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.looked = Instant::now();
        let now = stamps(&self.files);
        if now != state.stamps {
            match (self.load)() {
                Ok(value) => {
                    state.value = Arc::new(value);
                    state.stamps = now;
                    tracing::info!(file = %self.files[0].display(), "Reloaded changed files");
                }
                Err(e) => {
                    let error: &dyn std::error::Error = &e;
                    tracing::warn!(file = %self.files[0].display(), error, "Kept the previous files' contents");
                }
            }
        }
        Arc::clone(&state.value)
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<(SystemTime, u64)>> {
    let stamp = |m: std::fs::Metadata| m.modified().ok().map(|t| (t, m.len())); // every Linux file system has times
    files.iter().map(|f| std::fs::metadata(f).ok().and_then(stamp)).collect()
}

impl<T, E> std::fmt::Debug for Reloading<T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloading").field("files", &self.files).finish_non_exhaustive()
    }
}
