//! Which families of addresses a Service gets, and how many.
//!
//! # Upstream
//! `pkg/registry/core/service/storage/alloc.go` `initIPFamilyFields`

use std::net::IpAddr;
use std::sync::Arc;

use meta::field;
use schema::{Object, Value};

use super::service::{addresses, strings};
use crate::errors::{self, Result};
use crate::server::Server;

const POLICY: &str = "spec.ipFamilyPolicy";

fn texts(object: &Object, key: &str) -> Vec<String> {
    object.list_at(&["spec", key]).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn invalid(object: &Object, problems: &[field::Error]) -> errors::Error {
    errors::invalid("", "Service", object.name(), problems)
}

fn other(family: &str) -> String {
    if family == "IPv4" { "IPv6" } else { "IPv4" }.to_owned()
}

/// Fills policy and families from what is asked and what the cluster has; gives the families.
pub(super) fn init(server: &Arc<Server>, object: &mut Object, old: Option<&Object>) -> Result<Vec<String>> {
    let ranges = server.settings.service_ranges().map_err(errors::internal)?;
    let mut configured: Vec<&str> = ranges.iter().map(|range| range.family()).collect();
    configured.dedup();
    if unchanged_by_choice(object, old) {
        return Ok(texts(object, "ipFamilies"));
    }
    let selectorless = object.map_at(&["spec", "selector"]).is_none_or(schema::Map::is_empty);
    let free = object.str_at(&["spec", "clusterIP"]) == "None" && selectorless;
    if object.str_at(&["spec", "ipFamilyPolicy"]).is_empty() {
        let before = old.map_or("", |old| old.str_at(&["spec", "ipFamilyPolicy"]));
        let policy = match before {
            "" if free => "RequireDualStack",
            "" => "SingleStack",
            kept => kept,
        };
        object.set(&["spec", "ipFamilyPolicy"], policy);
    }
    let problems = kinds::service_addresses(object, old);
    if !problems.is_empty() {
        return Err(invalid(object, &problems));
    }
    if let Some(old) = old {
        release_second(object, old)?;
    }
    let policy = object.str_at(&["spec", "ipFamilyPolicy"]).to_owned();
    let mut families = inferred(object, &policy, &configured)?;
    if !free {
        check_configured(object, &policy, &families, &configured)?;
    }
    if families.is_empty() {
        families.push(configured.first().copied().unwrap_or("IPv4").to_owned());
    }
    if policy != "SingleStack" && families.len() == 1 && (free || configured.len() == 2) {
        families.push(other(&families[0]));
    }
    object.set(&["spec", "ipFamilies"], strings(&families));
    Ok(families)
}

/// Whether nothing is to be done: a service that prefers both families stays as it is when the cluster changes.
fn unchanged_by_choice(object: &Object, old: Option<&Object>) -> bool {
    let Some(old) = old else { return false };
    let same = |key: &str| object.at(&["spec", key]) == old.at(&["spec", key]);
    object.str_at(&["spec", "ipFamilyPolicy"]) == "PreferDualStack"
        && ["type", "ipFamilyPolicy", "clusterIPs", "ipFamilies"].into_iter().all(same)
}

/// Asking for one family lets the second address go; leaving it out without asking is an error.
fn release_second(object: &mut Object, old: &Object) -> Result<()> {
    let single = object.str_at(&["spec", "ipFamilyPolicy"]) == "SingleStack";
    let mut problems = Vec::new();
    for (key, what) in [("clusterIPs", "secondary cluster IP"), ("ipFamilies", "secondary IP family")] {
        let (mut now, before) = (texts(object, key), texts(old, key));
        if single && now == before && now.len() > 1 {
            now.truncate(1);
            object.set(&["spec", key], strings(&now));
        }
        // nothing given is not less: it is filled in
        if !single && !now.is_empty() && now.len() < before.len() {
            let detail = format!("must be 'SingleStack' to release the {what}");
            let policy = object.str_at(&["spec", "ipFamilyPolicy"]);
            problems.push(field::Error::invalid_str(POLICY, policy, detail));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(invalid(object, &problems)) }
}

/// The families that are asked for, by themselves or by addresses.
fn inferred(object: &Object, policy: &str, configured: &[&str]) -> Result<Vec<String>> {
    let (given, mut families) = (addresses(object), texts(object, "ipFamilies"));
    let mut problems = Vec::new();
    if policy == "SingleStack" {
        for (many, what) in [(given.len(), "cluster IPs"), (families.len(), "IP families")] {
            if many == 2 {
                let detail = format!(
                    "must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
                );
                problems.push(field::Error::invalid_str(POLICY, policy, detail));
            }
        }
    }
    for (i, address) in given.iter().enumerate().skip(families.len()) {
        let Ok(parsed) = address.parse::<IpAddr>() else { break };
        let family = if parsed.is_ipv4() { "IPv4" } else { "IPv6" };
        if configured.contains(&family) {
            families.push(family.to_owned());
        } else {
            let all = serde_json::Value::from(given.clone()).to_string();
            let detail = format!("{family} is not configured on this cluster");
            problems.push(field::Error::invalid(format!("spec.clusterIPs[{i}]"), all, detail));
        }
    }
    if problems.is_empty() { Ok(families) } else { Err(invalid(object, &problems)) }
}

/// The cluster has what is asked for.
fn check_configured(object: &Object, policy: &str, families: &[String], configured: &[&str]) -> Result<()> {
    let mut problems = Vec::new();
    if policy == "RequireDualStack" && configured.len() < 2 {
        let detail = "this cluster is not configured for dual-stack services";
        problems.push(field::Error::invalid_str(POLICY, policy, detail));
    }
    for (i, family) in families.iter().enumerate().filter(|(_, f)| !configured.contains(&f.as_str())) {
        let at = format!("spec.ipFamilies[{i}]");
        problems.push(field::Error::invalid_str(at, family, "not configured on this cluster"));
    }
    if problems.is_empty() { Ok(()) } else { Err(invalid(object, &problems)) }
}
