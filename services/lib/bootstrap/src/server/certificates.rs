//! k3s's authorities and certificates under `server/tls`.
//!
//! # Upstream
//! k3s `pkg/daemons/control/deps/deps.go`

use std::net::IpAddr;

use pki::{Authority, Leaf, Usage, write_private, write_public};

use super::Step;
use crate::files;
use crate::node::Identity;
use crate::{BootstrapError, Places};

/// The authorities that sign for nodes.
pub(super) struct Authorities {
    pub(super) client: Authority,
    pub(super) server: Authority,
}

/// Clients: file, user, group.
const CLIENTS: [(&str, &str, &str); 8] = [
    ("client-admin", "system:admin", "system:masters"),
    ("client-supervisor", "system:k3s-supervisor", "system:masters"),
    ("client-controller", "system:kube-controller-manager", ""),
    ("client-scheduler", "system:kube-scheduler", ""),
    ("client-kube-apiserver", "system:apiserver", "system:masters"),
    ("client-kube-proxy", "system:kube-proxy", ""),
    ("client-k3s-controller", "system:k3s-controller", ""),
    ("client-k3s-cloud-controller", "k3s-cloud-controller-manager", ""),
];

/// Makes what is missing, renews what ends.
pub(super) fn run(step: &Step<'_>) -> Result<Authorities, BootstrapError> {
    let places = step.places;
    let tls = places.tls("");
    let client = Authority::ensure(&tls, "client-ca", "k3s-client-ca")?;
    let server = Authority::ensure(&tls, "server-ca", "k3s-server-ca")?;
    let front = Authority::ensure(&tls, "request-header-ca", "k3s-request-header-ca")?;
    write_public(&places.tls("client-ca.nochain.crt"), client.without_chain().as_bytes())?;
    write_public(&places.tls("server-ca.nochain.crt"), server.without_chain().as_bytes())?;
    for (file, user, group) in CLIENTS {
        let groups: Vec<&str> = Some(group).filter(|g| !g.is_empty()).into_iter().collect();
        client.keep(&places.tls(file), &Leaf::client(user, &groups))?;
    }
    front.keep(&places.tls("client-auth-proxy"), &Leaf::client("system:auth-proxy", &[]))?;
    server.keep(&places.tls("serving-kube-apiserver"), &serving(step))?;
    etcd(step)?;
    service_key(places)?;
    Ok(Authorities { client, server })
}

fn serving(step: &Step<'_>) -> Leaf {
    let domain = &step.server.cluster_domain;
    let mut dns: Vec<String> =
        ["kubernetes", "kubernetes.default", "kubernetes.default.svc"].map(String::from).into();
    dns.push(format!("kubernetes.default.svc.{domain}"));
    dns.push("localhost".into());
    let mut ips: Vec<IpAddr> = vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
    ips.push(step.advertise);
    ips.extend(step.server.service_cidrs.iter().map(|range| range.nth(1)));
    if let Some(node) = step.node {
        dns.push(node.name.clone());
        ips.extend(node.ips.iter().chain(&node.external_ips));
    }
    ips.extend(step.config.bind_address.filter(|a| !a.is_unspecified()));
    for san in &step.server.tls_sans {
        match san.parse() {
            Ok(ip) => ips.push(ip),
            Err(_) => dns.push(san.clone()),
        }
    }
    unique(&mut dns);
    unique(&mut ips);
    Leaf::server("kube-apiserver", dns, ips)
}

/// Later repetitions go.
fn unique<T: PartialEq + Clone>(items: &mut Vec<T>) {
    let mut seen: Vec<T> = Vec::new();
    items.retain(|item| {
        !seen.contains(item) && {
            seen.push(item.clone());
            true
        }
    });
}

fn etcd(step: &Step<'_>) -> Result<(), BootstrapError> {
    let (places, folder) = (step.places, step.places.tls("etcd"));
    let server = Authority::ensure(&folder, "server-ca", "etcd-server-ca")?;
    let peer = Authority::ensure(&folder, "peer-ca", "etcd-peer-ca")?;
    server.keep(&places.tls("etcd/client"), &Leaf::client("etcd-client", &[]))?;
    let ips = vec![IpAddr::from([127, 0, 0, 1]), step.advertise];
    let both = |name: &str, dns: &[&str]| Leaf {
        usage: Usage::Peer,
        ..Leaf::server(name, dns.iter().map(|d| (*d).to_owned()).collect(), ips.clone())
    };
    server.keep(&places.tls("etcd/server-client"), &both("etcd-server", &["kine.sock", "localhost"]))?;
    peer.keep(&places.tls("etcd/peer-server-client"), &both("etcd-peer", &["localhost"]))?;
    Ok(())
}

/// `service.key` has every key tokens are verified with, `service.current.key` the one that signs.
///
/// # Differs
/// A new key is P-256 where k3s makes one of RSA: signing is an order of magnitude cheaper.
fn service_key(places: &Places) -> Result<(), BootstrapError> {
    let (all, current) = (places.tls("service.key"), places.tls("service.current.key"));
    let keys = match files::read(&all)? {
        Some(keys) => keys,
        None => {
            let key = pki::new_key()?;
            write_private(&all, key.as_bytes())?;
            key
        }
    };
    const END: &str = "PRIVATE KEY-----\n";
    // the first block that is a private key: `BEGIN …` and `END …`
    let begin = keys.find("-----BEGIN").unwrap_or(0);
    let end = keys.match_indices(END).nth(1).map_or(keys.len(), |(at, text)| at + text.len());
    write_private(&current, &keys.as_bytes()[begin.min(end)..end])?;
    Ok(())
}

/// The certificates of this machine's own node, as an agent gets them by joining.
pub(super) fn of_node(
    authorities: &Authorities,
    node: &Identity,
    places: &Places,
) -> Result<(), BootstrapError> {
    use pki::signer::Profile;
    files::folder(&places.agent(""), 0o755)?;
    let (name, ips) = (node.name.clone(), node.ips.clone());
    let client = Profile::ClientKubelet { node: name.clone() }.leaf();
    authorities.client.keep(&places.agent("client-kubelet"), &client)?;
    authorities
        .server
        .keep(&places.agent("serving-kubelet"), &Profile::ServingKubelet { node: name, ips }.leaf())?;
    authorities.client.keep(&places.agent("client-kube-proxy"), &Profile::ClientKubeProxy.leaf())?;
    authorities.client.keep(&places.agent("client-k3s-controller"), &Profile::ClientK3sController.leaf())?;
    write_public(&places.agent("client-ca.crt"), authorities.client.certificate().as_bytes())?;
    write_public(&places.agent("server-ca.crt"), authorities.server.certificate().as_bytes())?;
    Ok(())
}
