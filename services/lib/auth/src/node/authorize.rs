//! The decision.
//!
//! # Upstream
//! `plugin/pkg/auth/authorizer/node/node_authorizer.go`

use super::graph::{Graph, Vertex};
use crate::attributes::{Attributes, Subject};
use crate::rbac::{PolicyRule, Verdict};

/// The node a user stands for: `system:node:<name>` in group `system:nodes`.
pub fn node_name<'a>(who: &Subject<'a>) -> Option<&'a str> {
    let name = who.name.strip_prefix("system:node:")?;
    who.groups.iter().any(|g| g == "system:nodes").then_some(name)
}

/// Whether a node may; `NoOpinion` with an empty text for who is no node.
pub fn authorize(graph: &Graph, rules: &[PolicyRule], a: &Attributes<'_>) -> Verdict {
    let Some(node) = node_name(&a.subject) else { return no("") };
    if node.is_empty() {
        return no(&format!("unknown node for user {:?}", a.subject.name));
    }
    let decided = match (a.group, a.resource) {
        _ if !a.is_resource() => None,
        ("", "secrets") => Some(read_object(graph, node, Vertex::Secret, a)),
        ("", "configmaps") => Some(read_object(graph, node, Vertex::ConfigMap, a)),
        ("", "persistentvolumeclaims") => Some(claim(graph, node, a)),
        ("", "persistentvolumes") => Some(get(a, node, graph.volume(node, a.name))),
        ("resource.k8s.io", "resourceclaims") => {
            Some(get(a, node, graph.refers(node, Vertex::ResourceClaim, a.namespace, a.name)))
        }
        ("storage.k8s.io", "volumeattachments") => Some(get(a, node, graph.attachment(node, a.name))),
        ("", "serviceaccounts") => Some(account(graph, node, a)),
        ("coordination.k8s.io", "leases") => Some(lease(node, a)),
        ("storage.k8s.io", "csinodes") => Some(csi_node(node, a)),
        ("resource.k8s.io", "resourceslices") => Some(slice(graph, node, a)),
        ("", "nodes") => Some(node_object(node, a)),
        ("", "pods") => Some(pod(graph, node, a)),
        ("certificates.k8s.io", "podcertificaterequests") => Some(no("")),
        _ => None,
    };
    match decided {
        Some(verdict) => verdict,
        None if rules.iter().any(|rule| rule.allows(a)) => yes(),
        None => no(""),
    }
}

fn yes() -> Verdict {
    Verdict::Allow(String::new())
}

fn no(reason: &str) -> Verdict {
    Verdict::NoOpinion(reason.to_owned())
}

fn related(node: &str, name: &str, is: bool) -> Verdict {
    if name.is_empty() {
        return no("No Object name found");
    }
    if is { yes() } else { no(&format!("no relationship found between node '{node}' and this object")) }
}

fn get(a: &Attributes<'_>, node: &str, is: bool) -> Verdict {
    if a.verb != "get" {
        return no("can only get individual resources of this type");
    }
    if !a.subresource.is_empty() {
        return no("cannot get subresource");
    }
    related(node, a.name, is)
}

fn read_object(graph: &Graph, node: &str, kind: Vertex, a: &Attributes<'_>) -> Verdict {
    if !matches!(a.verb, "get" | "list" | "watch") {
        return no("can only read resources of this type");
    }
    if !a.subresource.is_empty() {
        return no("cannot read subresource");
    }
    if a.namespace.is_empty() {
        return no("can only read namespaced object of this type");
    }
    related(node, a.name, graph.refers(node, kind, a.namespace, a.name))
}

fn claim(graph: &Graph, node: &str, a: &Attributes<'_>) -> Verdict {
    let is = graph.refers(node, Vertex::Claim, a.namespace, a.name);
    if a.subresource != "status" {
        return get(a, node, is);
    }
    if !matches!(a.verb, "update" | "patch") {
        return no("can only get/update/patch this type");
    }
    related(node, a.name, is)
}

fn account(graph: &Graph, node: &str, a: &Attributes<'_>) -> Verdict {
    if a.verb == "get" && a.subresource.is_empty() {
        return read_object(graph, node, Vertex::ServiceAccount, a);
    }
    if a.verb != "create" || a.name.is_empty() {
        return no("can only create tokens for individual service accounts");
    }
    if a.subresource != "token" {
        return no("can only create token subresource of serviceaccount");
    }
    related(node, a.name, graph.refers(node, Vertex::ServiceAccount, a.namespace, a.name))
}

