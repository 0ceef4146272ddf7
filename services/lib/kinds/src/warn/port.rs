//! Ports of containers that stand in each other's way.
//!
//! # Upstream
//! `pkg/api/pod/warnings.go` `warningsForPodSpecAndMeta`

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

use meta::field::quote;
use schema::Map;

use super::pod::Template;
use super::{Seen, Warnings, container};
use crate::tree::{int, maps, text};

/// A port and where it stands.
#[derive(Clone, Copy)]
struct Port<'a> {
    at: &'a str,
    list: &'static str,
    container: usize,
    index: usize,
    port: &'a Map,
}

impl fmt::Display for Port<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, list, container, index, .. } = self;
        write!(f, "{at}spec.{list}[{container}].ports[{index}]")
    }
}

impl<'a> Port<'a> {
    /// Address and port of the host.
    fn host(&self) -> (&'a str, i64) {
        (text(self.port, "hostIP"), int(self.port, "hostPort").unwrap_or(0))
    }

    /// What it is in the pod.
    fn key(&self) -> (i64, &'a str) {
        (int(self.port, "containerPort").unwrap_or(0), text(self.port, "protocol"))
    }

    fn name(&self) -> &'a str {
        text(self.port, "name")
    }

    /// How two definitions of one port disagree.
    fn clash(&self, other: &Port<'_>) -> Option<&'static str> {
        let ((ip, port), (other_ip, other_port)) = (self.host(), other.host());
        if (ip, port) == (other_ip, other_port) {
            return Some("duplicate");
        }
        if port == 0 || other_port == 0 {
            return Some("overlapping");
        }
        (port == other_port && ip.is_empty() != other_ip.is_empty()).then_some("dangerously ambiguous")
    }
}

fn all<'a>(template: Template<'a>) -> impl Iterator<Item = Port<'a>> {
    let at = template.at;
    container::all(template.spec).flat_map(move |(list, container, owner)| {
        let ports = maps(owner, "ports").enumerate();
        ports.map(move |(index, port)| Port { at, list, container, index, port })
    })
}

/// Whether some ports agree in this.
fn agree<T: Copy + Eq + Hash + Default>(mut of_each: impl Iterator<Item = T>) -> bool {
    let mut seen = Seen::default();
    of_each.any(|one| seen.again(one))
}

/// Ports defined more than once, and addresses of the host without a port there.
pub(super) fn ports(warnings: &mut Warnings, template: Template<'_>) {
    let many = agree(all(template).map(|port| port.key()));
    let mut known: HashMap<(i64, &str), Vec<Port<'_>>> = HashMap::new();
    for port in all(template) {
        let (host_ip, host_port) = port.host();
        if !host_ip.is_empty() && host_port == 0 {
            let (name, (number, protocol)) = (port.name(), port.key());
            warnings.push(format!(
                "{port}: hostIP set without hostPort: {{Name:{name} HostPort:0 ContainerPort:{number} \
                 Protocol:{protocol} HostIP:{host_ip}}}"
            ));
        }
        if many {
            let same = known.entry(port.key()).or_default();
            for other in same.iter() {
                if let Some(how) = port.clash(other) {
                    warnings.push(format!("{port}: {how} port definition with {other}"));
                }
            }
            same.push(port);
        }
    }
}

/// Names of ports given twice: Services and probes find the first.
pub(super) fn names(warnings: &mut Warnings, template: Template<'_>) {
    let named = || all(template).filter(|port| !port.name().is_empty());
    if !agree(named().map(|port| port.name())) {
        return;
    }
    let mut known: HashMap<&str, Port<'_>> = HashMap::new();
    for port in named() {
        let Some(first) = known.get(port.name()) else {
            known.insert(port.name(), port);
            continue;
        };
        let name = quote(port.name());
        warnings.push(format!(
            "{port}: duplicate port name {name} with {first}, services and probes that select ports by name will use \
             {first}"
        ));
    }
}
