//! What a Service needs when it comes, changes type, or goes.
//!
//! # Upstream
//! `pkg/registry/core/service/storage/{alloc,storage}.go`

use std::net::IpAddr;
use std::sync::Arc;

use meta::field;
use schema::{Object, Value};

use super::address::{self, Owner};
use super::{Allocated, Freed, families, ports};
use crate::errors::{self, Result};
use crate::server::Server;
use crate::verbs::Call;

fn kind(object: &Object) -> &str {
    match object.str_at(&["spec", "type"]) {
        "" => "ClusterIP",
        other => other,
    }
}

fn invalid(object: &Object, problem: field::Error) -> errors::Error {
    errors::invalid("", "Service", object.name(), &[problem])
}

/// The addresses a Service asks for or has.
pub(super) fn addresses(object: &Object) -> Vec<String> {
    let list = object.list_at(&["spec", "clusterIPs"]).iter().filter_map(Value::as_str);
    let mut all: Vec<String> = list.map(str::to_owned).collect();
    let first = object.str_at(&["spec", "clusterIP"]);
    if all.is_empty() && !first.is_empty() {
        all.push(first.to_owned());
    }
    all
}

/// Strings as a list.
pub(super) fn strings(values: &[String]) -> Vec<Value> {
    values.iter().map(|v| Value::from(v.as_str())).collect()
}

async fn take_addresses(
    call: &Call,
    object: &mut Object,
    families: &[String],
    allocated: &mut Allocated,
    dry_run: bool,
) -> Result<()> {
    let given = addresses(object);
    if given.first().is_some_and(|a| a == "None") {
        object.set(&["spec", "clusterIP"], "None");
        object.set(&["spec", "clusterIPs"], strings(&["None".to_owned()]));
        return Ok(());
    }
    let (namespace, name) = (call.info.namespace.clone(), object.name().to_owned());
    let owner = Owner { namespace: &namespace, name: &name };
    let mut taken = Vec::new();
    for (i, family) in families.iter().enumerate() {
        let wanted = given.get(i).filter(|a| !a.is_empty());
        let address = match wanted {
            Some(text) => {
                let parsed: IpAddr = text.parse().map_err(|_| {
                    let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
                    invalid(object, field::Error::invalid_str(format!("spec.clusterIPs[{i}]"), text, detail))
                })?;
                if !dry_run && !allocated.addresses.contains(&parsed) {
                    if let Err(why) = address::claim(&call.server, parsed, owner).await? {
                        let list = serde_json::Value::from(given.clone()).to_string();
                        return Err(invalid(object, field::Error::invalid("spec.clusterIPs", list, why)));
                    }
                    allocated.addresses.push(parsed);
                }
                parsed
            }
            None => {
                let address = address::any(&call.server, family == "IPv4", owner).await?;
                if dry_run {
                    // shown, not kept
                    address::release(&call.server, address, None).await;
                } else {
                    allocated.addresses.push(address);
                }
                address
            }
        };
        taken.push(address.to_string());
    }
    object.set(&["spec", "clusterIP"], taken[0].as_str());
    object.set(&["spec", "clusterIPs"], strings(&taken));
    Ok(())
}

fn node_ports(object: &Object) -> Vec<(usize, u16, String)> {
    let ports = object.list_at(&["spec", "ports"]).iter().enumerate();
    ports
        .map(|(i, p)| {
            let port = p.at(&["nodePort"]).and_then(Value::as_int).unwrap_or(0);
            let protocol = p.at(&["protocol"]).and_then(Value::as_str).unwrap_or("TCP").to_owned();
            (i, u16::try_from(port).unwrap_or(0), protocol)
        })
        .collect()
}

fn wants_node_ports(object: &Object) -> bool {
    match kind(object) {
        "NodePort" => true,
        "LoadBalancer" => {
            let switch = object.at(&["spec", "allocateLoadBalancerNodePorts"]).and_then(Value::as_bool);
            switch.unwrap_or(true)
        }
        _ => false,
    }
}

fn may_have_node_ports(object: &Object) -> bool {
    matches!(kind(object), "NodePort" | "LoadBalancer")
}