fn lease(node: &str, a: &Attributes<'_>) -> Verdict {
    if !matches!(a.verb, "get" | "create" | "update" | "patch" | "delete") {
        return no("can only get, create, update, patch, or delete a node lease");
    }
    if a.namespace != "kube-node-lease" {
        return no("can only access leases in the \"kube-node-lease\" system namespace");
    }
    // the name is not known yet on create: NodeRestriction looks at it
    if a.verb != "create" && a.name != node {
        return no("can only access node lease with the same name as the requesting node");
    }
    yes()
}

fn csi_node(node: &str, a: &Attributes<'_>) -> Verdict {
    if !matches!(a.verb, "get" | "create" | "update" | "patch" | "delete") {
        return no("can only get, create, update, patch, or delete a CSINode");
    }
    if !a.subresource.is_empty() {
        return no("cannot authorize CSINode subresources");
    }
    if a.verb != "create" && a.name != node {
        return no("can only access CSINode with the same name as the requesting node");
    }
    yes()
}

fn slice(graph: &Graph, node: &str, a: &Attributes<'_>) -> Verdict {
    if !a.subresource.is_empty() {
        return no("cannot authorize ResourceSlice subresources");
    }
    match a.verb {
        "create" => yes(),
        "get" | "update" | "patch" | "delete" => related(node, a.name, graph.slice(node, a.name)),
        "watch" | "list" | "deletecollection" if a.fields.contains(&("spec.nodeName", node)) => yes(),
        "watch" | "list" | "deletecollection" => {
            no("can only list/watch/deletecollection resourceslices with nodeName field selector")
        }
        _ => {
            no("only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, \
                 patch, delete, deletecollection")
        }
    }
}

fn node_object(node: &str, a: &Attributes<'_>) -> Verdict {
    match (a.subresource, a.verb) {
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => yes(),
        ("", "get" | "list" | "watch") => match a.name {
            name if name == node => yes(),
            "" => no(&format!("node '{node}' cannot read all nodes, only its own Node object")),
            other => no(&format!("node '{node}' cannot read '{other}', only its own Node object")),
        },
        _ => no(""),
    }
}

fn pod(graph: &Graph, node: &str, a: &Attributes<'_>) -> Verdict {
    match (a.subresource, a.verb) {
        ("", "get") => get(a, node, graph.pod(node, a.namespace, a.name)),
        ("", "list" | "watch") if a.fields.contains(&("spec.nodeName", node)) => yes(),
        ("", "list" | "watch") if !a.name.is_empty() => {
            related(node, a.name, graph.pod(node, a.namespace, a.name))
        }
        ("", "list" | "watch") => no("can only list/watch pods with spec.nodeName field selector"),
        ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => yes(),
        _ => no(""),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{PodView, rules};
    use super::*;

    #[test]
    fn nodes_see_what_their_pods_refer_to() {
        let pod = br#"{"metadata":{"name":"p"},"spec":{"nodeName":"n1","serviceAccountName":"sa","volumes":[
            {"name":"a","secret":{"secretName":"s1"}},{"name":"b","persistentVolumeClaim":{"claimName":"c1"}}]}}"#;
        let mut graph = Graph::default();
        graph.set_pod("x", "p", PodView::read(pod).unwrap());
        graph.set_volume("v1", Some(br#"{"spec":{"claimRef":{"namespace":"x","name":"c1"}}}"#)).unwrap();
        let groups = ["system:nodes".to_owned()];
        let rules = rules();
        let may = |graph: &Graph, user: &str, verb: &str, resource: &str, namespace: &str, name: &str| {
            let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            let subject = Subject { name: user, groups: &groups };
            let (group, path, fields) = ("", "", &[][..]);
            let a = Attributes { subject, verb, namespace, group, resource, subresource, name, path, fields };
            matches!(authorize(graph, &rules, &a), Verdict::Allow(_))
        };
        let cases = [
            ("system:node:n1", "get", "secrets", "x", "s1", true),
            ("system:node:n1", "get", "secrets", "x", "s2", false),
            ("system:node:n2", "get", "secrets", "x", "s1", false),
            ("system:node:n1", "list", "secrets", "x", "", false),
            ("system:node:n1", "get", "persistentvolumes", "", "v1", true),
            ("system:node:n2", "get", "persistentvolumes", "", "v1", false),
            ("system:node:n1", "create", "serviceaccounts/token", "x", "sa", true),
            ("system:node:n1", "get", "nodes", "", "n2", false),
            ("system:node:n1", "list", "services", "", "", true),
            ("system:node:n1", "delete", "services", "x", "s", false),
        ];
        for (user, verb, resource, namespace, name, expected) in cases {
            assert_eq!(
                may(&graph, user, verb, resource, namespace, name),
                expected,
                "{user} {verb} {resource} {name}"
            );
        }
        graph.set_pod("x", "p", None);
        assert!(!may(&graph, "system:node:n1", "get", "secrets", "x", "s1"));
    }
}
