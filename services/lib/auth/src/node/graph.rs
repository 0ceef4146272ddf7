//! What refers to what: object → pod → node.
//!
//! # Upstream
//! `plugin/pkg/auth/authorizer/node/graph.go`

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::Value;

/// The kind of thing a node may be related to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Vertex {
    Secret,
    ConfigMap,
    Claim,
    ServiceAccount,
    ResourceClaim,
}

type Name = (String, String);

/// What of a pod matters to its node's rights.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodView {
    node: String,
    refers: HashSet<(Vertex, String)>,
}

/// Which objects which nodes may see. Fed object by object.
#[derive(Debug, Default)]
pub struct Graph {
    pods: HashMap<Name, PodView>,
    /// (kind, namespace, name) → node → how many of its pods refer to it.
    nodes_of: HashMap<(Vertex, String, String), HashMap<String, usize>>,
    /// Volume → the claim it is bound to, and the secrets its kubelet needs.
    volumes: HashMap<String, (Name, Vec<Name>)>,
    volume_secrets: HashMap<Name, HashSet<String>>,
    attachments: HashMap<String, String>,
    slices: HashMap<String, String>,
}

impl PodView {
    /// Reads it from a pod's JSON; `None` before the pod is bound to a node.
    ///
    /// A mirror pod gives its node no right on anything else: a node may create such pods itself.
    ///
    /// # Errors
    /// The bytes are no object.
    pub fn read(pod: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        let pod: Value = serde_json::from_slice(pod)?;
        let spec = &pod["spec"];
        let Some(node) = spec["nodeName"].as_str().filter(|n| !n.is_empty()) else { return Ok(None) };
        let mut view = Self { node: node.to_owned(), refers: HashSet::new() };
        if pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_string() {
            return Ok(Some(view));
        }
        view.add(Vertex::ServiceAccount, &spec["serviceAccountName"]);
        let pod_name = pod["metadata"]["name"].as_str().unwrap_or_default();
        each(&spec["imagePullSecrets"], |s| view.add(Vertex::Secret, &s["name"]));
        for containers in ["containers", "initContainers", "ephemeralContainers"] {
            each(&spec[containers], |c| view.container(c));
        }
        each(&spec["volumes"], |v| view.volume(v, pod_name));
        each(&pod["status"]["resourceClaimStatuses"], |c| {
            view.add(Vertex::ResourceClaim, &c["resourceClaimName"])
        });
        each(&spec["resourceClaims"], |c| view.add(Vertex::ResourceClaim, &c["resourceClaimName"]));
        let extended = &pod["status"]["extendedResourceClaimStatus"]["resourceClaimName"];
        view.add(Vertex::ResourceClaim, extended);
        Ok(Some(view))
    }

    fn add(&mut self, kind: Vertex, name: &Value) {
        if let Some(name) = name.as_str().filter(|n| !n.is_empty()) {
            self.refers.insert((kind, name.to_owned()));
        }
    }

    fn container(&mut self, container: &Value) {
        each(&container["env"], |env| {
            self.add(Vertex::Secret, &env["valueFrom"]["secretKeyRef"]["name"]);
            self.add(Vertex::ConfigMap, &env["valueFrom"]["configMapKeyRef"]["name"]);
        });
        each(&container["envFrom"], |from| {
            self.add(Vertex::Secret, &from["secretRef"]["name"]);
            self.add(Vertex::ConfigMap, &from["configMapRef"]["name"]);
        });
    }

    fn volume(&mut self, volume: &Value, pod_name: &str) {
        self.add(Vertex::Secret, &volume["secret"]["secretName"]);
        self.add(Vertex::ConfigMap, &volume["configMap"]["name"]);
        self.add(Vertex::Claim, &volume["persistentVolumeClaim"]["claimName"]);
        if volume["ephemeral"].is_object() {
            let claim = format!("{pod_name}-{}", volume["name"].as_str().unwrap_or_default());
            self.add(Vertex::Claim, &Value::String(claim));
        }
        each(&volume["projected"]["sources"], |source| {
            self.add(Vertex::Secret, &source["secret"]["name"]);
            self.add(Vertex::ConfigMap, &source["configMap"]["name"]);
        });
        // in-tree and CSI drivers name the secret their node plugin needs in one of these
        self.add(Vertex::Secret, &volume["azureFile"]["secretName"]);
        for source in ["cephfs", "cinder", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"] {
            self.add(Vertex::Secret, &volume[source]["secretRef"]["name"]);
        }
        self.add(Vertex::Secret, &volume["csi"]["nodePublishSecretRef"]["name"]);
    }
}