async fn take_ports(
    call: &Call,
    object: &mut Object,
    held: &[u16],
    allocated: &mut Allocated,
    dry_run: bool,
) -> Result<()> {
    let automatic = wants_node_ports(object);
    for (i, port, _) in node_ports(object) {
        let path = format!("spec.ports[{i}].nodePort");
        // one port may serve two protocols
        if port > 0 && (held.contains(&port) || allocated.ports.contains(&port)) {
            continue;
        }
        if port > 0 {
            if dry_run {
                continue;
            }
            if let Err(why) = ports::claim(&call.server, port).await? {
                return Err(invalid(object, field::Error::invalid(path, port, why)));
            }
            allocated.ports.push(port);
            continue;
        }
        if !automatic {
            continue;
        }
        let port = same_port_of_another_protocol(object, i).unwrap_or(0);
        let port = if port > 0 {
            port
        } else {
            let port = ports::any(&call.server).await?;
            if dry_run {
                ports::release(&call.server, &[port]).await
            } else {
                allocated.ports.push(port)
            }
            port
        };
        let list = object.at_mut(&["spec", "ports"]).and_then(Value::as_list_mut);
        if let Some(slot) = list.and_then(|l| l.get_mut(i)).and_then(Value::as_map_mut) {
            slot.insert("nodePort", i64::from(port));
        }
    }
    take_health_port(call, object, allocated, dry_run).await
}

/// TCP and UDP of one service port share their NodePort.
fn same_port_of_another_protocol(object: &Object, at: usize) -> Option<u16> {
    let list = object.list_at(&["spec", "ports"]);
    let number = |v: &Value, key: &str| v.at(&[key]).and_then(Value::as_int);
    let (port, protocol) = (number(&list[at], "port"), list[at].at(&["protocol"]).cloned());
    let other = list.iter().enumerate().find(|(i, p)| {
        *i != at
            && number(p, "port") == port
            && p.at(&["protocol"]).cloned() != protocol
            && number(p, "nodePort").is_some_and(|n| n > 0)
    })?;
    u16::try_from(number(other.1, "nodePort")?).ok()
}

async fn take_health_port(
    call: &Call,
    object: &mut Object,
    allocated: &mut Allocated,
    dry_run: bool,
) -> Result<()> {
    let needs =
        kind(object) == "LoadBalancer" && object.str_at(&["spec", "externalTrafficPolicy"]) == "Local";
    let port = object.int_at(&["spec", "healthCheckNodePort"]).unwrap_or(0);
    if !needs {
        return Ok(());
    }
    if port > 0 {
        let port = u16::try_from(port).unwrap_or(0);
        if !dry_run && !allocated.ports.contains(&port) {
            if let Err(why) = ports::claim(&call.server, port).await? {
                let path = "spec.healthCheckNodePort";
                return Err(invalid(object, field::Error::invalid(path, port, why)));
            }
            allocated.ports.push(port);
        }
        return Ok(());
    }
    let port = ports::any(&call.server).await?;
    if dry_run {
        ports::release(&call.server, &[port]).await
    } else {
        allocated.ports.push(port)
    }
    object.set(&["spec", "healthCheckNodePort"], i64::from(port));
    Ok(())
}

/// A new Service.
pub async fn create(call: &Call, object: &mut Object, dry_run: bool) -> Result<Allocated> {
    let mut allocated = Allocated::default();
    kinds::normalize_cluster_ips(object, None);
    if kind(object) == "ExternalName" {
        return Ok(allocated);
    }
    let taken = async {
        let families = families::init(&call.server, object, None)?;
        take_addresses(call, object, &families, &mut allocated, dry_run).await?;
        if may_have_node_ports(object) {
            take_ports(call, object, &[], &mut allocated, dry_run).await?;
        }
        Ok(())
    };
    let outcome: Result<()> = taken.await;
    finish(call, allocated, outcome).await
}

async fn finish(call: &Call, allocated: Allocated, outcome: Result<()>) -> Result<Allocated> {
    match outcome {
        Ok(()) => Ok(allocated),
        Err(error) => {
            allocated.give_back(&call.server).await;
            Err(error)
        }
    }
}

/// Fields an update left out keep their values.
fn patch_from_old(object: &mut Object, old: &Object) {
    if kind(object) == "ExternalName" || kind(old) == "ExternalName" {
        return;
    }
    for path in [["spec", "clusterIP"], ["spec", "clusterIPs"]] {
        let missing = match object.at(&path) {
            None | Some(Value::Null) => true,
            Some(Value::Str(s)) => s.is_empty(),
            Some(Value::List(l)) => l.is_empty(),
            _ => false,
        };
        if let (true, Some(value)) = (missing, old.at(&path)) {
            object.set(&path, value.clone());
        }
    }
    if may_have_node_ports(object) && may_have_node_ports(old) {
        keep_node_ports(object, old);
    }
    let health = object.int_at(&["spec", "healthCheckNodePort"]).unwrap_or(0);
    let local =
        |o: &Object| o.str_at(&["spec", "externalTrafficPolicy"]) == "Local" && kind(o) == "LoadBalancer";
    if health == 0
        && local(object)
        && local(old)
        && let Some(port) = old.int_at(&["spec", "healthCheckNodePort"])
    {
        object.set(&["spec", "healthCheckNodePort"], port);
    }
}

