//! What a kubelet may change: its own node, its own pods, and nothing that widens its reach.
//!
//! # Upstream
//! `plugin/pkg/admission/noderestriction/admission.go`

use std::collections::BTreeSet;

use schema::{Map, Object, Value};

use super::certificates::common_name;
use super::pod_references::reference;
use super::{Admission, Operation, Request};
use crate::auth::BoxFuture;
use crate::errors::{self, Error, Result};

/// The labels of its node a kubelet may set, besides those of other domains.
const LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];
/// Domains it may set anything in.
const DOMAINS: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];
const NODE_SIGNERS: [&str; 2] =
    ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"];

/// The plugin.
pub struct NodeRestriction;

impl Admission for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    fn handles(&self, request: &Request<'_>) -> bool {
        request.user.in_group("system:nodes") && request.user.name.starts_with("system:node:")
    }

    fn validate<'a>(
        &'a self,
        request: &'a Request<'a>,
        object: Option<&'a Object>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let node = request.user.name.trim_start_matches("system:node:");
            let check = Check { request, object, node };
            check.run().await
        })
    }
}

struct Check<'a> {
    request: &'a Request<'a>,
    object: Option<&'a Object>,
    node: &'a str,
}

impl Check<'_> {
    fn refuse<T>(&self, why: &str) -> Result<T> {
        Err(self.forbidden(why))
    }

    fn forbidden(&self, why: &str) -> Error {
        let name = self.object.map_or(self.request.name, |object| self.request.name_of(object));
        errors::forbidden(&self.request.resource(), name, why)
    }

    fn name(&self) -> &str {
        self.object.map_or(self.request.name, |object| self.request.name_of(object))
    }

    async fn run(&self) -> Result<()> {
        let (request, node) = (self.request, self.node);
        let is = |group, plural| request.endpoint.is(group, plural);
        if is("", "pods") {
            return match request.subresource {
                "" => self.pod().await,
                "status" => self.pod_status(),
                "eviction" => self.eviction().await,
                other => self.refuse(&format!(
                    "unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"
                )),
            };
        }
        if is("", "nodes") {
            return self.own_node();
        }
        if is("", "persistentvolumeclaims") {
            return if request.subresource == "status" {
                self.claim_status()
            } else {
                self.refuse("may only update PVC status")
            };
        }
        if is("", "serviceaccounts") && request.subresource == "token" {
            return self.token().await;
        }
        if is("coordination.k8s.io", "leases") {
            if request.namespace != "kube-node-lease" {
                return self.refuse("can only access leases in the \"kube-node-lease\" system namespace");
            }
            let why = "can only access node lease with the same name as the requesting node";
            return if self.name() == node { Ok(()) } else { self.refuse(why) };
        }
        if is("storage.k8s.io", "csinodes") && self.name() != node {
            return self.refuse("can only access CSINode with the same name as the requesting node");
        }
        if is("resource.k8s.io", "resourceslices") {
            return self.slice();
        }
        if is("certificates.k8s.io", "certificatesigningrequests") {
            return self.certificate();
        }
        Ok(())
    }

    async fn existing_pod(&self, name: &str) -> Result<Object> {
        let found = self.request.server.read("", "pods", self.request.namespace, name).await?;
        let resource = meta::GroupResource { group: String::new(), resource: "pods".into() };
        found.ok_or_else(|| errors::not_found(&resource, name))
    }

    async fn pod(&self) -> Result<()> {
        let node = self.node;
        match (self.request.operation, self.object, self.request.old) {
            (Operation::Create, Some(pod), _) => self.mirror_pod(pod).await,
            (Operation::Delete, _, Some(old)) if old.str_at(&["spec", "nodeName"]) == node => Ok(()),
            (Operation::Delete, ..) => {
                self.refuse(&format!("node {node:?} can only delete pods with spec.nodeName set to itself"))
            }
            (operation, ..) => self.refuse(&format!(
                "unexpected operation {:?}, node {node:?} can only create and delete mirror pods",
                name_of(operation)
            )),
        }
    }

    async fn mirror_pod(&self, pod: &Object) -> Result<()> {
        let node = self.node;
        let mirror = "kubernetes.io/config.mirror";
        if pod.annotation(mirror).is_none() {
            return self.refuse(&format!(
                "pod does not have {mirror:?} annotation, node {node:?} can only create mirror pods"
            ));
        }
        if pod.str_at(&["spec", "nodeName"]) != node {
            return self
                .refuse(&format!("node {node:?} can only create pods with spec.nodeName set to itself"));
        }
        let owners = pod.list_at(&["metadata", "ownerReferences"]);
        let text =
            |owner: &Value, key: &str| owner.at(&[key]).and_then(Value::as_str).unwrap_or("").to_owned();
        let on = |owner: &Value, key: &str| owner.at(&[key]).and_then(Value::as_bool) == Some(true);
        let owner = match owners {
            [owner] => owner,
            [] => {
                return self.refuse(&format!(
                    "node {node:?} can only create pods with an owner reference set to itself"
                ));
            }
            _ => {
                return self.refuse(&format!(
                    "node {node:?} can only create pods with a single owner reference set to itself"
                ));
            }
        };
        let itself =
            text(owner, "apiVersion") == "v1" && text(owner, "kind") == "Node" && text(owner, "name") == node;
        if !itself {
            return self.refuse(&format!(
                "node {node:?} can only create pods with an owner reference set to itself"
            ));
        }
        if !on(owner, "controller") {
            return self.refuse(&format!(
                "node {node:?} can only create pods with a controller owner reference set to itself"
            ));
        }
        if on(owner, "blockOwnerDeletion") {
            return self
                .refuse(&format!("node {node:?} must not set blockOwnerDeletion on an owner reference"));
        }
        let resource = meta::GroupResource { group: String::new(), resource: "nodes".into() };
        let own = self.request.server.read("", "nodes", "", node).await?;
        let own = own.ok_or_else(|| errors::not_found(&resource, node))?;
        let uid = text(owner, "uid");
        if uid != own.uid() {
            return self.refuse(&format!("node {node} UID mismatch: expected {uid} got {}", own.uid()));
        }
        match reference(pod) {
            Some(what) => self.refuse(&format!("node {node:?} can not create pods that reference {what}")),
            None => Ok(()),
        }
    }

    fn pod_status(&self) -> Result<()> {
        let node = self.node;
        let (Operation::Update, Some(new), Some(old)) =
            (self.request.operation, self.object, self.request.old)
        else {
            return self.refuse(&format!("unexpected operation {:?}", name_of(self.request.operation)));
        };
        if old.str_at(&["spec", "nodeName"]) != node {
            return self.refuse(&format!(
                "node {node:?} can only update pod status for pods with spec.nodeName set to itself"
            ));
        }
        if labels(old) != labels(new) {
            return self.refuse(&format!("node {node:?} cannot update labels through pod status"));
        }
        for (key, what) in [
            ("resourceClaimStatuses", "resource claim statues"),
            ("extendedResourceClaimStatus", "extended resource claim status"),
        ] {
            if old.at(&["status", key]) != new.at(&["status", key]) {
                return self.refuse(&format!("node {node:?} cannot update {what}"));
            }
        }
        Ok(())
    }

    async fn eviction(&self) -> Result<()> {
        let pod = self.existing_pod(self.request.name).await?;
        if pod.str_at(&["spec", "nodeName"]) == self.node {
            return Ok(());
        }
        self.refuse(&format!("node {} can only evict pods with spec.nodeName set to itself", self.node))
    }

    fn own_node(&self) -> Result<()> {
        let node = self.node;
        if self.name() != node {
            return self.refuse(&format!("node {node:?} is not allowed to modify node {:?}", self.name()));
        }
        let Some(new) = self.object else { return Ok(()) };
        let config = |object: &Object| object.at(&["spec", "configSource"]).filter(|c| !c.is_null()).cloned();
        let Some(old) = self.request.old else {
            if config(new).is_some() {
                return self.refuse(&format!(
                    "node {node:?} is not allowed to create pods with a non-nil configSource"
                ));
            }
            let bad = forbidden_labels(new, None);
            if bad.is_empty() {
                return Ok(());
            }
            return self.refuse(&format!(
                "node {node:?} is not allowed to set the following labels: {}",
                bad.join(", ")
            ));
        };
        if config(new).is_some() && config(new) != config(old) {
            return self.refuse(&format!(
                "node {node:?} is not allowed to update configSource to a new non-nil configSource"
            ));
        }
        if new.list_at(&["spec", "taints"]) != old.list_at(&["spec", "taints"]) {
            return self.refuse(&format!("node {node:?} is not allowed to modify taints"));
        }
        let owners = ["metadata", "ownerReferences"];
        if new.list_at(&owners) != old.list_at(&owners) {
            return self.refuse(&format!("node {node:?} is not allowed to modify ownerReferences"));
        }
        let bad = forbidden_labels(new, Some(old));
        if bad.is_empty() {
            return Ok(());
        }
        self.refuse(&format!("is not allowed to modify labels: {}", bad.join(", ")))
    }

    fn claim_status(&self) -> Result<()> {
        let (Operation::Update, Some(new), Some(old)) =
            (self.request.operation, self.object, self.request.old)
        else {
            return self.refuse(&format!("unexpected operation {:?}", name_of(self.request.operation)));
        };
        let bare = |object: &Object| {
            let mut bare = object.clone();
            for key in ["capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"] {
                bare.remove(&["status", key]);
            }
            bare.remove(&["metadata", "resourceVersion"]);
            bare.remove(&["metadata", "managedFields"]);
            bare.root().clone()
        };
        if bare(new) == bare(old) {
            return Ok(());
        }
        self.refuse(&format!(
            "node {:?} is not allowed to update fields other than status.quantity and status.conditions",
            self.node
        ))
    }

    async fn token(&self) -> Result<()> {
        let (Operation::Create, Some(request)) = (self.request.operation, self.object) else {
            return Ok(());
        };
        let text = |key: &str| request.str_at(&["spec", "boundObjectRef", key]).to_owned();
        if text("apiVersion") != "v1" || text("kind") != "Pod" || text("name").is_empty() {
            return self.refuse("node requested token not bound to a pod");
        }
        if text("uid").is_empty() {
            return self.refuse("node requested token with a pod binding without a uid");
        }
        let pod = self.existing_pod(&text("name")).await?;
        if text("uid") != pod.uid() {
            return self.refuse(&format!(
                "the UID in the bound object reference ({}) does not match the UID in record. The object might have been deleted and then recreated",
                text("uid")
            ));
        }
        if pod.str_at(&["spec", "nodeName"]) != self.node {
            return self.refuse("node requested token bound to a pod scheduled on a different node");
        }
        self.audience(request, &pod).await
    }

    /// A node asks only for audiences its pod mounts tokens for, itself or by a CSI driver.
    async fn audience(&self, request: &Object, pod: &Object) -> Result<()> {
        let audiences = request.list_at(&["spec", "audiences"]);
        let audience = match audiences {
            [] => "",
            [one] => one.as_str().unwrap_or(""),
            _ => return self.refuse("node may only request 0 or 1 audiences"),
        };
        for volume in pod.list_at(&["spec", "volumes"]) {
            let sources = volume.at(&["projected", "sources"]).and_then(Value::as_list).unwrap_or(&[]);
            let mounted = sources.iter().filter_map(|source| source.at(&["serviceAccountToken"]));
            let mut audiences =
                mounted.map(|token| token.at(&["audience"]).and_then(Value::as_str).unwrap_or(""));
            if audiences.any(|mounted| mounted == audience) {
                return Ok(());
            }
            if let Some(driver) = self.driver(pod, volume)?
                && self.driver_wants(&driver, audience)?
            {
                return Ok(());
            }
        }
        if self
            .request
            .may_on("", audience, "request-serviceaccounts-token-audience", self.request.name)
            .await
        {
            return Ok(());
        }
        self.refuse(&format!(
            "audience {audience:?} not found in pod spec volume, {} is not authorized to request tokens for this audience",
            self.request.user.name
        ))
    }

    /// The CSI driver behind a volume.
    fn driver(&self, pod: &Object, volume: &Value) -> Result<Option<String>> {
        let text = |path: &[&str]| volume.at(path).and_then(Value::as_str).map(str::to_owned);
        let claim = if volume.at(&["ephemeral", "volumeClaimTemplate"]).is_some() {
            text(&["name"]).map(|name| format!("{}-{name}", pod.name()))
        } else {
            text(&["persistentVolumeClaim", "claimName"])
        };
        let Some(claim) = claim else { return Ok(text(&["csi", "driver"])) };
        let server = self.request.server;
        let claim = server.peek("", "persistentvolumeclaims", self.request.namespace, &claim)?;
        let Some(claim) = claim else { return Ok(None) };
        let volume = server.peek("", "persistentvolumes", "", claim.str_at(&["spec", "volumeName"]))?;
        let driver = volume.map(|volume| volume.str_at(&["spec", "csi", "driver"]).to_owned());
        Ok(driver.filter(|name| !name.is_empty()))
    }

    fn driver_wants(&self, driver: &str, audience: &str) -> Result<bool> {
        let found = self.request.server.peek("storage.k8s.io", "csidrivers", "", driver)?;
        let Some(driver) = found else { return Ok(false) };
        let requests = driver.list_at(&["spec", "tokenRequests"]);
        Ok(requests.iter().any(|r| r.at(&["audience"]).and_then(Value::as_str).unwrap_or("") == audience))
    }

    fn slice(&self) -> Result<()> {
        let (verb, object) = match self.request.operation {
            Operation::Create => ("create", self.object),
            Operation::Delete => ("delete", self.request.old),
            _ => return Ok(()),
        };
        if object.is_some_and(|slice| slice.str_at(&["spec", "nodeName"]) == self.node) {
            return Ok(());
        }
        self.refuse(&format!("can only {verb} ResourceSlice with the same NodeName as the requesting node"))
    }

    fn certificate(&self) -> Result<()> {
        let (Operation::Create, Some(object)) = (self.request.operation, self.object) else {
            return Ok(());
        };
        if !NODE_SIGNERS.contains(&object.str_at(&["spec", "signerName"])) {
            return Ok(());
        }
        let name = common_name(object.str_at(&["spec", "request"]));
        let name = name.map_err(|error| self.forbidden(&format!("unable to parse csr: {error}")))?;
        if name == self.request.user.name {
            return Ok(());
        }
        self.refuse(&format!("can only create a node CSR with CN={}", self.request.user.name))
    }
}

