//! From k3s's configuration to a machine whose daemons can start.
//!
//! ```text
//! configuration → server: authorities, accounts, certificates ┐
//!               → agent: join (retried until it works)        ┴→ node: kernel, runtime → /run/k3s-rs/<daemon>/
//! ```
//!
//! Everything is made when missing and kept when there; running it again changes only what must change. A daemon's
//! folder under `/run/k3s-rs` belongs to that daemon's user. It is handed over by ownership, not by `LoadCredential=`:
//! a credential is copied when its unit starts, and a certificate renewed later would not reach it before systemd 260.
//!
//! What a daemon's folder lacks a `config.json` is not meant to run here (`disable-scheduler`, an external store): its
//! unit has `ConditionPathExists=` on it.

mod announce;
mod cluster;
mod files;
mod handover;
mod images;
mod join;
mod node;
mod places;
mod server;

pub use files::FileError;
pub use images::import_images;
pub use join::{HttpError, JoinError};
pub use places::Places;
pub use server::{RotateError, rotate_token, tokens_of};

use std::path::PathBuf;

use config::Config;

/// How bootstrap is to be done.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the daemons' programs are.
    pub libexec: PathBuf,
    /// Only renew: the daemons run already, nothing in the kernel is set, a server that does not answer ends it.
    pub renew: bool,
}

/// Why the machine cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The configuration is wrong in a way only this machine shows.
    #[error(transparent)]
    Config(#[from] config::Errors),
    /// A certificate or key.
    #[error("certificates")]
    Pki(#[from] pki::PkiError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A daemon's user does not exist.
    #[error("there is no user {0}: systemd-sysusers makes it from sysusers.d/k3s-rs.conf")]
    User(String),
    /// The join.
    #[error("joining the cluster")]
    Join(#[from] JoinError),
    /// A program of ours.
    #[error("running {program}: {reason}")]
    Program {
        /// Which.
        program: PathBuf,
        /// Why.
        reason: String,
    },
    /// This machine has no address.
    #[error("no address of this machine is known: set node-ip, or give it a default route")]
    NoAddress,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Report {
    /// What should be said.
    pub warnings: Vec<String>,
    /// Certificates that are new, with the time they end.
    pub renewed: Vec<(String, i64)>,
}

/// Makes this machine ready.
///
/// # Errors
/// Something cannot be made; an agent's join is retried instead, unless `renew`.
pub async fn run(config: &Config, options: &Options) -> Result<Report, BootstrapError> {
    let places = Places::new(config);
    let mut report = Report::default();
    places.prepare()?;
    let identity = match config.node() {
        Some(agent) => Some(node::identity(agent, &places)?),
        None => None,
    };
    let cluster = match &config.server {
        Some(server) => server::run(config, server, identity.as_ref(), &places, options, &mut report)?,
        None => {
            let identity = identity.as_ref().ok_or(BootstrapError::NoAddress)?;
            join::run(config, identity, &places, options, &mut report).await?
        }
    };
    if let (Some(agent), Some(identity)) = (config.node(), &identity) {
        node::run(config, agent, identity, &cluster, &places, options, &mut report)?;
    } else {
        for daemon in ["kubelet", "proxy", "flannel", "containerd"] {
            handover::withdraw(&places, daemon)?;
        }
    }
    announce::renewed(&report.renewed).await;
    Ok(report)
}