fn each<'a>(list: &'a Value, mut f: impl FnMut(&'a Value)) {
    list.as_array().into_iter().flatten().for_each(&mut f);
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct SecretRef {
    name: String,
    namespace: String,
}

impl Graph {
    /// A pod as it is now; `None` when it is gone or bound to no node.
    pub fn set_pod(&mut self, namespace: &str, name: &str, pod: Option<PodView>) {
        let key = (namespace.to_owned(), name.to_owned());
        if self.pods.get(&key) == pod.as_ref() {
            return;
        }
        if let Some(old) = self.pods.remove(&key) {
            for (kind, object) in old.refers {
                let vertex = (kind, namespace.to_owned(), object);
                if let Some(nodes) = self.nodes_of.get_mut(&vertex) {
                    if let Some(count) = nodes.get_mut(&old.node) {
                        *count -= 1;
                    }
                    nodes.retain(|_, count| *count > 0);
                    if nodes.is_empty() {
                        self.nodes_of.remove(&vertex);
                    }
                }
            }
        }
        if let Some(pod) = pod {
            for (kind, object) in &pod.refers {
                let vertex = (*kind, namespace.to_owned(), object.clone());
                *self.nodes_of.entry(vertex).or_default().entry(pod.node.clone()).or_default() += 1;
            }
            self.pods.insert(key, pod);
        }
    }

    /// A persistent volume as it is now, as JSON; `None` when it is gone.
    ///
    /// # Errors
    /// The bytes are no object.
    pub fn set_volume(&mut self, name: &str, volume: Option<&[u8]>) -> Result<(), serde_json::Error> {
        if let Some((_, secrets)) = self.volumes.remove(name) {
            for secret in secrets {
                if let Some(volumes) = self.volume_secrets.get_mut(&secret) {
                    volumes.remove(name);
                }
            }
        }
        let Some(volume) = volume else { return Ok(()) };
        let volume: Value = serde_json::from_slice(volume)?;
        let claim = SecretRef::deserialize(&volume["spec"]["claimRef"]).unwrap_or_default(); // unbound: empty
        if claim.name.is_empty() {
            return Ok(());
        }
        let secrets = volume_secrets(&volume["spec"], &claim.namespace);
        for secret in &secrets {
            self.volume_secrets.entry(secret.clone()).or_default().insert(name.to_owned());
        }
        self.volumes.insert(name.to_owned(), ((claim.namespace, claim.name), secrets));
        Ok(())
    }

    /// The node a volume attachment is for; `None` when it is gone.
    pub fn set_attachment(&mut self, name: &str, node: Option<&str>) {
        set(&mut self.attachments, name, node);
    }

    /// The node a resource slice belongs to; `None` when it is gone.
    pub fn set_slice(&mut self, name: &str, node: Option<&str>) {
        set(&mut self.slices, name, node);
    }

    pub(crate) fn refers(&self, node: &str, kind: Vertex, namespace: &str, name: &str) -> bool {
        let key = (kind, namespace.to_owned(), name.to_owned());
        if self.nodes_of.get(&key).is_some_and(|nodes| nodes.contains_key(node)) {
            return true;
        }
        kind == Vertex::Secret
            && self.volume_secrets.get(&(key.1, key.2)).into_iter().flatten().any(|v| self.volume(node, v))
    }

    pub(crate) fn volume(&self, node: &str, name: &str) -> bool {
        let claim = self.volumes.get(name).map(|(claim, _)| claim);
        claim.is_some_and(|(namespace, name)| self.refers(node, Vertex::Claim, namespace, name))
    }

    pub(crate) fn pod(&self, node: &str, namespace: &str, name: &str) -> bool {
        self.pods.get(&(namespace.to_owned(), name.to_owned())).is_some_and(|p| p.node == node)
    }

    pub(crate) fn attachment(&self, node: &str, name: &str) -> bool {
        self.attachments.get(name).is_some_and(|n| n == node)
    }

    pub(crate) fn slice(&self, node: &str, name: &str) -> bool {
        self.slices.get(name).is_some_and(|n| n == node)
    }
}

fn set(map: &mut HashMap<String, String>, name: &str, node: Option<&str>) {
    match node.filter(|n| !n.is_empty()) {
        Some(node) => map.insert(name.to_owned(), node.to_owned()),
        None => map.remove(name),
    };
}

/// The secrets a volume's kubelet needs; those without a namespace live in the claim's.
fn volume_secrets(spec: &Value, claim_namespace: &str) -> Vec<Name> {
    let of = |value: &Value| {
        let secret = SecretRef::deserialize(value).ok()?; // absent
        let namespace =
            if secret.namespace.is_empty() { claim_namespace.to_owned() } else { secret.namespace };
        Some((namespace, secret.name)).filter(|(_, name)| !name.is_empty())
    };
    let csi = ["nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"].map(|f| &spec["csi"][f]);
    let others = ["cephfs", "flexVolume", "rbd", "scaleIO", "iscsi"].map(|f| &spec[f]["secretRef"]);
    csi.into_iter().chain(others).filter_map(of).collect()
}
