//! The control plane's part: authorities, accounts, certificates, and what each daemon gets of them.

mod accounts;
mod certificates;
mod kubeconfigs;
mod listen;
mod objects;
mod settings;

pub use accounts::{RotateError, rotate_token, tokens_of};

use std::net::IpAddr;

use config::{Config, Server};

use crate::cluster::Cluster;
use crate::files::{self, Owner};
use crate::node::Identity;
use crate::{BootstrapError, Options, Places, Report};

/// What the steps of a server share.
pub(super) struct Step<'a> {
    pub(super) config: &'a Config,
    pub(super) server: &'a Server,
    pub(super) node: Option<&'a Identity>,
    pub(super) places: &'a Places,
    pub(super) options: &'a Options,
    /// Where this machine's daemons find the API.
    pub(super) api: String,
    /// The address others reach this server at.
    pub(super) advertise: IpAddr,
}

/// Makes everything a server has.
pub(crate) fn run(
    config: &Config,
    server: &Server,
    node: Option<&Identity>,
    places: &Places,
    options: &Options,
    report: &mut Report,
) -> Result<Cluster, BootstrapError> {
    let advertise = match (server.advertise_address, node) {
        (Some(given), _) => given,
        (None, Some(node)) => {
            node.external_ips.first().or(node.ips.first()).copied().ok_or(BootstrapError::NoAddress)?
        }
        (None, None) => crate::node::own_address()?,
    };
    let loopback = match config.bind_address {
        Some(address) if !address.is_unspecified() => url_host(address),
        _ if server.service_cidrs.first().is_some_and(|r| !r.is_ipv4()) => "[::1]".into(),
        _ => "127.0.0.1".into(),
    };
    let api = format!("https://{loopback}:{}", server.port);
    let step = Step { config, server, node, places, options, api: api.clone(), advertise };
    folders(places)?;
    let authorities = certificates::run(&step)?;
    accounts::run(&step, &authorities)?;
    kubeconfigs::run(&step)?;
    let cluster = Cluster::of_server(server, api);
    settings::run(&step, &cluster, report)?;
    listen::run(&step)?;
    if let Some(node) = node {
        certificates::of_node(&authorities, node, places)?;
    }
    Ok(cluster)
}

/// An address as part of a URL.
pub(crate) fn url_host(address: IpAddr) -> String {
    if address.is_ipv6() { format!("[{address}]") } else { address.to_string() }
}

fn folders(places: &Places) -> Result<(), BootstrapError> {
    // daemons with users of their own pass through to what is theirs, and see nothing else
    files::owned_folder(&places.server(""), 0o711, Some(Owner::ROOT))?;
    for name in ["tls", "tls/etcd", "cred", "etc"] {
        files::folder(&places.server(name), 0o700)?;
    }
    files::folder(&places.server("static"), 0o755)?;
    let store = crate::handover::owner_of("datastore")?;
    let db = places.server("db");
    files::owned_folder(&db, 0o700, Some(store))?;
    // a database k3s left behind is taken over, so it must be readable
    for entry in std::fs::read_dir(&db).map_err(files::error("reading", &db))? {
        let path = entry.map_err(files::error("reading", &db))?.path();
        if path.is_file() {
            std::os::unix::fs::chown(&path, Some(store.uid), Some(store.gid))
                .map_err(files::error("owning", &path))?;
        }
    }
    let controller = crate::handover::owner_of("controller")?;
    Ok(files::owned_folder(&places.server("manifests"), 0o700, Some(controller))?)
}