fn keep_node_ports(object: &mut Object, old: &Object) {
    let olds: Vec<Value> = old.list_at(&["spec", "ports"]).to_vec();
    let Some(list) = object.at_mut(&["spec", "ports"]).and_then(Value::as_list_mut) else { return };
    let used: Vec<Value> = list.iter().filter_map(|p| p.at(&["nodePort"]).cloned()).collect();
    for port in list.iter_mut() {
        let given = port.at(&["nodePort"]).and_then(Value::as_int).unwrap_or(0);
        if given > 0 {
            continue;
        }
        let same = |o: &&Value| {
            o.at(&["port"]) == port.at(&["port"]) && o.at(&["protocol"]) == port.at(&["protocol"])
        };
        let kept = olds.iter().find(same).and_then(|o| o.at(&["nodePort"])).cloned();
        if let (Some(kept), Some(map)) = (kept.filter(|k| !used.contains(k)), port.as_map_mut()) {
            map.insert("nodePort", kept);
        }
    }
}

/// A changed Service. What the old one held and the new one does not is given back after the write.
pub async fn update(call: &Call, object: &mut Object, old: &Object, dry_run: bool) -> Result<Allocated> {
    patch_from_old(object, old);
    kinds::normalize_cluster_ips(object, Some(old));
    let mut allocated = Allocated::default();
    if kind(object) == "ExternalName" {
        if kind(old) != "ExternalName" && !dry_run {
            object.remove(&["spec", "clusterIP"]);
            object.remove(&["spec", "clusterIPs"]);
            allocated.freed = held(old);
        }
        return Ok(allocated);
    }
    let taken = async {
        let had = addresses(old);
        let families = families::init(&call.server, object, Some(old))?;
        if kind(old) == "ExternalName"
            || addresses(object).len() < families.len()
            || addresses(object).is_empty()
        {
            // addresses it has already are its own
            allocated.addresses.extend(had.iter().filter_map(|a| a.parse::<IpAddr>().ok()));
            let before = allocated.addresses.len();
            take_addresses(call, object, &families, &mut allocated, dry_run).await?;
            allocated.addresses.drain(..before);
        }
        let held: Vec<u16> = node_ports(old).into_iter().map(|(_, p, _)| p).filter(|p| *p > 0).collect();
        if may_have_node_ports(object) {
            let health = old.int_at(&["spec", "healthCheckNodePort"]).and_then(|p| u16::try_from(p).ok());
            let own: Vec<u16> = held.iter().copied().chain(health).filter(|p| *p > 0).collect();
            allocated.ports.clone_from(&own);
            let outcome = take_ports(call, object, &held, &mut allocated, dry_run).await;
            allocated.ports.retain(|p| !own.contains(p));
            outcome?;
        }
        if !dry_run {
            let now: Vec<u16> = node_ports(object).into_iter().map(|(_, p, _)| p).collect();
            let freed: Vec<u16> = held.into_iter().filter(|p| !now.contains(p)).collect();
            // a second address that was let go
            let now = addresses(object);
            let gone = had.iter().skip(1).filter(|address| !now.contains(address));
            let addresses = gone.filter_map(|address| address.parse().ok()).collect();
            let (namespace, name) = (old.namespace().to_owned(), old.name().to_owned());
            allocated.freed = Freed { addresses, ports: freed, namespace, name };
        }
        Ok(())
    };
    let outcome: Result<()> = taken.await;
    finish(call, allocated, outcome).await
}

/// Everything a Service holds.
fn held(object: &Object) -> Freed {
    let mut ports: Vec<u16> = node_ports(object).into_iter().map(|(_, p, _)| p).filter(|p| *p > 0).collect();
    let health = object.int_at(&["spec", "healthCheckNodePort"]).and_then(|p| u16::try_from(p).ok());
    ports.extend(health.filter(|p| *p > 0));
    Freed {
        addresses: addresses(object).iter().filter_map(|a| a.parse().ok()).collect(),
        ports,
        namespace: object.namespace().to_owned(),
        name: object.name().to_owned(),
    }
}

/// A Service that is gone.
pub async fn delete(server: &Arc<Server>, object: &Object) {
    Allocated { freed: held(object), ..Allocated::default() }.keep(server).await;
}
