//! Rows of services, ingresses and what belongs to them.

use std::collections::BTreeSet;

use schema::Map;

use super::{Row, age, at, cells, items, labels, name, or, selector, string, structs, three};
use crate::tree::{int, is_nil, map, map_at, text, texts};

/// Addresses a load balancer got, sorted.
fn balancer(root: &Map) -> String {
    let found: BTreeSet<&str> = structs(root, &["status", "loadBalancer", "ingress"])
        .map(|i| if text(i, "ip").is_empty() { text(i, "hostname") } else { text(i, "ip") })
        .filter(|a| !a.is_empty())
        .collect();
    found.into_iter().collect::<Vec<_>>().join(",")
}

fn external_ip(root: &Map) -> String {
    let own: Vec<&str> = map(root, "spec").map(|s| texts(s, "externalIPs").collect()).unwrap_or_default();
    match at(root, &["spec", "type"]) {
        "ClusterIP" | "NodePort" if own.is_empty() => "<none>".to_owned(),
        "ClusterIP" | "NodePort" => own.join(","),
        "LoadBalancer" => {
            let balancer = balancer(root);
            let mut all: Vec<&str> = Some(balancer.as_str()).into_iter().filter(|b| !b.is_empty()).collect();
            all.extend(own);
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        "ExternalName" => at(root, &["spec", "externalName"]).to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

pub(crate) fn service(root: &Map) -> Row {
    let ports: Vec<String> = structs(root, &["spec", "ports"])
        .map(|p| {
            let (port, protocol) = (int(p, "port").unwrap_or(0), text(p, "protocol"));
            match int(p, "nodePort").unwrap_or(0) {
                0 => format!("{port}/{protocol}"),
                node => format!("{port}:{node}/{protocol}"),
            }
        })
        .collect();
    let ip = items(root, &["spec", "clusterIPs"]).first().and_then(|v| v.as_str()).unwrap_or("<none>");
    cells([
        name(root),
        string(at(root, &["spec", "type"])),
        string(ip),
        string(external_ip(root)),
        or(&ports.join(","), "<none>"),
        age(root),
        labels(map_at(root, &["spec", "selector"])),
    ])
}

pub(crate) fn endpoint_slice(root: &Map) -> Row {
    let ports = structs(root, &["ports"]).map(|p| match int(p, "port") {
        Some(port) => port.to_string(),
        None if is_nil(p, "name") => "*".to_owned(),
        None => text(p, "name").to_owned(),
    });
    let addresses = structs(root, &["endpoints"])
        .flat_map(|e| texts(e, "addresses").map(str::to_owned).collect::<Vec<_>>());
    cells([
        name(root),
        string(at(root, &["addressType"])),
        string(three(ports)),
        string(three(addresses)),
        age(root),
    ])
}

fn hosts(root: &Map) -> String {
    let rules = items(root, &["spec", "rules"]).len();
    let (mut shown, mut more) = (Vec::new(), false);
    for rule in structs(root, &["spec", "rules"]) {
        more |= shown.len() == 3;
        if !more && !text(rule, "host").is_empty() {
            shown.push(text(rule, "host"));
        }
    }
    match (shown.is_empty(), more) {
        (true, _) => "*".to_owned(),
        (_, true) => format!("{} + {} more...", shown.join(","), rules - 3),
        _ => shown.join(","),
    }
}

pub(crate) fn ingress(root: &Map) -> Row {
    let class = map(root, "spec").filter(|s| !is_nil(s, "ingressClassName"));
    let tls = !items(root, &["spec", "tls"]).is_empty();
    cells([
        name(root),
        string(class.map_or("<none>", |s| text(s, "ingressClassName"))),
        string(hosts(root)),
        string(balancer(root)),
        string(if tls { "80, 443" } else { "80" }),
        age(root),
    ])
}

pub(crate) fn ingress_class(root: &Map) -> Row {
    let default =
        at(root, &["metadata", "annotations", "ingressclass.kubernetes.io/is-default-class"]) == "true";
    let parameters = map_at(root, &["spec", "parameters"]).map_or("<none>".to_owned(), |p| {
        let group = if is_nil(p, "apiGroup") { String::new() } else { format!(".{}", text(p, "apiGroup")) };
        format!("{}{group}/{}", text(p, "kind"), text(p, "name"))
    });
    let name = at(root, &["metadata", "name"]);
    cells([
        string(if default { format!("{name} (default)") } else { name.to_owned() }),
        string(at(root, &["spec", "controller"])),
        string(parameters),
        age(root),
    ])
}

pub(crate) fn network_policy(root: &Map) -> Row {
    cells([name(root), selector(map(root, "spec"), "podSelector"), age(root)])
}

pub(crate) fn service_cidr(root: &Map) -> Row {
    let cidrs: Vec<&str> = map(root, "spec").map(|s| texts(s, "cidrs").collect()).unwrap_or_default();
    cells([name(root), string(cidrs.join(",")), age(root)])
}

pub(crate) fn ip_address(root: &Map) -> Row {
    let parent = map_at(root, &["spec", "parentRef"]).map_or("<none>".to_owned(), |p| {
        let resource = match text(p, "group") {
            "" => text(p, "resource").to_owned(),
            group => format!("{}.{group}", text(p, "resource")),
        };
        let mut parts = vec![resource.to_lowercase()];
        parts.extend(Some(text(p, "namespace").to_owned()).filter(|n| !n.is_empty()));
        parts.push(text(p, "name").to_owned());
        parts.join("/")
    });
    // upstream gives one cell more than there are columns
    cells([name(root), string(parent), age(root)])
}