fn name_of(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "CREATE",
        Operation::Update => "UPDATE",
        Operation::Delete => "DELETE",
        Operation::Connect => "CONNECT",
    }
}

fn labels(object: &Object) -> Map {
    let mut labels = object.map_at(&["metadata", "labels"]).cloned().unwrap_or_default();
    labels.sort_keys();
    labels
}

/// The labels that changed and are not the kubelet's to change.
fn forbidden_labels(new: &Object, old: Option<&Object>) -> Vec<String> {
    let empty = Map::new();
    let new = new.map_at(&["metadata", "labels"]).unwrap_or(&empty);
    let old = old.and_then(|old| old.map_at(&["metadata", "labels"])).unwrap_or(&empty);
    let keys: BTreeSet<&str> = new.iter().chain(old.iter()).map(|(key, _)| &**key).collect();
    let changed = keys.into_iter().filter(|key| new.get(key) != old.get(key));
    changed.filter(|key| is_forbidden(key)).map(str::to_owned).collect()
}

fn is_forbidden(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    let within = |of: &str| domain == of || domain.strip_suffix(of).is_some_and(|rest| rest.ends_with('.'));
    if within("node-restriction.kubernetes.io") {
        return true;
    }
    let reserved = within("kubernetes.io") || within("k8s.io");
    reserved && !LABELS.contains(&key) && !DOMAINS.iter().any(|allowed| within(allowed))
}

#[cfg(test)]
mod tests {
    use super::is_forbidden;

    #[test]
    fn labels_of_a_node() {
        for (label, forbidden) in [
            ("kubernetes.io/hostname", false),
            ("node.kubernetes.io/x", false),
            ("sub.kubelet.kubernetes.io/x", false),
            ("example.org/x", false),
            ("plain", false),
            ("node-restriction.kubernetes.io/x", true),
            ("a.node-restriction.kubernetes.io/x", true),
            ("node-role.kubernetes.io/control-plane", true),
            ("foo.k8s.io/x", true),
            ("notk8s.io/x", false),
        ] {
            assert_eq!(is_forbidden(label), forbidden, "{label}");
        }
    }
}
