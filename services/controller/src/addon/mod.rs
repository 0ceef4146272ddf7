//! The AddOn controller: manifests in a folder are what the cluster has.
//!
//! ```text
//! packaged templates ─ stage ─▶ server/manifests ─ scan ─▶ changed files ─ deploy ─▶ objects, an Addon a file, events
//! ```
//!
//! A file that changes is applied; what it no longer has is deleted; a file that goes away leaves its objects. A file on
//! the list of disabled ones goes with its objects, one with a `.skip` beside it is left alone. The folder is watched by
//! inotify and looked through every 15 s, since content behind symbolic links changes unseen.
//!
//! This is no plan over cached objects as the other controllers are: what it acts on is files, and the kinds in them are
//! known at run time only. The decisions ([`scan`], [`manifest`], [`owner`]) are pure, [`deploy`] does the requests.
//!
//! # Upstream
//! k3s `pkg/deploy/controller.go` `WatchFiles`, `pkg/deploy/stage.go` `Stage`
//!
//! # Differs
//! Objects are applied on the server (field manager `deploy`), where k3s merges three ways from an annotation.

mod deploy;
mod hosts;
mod manifest;
mod owner;
mod scan;
mod settings;
mod stage;

pub(crate) use hosts::NodeHosts;
pub use settings::AddonSettings;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use client::Client;
use reconcile::Recorder;

use deploy::Deployer;
use scan::{Found, Treatment};

const RESCAN: Duration = Duration::from_secs(15);
const RETRY_FIRST: Duration = Duration::from_millis(500);
/// Editors and copies write in several steps.
const SETTLE: Duration = Duration::from_millis(100);

/// The client manifests are applied with.
pub(crate) fn client(own: &Client, settings: &AddonSettings) -> Result<Client, client::ConfigError> {
    let given = settings.kubeconfig.as_ref();
    given.map_or_else(|| Ok(own.clone()), |path| Client::from_kubeconfig(path, "k3s-rs-controller"))
}

/// Runs for ever; for ever idle where no folder is set.
pub(crate) async fn run(client: Client, settings: AddonSettings) {
    if settings.directory.as_os_str().is_empty() {
        return std::future::pending().await;
    }
    if let Err(error) = stage::stage(&settings) {
        tracing::error!(error = &error as &dyn std::error::Error, "Writing the packaged manifests failed");
    }
    let recorder = Recorder::start(client.clone());
    let mut controller = Addons { deployer: Deployer::new(client, recorder), settings, seen: HashMap::new() };
    let mut watch = daemon::FolderWatch::default();
    let (mut force, mut retry) = (true, RETRY_FIRST);
    loop {
        watch.follow(&controller.settings.directory);
        let well = controller.look(force).await;
        force &= !well;
        retry = if well { RETRY_FIRST } else { (retry * 2).min(RESCAN) };
        let pause = if well { RESCAN } else { retry };
        if tokio::time::timeout(pause, watch.changed()).await.is_ok() {
            tokio::time::sleep(SETTLE).await;
        }
    }
}

struct Addons {
    deployer: Deployer,
    settings: AddonSettings,
    /// What each file was when it was last applied.
    seen: HashMap<PathBuf, scan::Identity>,
}

impl Addons {
    /// Looks through the folder and acts on what changed; whether all went well.
    async fn look(&mut self, force: bool) -> bool {
        let found = match scan::scan(&self.settings.directory) {
            Ok(found) => found,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "Looking through the manifests failed");
                return false;
            }
        };
        let mut well = true;
        for (file, treatment) in scan::treat(&self.settings.directory, &found, &self.settings.disable) {
            let done = match treatment {
                Treatment::Ignore => continue,
                Treatment::Remove => self.deployer.remove(&file.path, file.removable).await,
                Treatment::Apply if !force && self.is_known(file) => continue,
                Treatment::Apply => self.deployer.deploy(&file.path, force).await,
            };
            match done {
                Ok(()) => {
                    self.seen.insert(file.path.clone(), file.identity);
                }
                Err(error) => {
                    well = false;
                    let path = file.path.display().to_string();
                    tracing::error!(path, error = &error as &dyn std::error::Error, "Manifest not applied");
                }
            }
        }
        well
    }

    fn is_known(&self, file: &Found) -> bool {
        !file.identity.is_timeless() && self.seen.get(&file.path) == Some(&file.identity)
    }
}
