//! Who this node is: name, addresses, password.
//!
//! # Upstream
//! k3s `pkg/util/net.go` `GetHostnameAndIPs`, `pkg/agent/config/config.go` `ensureNodeID`, `ensureNodePassword`

use std::net::{IpAddr, UdpSocket};

use config::{Agent, Errors, is_host_name};
use pki::random_hex;

use crate::files::{self, Owner};
use crate::{BootstrapError, Places};

/// Who this node is.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) ips: Vec<IpAddr>,
    pub(crate) external_ips: Vec<IpAddr>,
    /// What it proves itself by when it asks for certificates.
    pub(crate) password: String,
}

/// Finds out, or decides and writes down.
pub(crate) fn identity(agent: &Agent, places: &Places) -> Result<Identity, BootstrapError> {
    let mut name = match &agent.node_name {
        Some(name) => name.clone(),
        None => host_name()?,
    };
    files::folder(&places.node, 0o755)?;
    if agent.with_node_id {
        name = format!("{name}-{}", kept(&places.node.join("id"), 4, 0o644)?);
    }
    if name.split('.').next() == Some("localhost") || !is_host_name(&name) {
        return Err(Errors(vec![format!(
            "node-name: the host's name {name:?} cannot be a node's; set node-name"
        )])
        .into());
    }
    let ips = if agent.ips.is_empty() { addresses(&agent.flannel_iface)? } else { agent.ips.clone() };
    let password = kept(&places.node.join("password"), 16, 0o600)?;
    Ok(Identity { name, ips, external_ips: agent.external_ips.clone(), password })
}

/// The address of this machine, for servers that are no nodes.
pub(crate) fn own_address() -> Result<IpAddr, BootstrapError> {
    addresses("")?.first().copied().ok_or(BootstrapError::NoAddress)
}

fn host_name() -> Result<String, BootstrapError> {
    let path = std::path::Path::new("/proc/sys/kernel/hostname");
    Ok(files::need(path)?.trim().to_lowercase())
}

/// A random word in a file, made once.
fn kept(file: &std::path::Path, bytes: usize, mode: u32) -> Result<String, BootstrapError> {
    if let Some(word) = files::read(file)?.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()) {
        return Ok(word);
    }
    let word = random_hex(bytes)?;
    files::put(file, format!("{word}\n").as_bytes(), mode, Owner::ROOT)?;
    Ok(word)
}

/// The address of a device, or the one the default route leaves from.
fn addresses(device: &str) -> Result<Vec<IpAddr>, BootstrapError> {
    if !device.is_empty() {
        return of_device(device);
    }
    // connecting a datagram socket sends nothing: it asks the routing table for the source address
    let source = |any: &str, far: &str| {
        let socket = UdpSocket::bind(any).ok()?; // a family the kernel lacks
        socket.connect(far).ok()?; // no route
        Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_loopback())
    };
    let v4 = source("0.0.0.0:0", "192.0.2.1:9");
    let found = v4.or_else(|| source("[::]:0", "[2001:db8::1]:9"));
    match found {
        Some(address) => Ok(vec![address]),
        None => only_address().map(|a| vec![a]).ok_or(BootstrapError::NoAddress),
    }
}

fn device_addresses() -> Vec<(String, IpAddr)> {
    let Ok(all) = nix::ifaddrs::getifaddrs() else { return Vec::new() }; // none known: the caller says so
    let address = |a: nix::ifaddrs::InterfaceAddress| {
        let storage = a.address?;
        let ip = storage.as_sockaddr_in().map(|s| IpAddr::from(s.ip()));
        let ip = ip.or_else(|| storage.as_sockaddr_in6().map(|s| IpAddr::from(s.ip())))?;
        Some((a.interface_name, ip))
    };
    let usable = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    };
    all.filter_map(address).filter(|(_, ip)| usable(ip)).collect()
}

fn of_device(device: &str) -> Result<Vec<IpAddr>, BootstrapError> {
    let found: Vec<IpAddr> =
        device_addresses().into_iter().filter(|(d, _)| d == device).map(|(_, ip)| ip).collect();
    match found.iter().find(|ip| ip.is_ipv4()).or(found.first()) {
        Some(ip) => Ok(vec![*ip]),
        None => {
            Err(Errors(vec![format!("flannel-iface: unable to find interface {device} with an address")])
                .into())
        }
    }
}

/// Without a default route: the address of the only device that has one and is not of pods.
fn only_address() -> Option<IpAddr> {
    let ours = |device: &str| ["cni0", "flannel", "veth", "docker"].iter().any(|p| device.starts_with(p));
    device_addresses().into_iter().find(|(d, ip)| !ours(d) && ip.is_ipv4()).map(|(_, ip)| ip)
}
