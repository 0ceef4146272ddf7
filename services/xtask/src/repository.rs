//! Where things are: the checkout and the cache outside it.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The checkout this program belongs to, and the cache it shares with `tests/machines` and `.ci/slot`.
pub(crate) struct Repository {
    root: PathBuf,
    cache: PathBuf,
}

impl Repository {
    /// The checkout around the current folder, else the one this program was built in.
    pub(crate) fn find() -> Result<Self> {
        let here = env::current_dir().context("the current folder")?;
        let built = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here
            .ancestors()
            .chain(built.ancestors())
            .find(|folder| folder.join("services/xtask/Cargo.toml").exists())
            .context("not inside a checkout of k3s-rs")?;
        let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
        let base = || env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
        let cache =
            env::var_os("K3S_RS_CACHE").map(PathBuf::from).or_else(|| base().map(|base| base.join("k3s-rs")));
        Ok(Self { root: root.to_owned(), cache: cache.context("neither K3S_RS_CACHE nor HOME is set")? })
    }

    /// A path of the checkout.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// The checkout.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder for our programs of a cargo profile.
    pub(crate) fn programs(&self, profile: &str) -> PathBuf {
        self.cache.join("ours").join(profile)
    }

    /// The folder that `up` installs into.
    pub(crate) fn image(&self) -> PathBuf {
        self.cache.join("ours").join("root")
    }
}
