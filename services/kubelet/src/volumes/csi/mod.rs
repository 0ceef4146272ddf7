//! Volumes of CSI drivers: staged once a node, published once a pod.
//!
//! # Upstream
//! `pkg/volume/csi`

mod driver;
mod expand;
mod persistent;
mod publish;
mod teardown;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use driver::digest;
pub use driver::{Driver, Features};
pub(super) use persistent::{Claimed, persistent};
pub(super) use publish::inline;
pub use teardown::tear_down;

/// The folder of a pod's volumes of this kind.
pub(super) const FOLDER: &str = "kubernetes.io~csi";
const DATA: &str = "vol_data.json";

/// What is remembered of a volume beside it, so that it can be taken away by any later kubelet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Data {
    #[serde(rename = "specVolID", default)]
    pub(super) spec: String,
    pub(super) volume_handle: String,
    pub(super) driver_name: String,
    #[serde(default)]
    pub(super) node_name: String,
    #[serde(rename = "attachmentID", default)]
    pub(super) attachment: String,
    #[serde(default)]
    pub(super) volume_lifecycle_mode: String,
}

impl Data {
    fn read(folder: &Path) -> std::io::Result<Option<Self>> {
        match std::fs::read(folder.join(DATA)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn write(&self, folder: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join(DATA), serde_json::to_vec(self)?)
    }

    /// The name under which a node tells of the volume.
    fn unique(&self) -> String {
        unique(&self.driver_name, &self.volume_handle)
    }
}

fn unique(driver: &str, handle: &str) -> String {
    format!("kubernetes.io/csi/{driver}^{handle}")
}

/// The drivers of this node and what is done with their volumes; all but the drivers can be found again on disk.
#[derive(Debug)]
pub struct Drivers {
    root: PathBuf,
    all: Mutex<HashMap<String, Arc<Driver>>>,
    /// Only one thing at a time happens to a volume, whoever its pods are.
    busy: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// Staging and target paths this process has seen made, and when.
    made: Mutex<HashMap<PathBuf, Instant>>,
    in_use: Mutex<BTreeSet<String>>,
}

impl Drivers {
    /// No drivers yet; volumes found staged are in use.
    pub fn new(root: &Path) -> Self {
        let root = root.join("plugins/kubernetes.io/csi");
        let in_use = match staged(&root) {
            Ok(found) => found.iter().map(Data::unique).collect(),
            Err(error) => {
                tracing::warn!(error = crate::chain(&error), "Looking for staged volumes");
                BTreeSet::new()
            }
        };
        Self {
            root,
            all: Mutex::default(),
            busy: Mutex::default(),
            made: Mutex::default(),
            in_use: Mutex::new(in_use),
        }
    }

    /// A driver has registered.
    pub fn insert(&self, driver: Arc<Driver>) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(driver.name().to_owned(), driver);
    }

    /// A driver has gone.
    pub fn remove(&self, name: &str) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Volumes that must not be detached, as a node tells of them.
    pub fn in_use(&self) -> Vec<String> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn get(&self, name: &str) -> Result<Arc<Driver>, String> {
        let found = self.all.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        found.ok_or_else(|| format!("driver name {name} not found in the list of registered CSI drivers"))
    }

    fn turn(&self, unique: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.retain(|_, m| Arc::strong_count(m) > 1);
        Arc::clone(busy.entry(unique.to_owned()).or_default())
    }

    fn made(&self, path: &Path) -> Option<Instant> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).get(path).copied()
    }

    fn set_made(&self, path: &Path, made: bool) {
        let mut all = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made {
            all.insert(path.to_owned(), Instant::now());
        } else {
            all.remove(path);
        }
    }

    /// Whether that was news.
    fn set_in_use(&self, unique: &str, used: bool) -> bool {
        let mut all = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        if used { all.insert(unique.to_owned()) } else { all.remove(unique) }
    }

    /// The folder of what a node has of a volume.
    fn folder(&self, driver: &str, handle: &str) -> PathBuf {
        self.root.join(driver).join(digest(&[handle]))
    }

    /// Where a volume is staged.
    fn staging(&self, driver: &str, handle: &str, block: Option<&str>) -> PathBuf {
        match block {
            Some(name) => self.root.join("volumeDevices/staging").join(name),
            None => self.folder(driver, handle).join("globalmount"),
        }
    }
}

fn staged(root: &Path) -> std::io::Result<Vec<Data>> {
    let mut out = Vec::new();
    if !root.is_dir() {
        return Ok(out);
    }
    for driver in std::fs::read_dir(root)? {
        let driver = driver?.path();
        for volume in std::fs::read_dir(&driver).into_iter().flatten() {
            out.extend(Data::read(&volume?.path())?);
        }
    }
    Ok(out)
}
