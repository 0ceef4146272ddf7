//! Static pods: manifests on this node, shown to the API server by mirror pods.
//!
//! # Upstream
//! `pkg/kubelet/config/{file,common}.go`, `pkg/kubelet/pod/mirror_client.go`

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use client::{DeleteOptions, Key, Preconditions, Resource};
use k8s_openapi::api::core::v1::{Node, Pod, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::facts::{CONFIG_HASH, CONFIG_MIRROR, CONFIG_SEEN, CONFIG_SOURCE, PodFacts};
use super::workers;
use crate::Kubelet;

/// Looks at the manifests for ever.
pub async fn run(kubelet: Arc<Kubelet>) {
    if kubelet.settings.static_pod_path.as_os_str().is_empty() {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(kubelet.settings.file_check_frequency).await;
        refresh(&kubelet).await;
    }
}

/// Brings static pods to what the manifests say; the uids of those wanted.
pub async fn refresh(kubelet: &Arc<Kubelet>) -> HashSet<String> {
    let path = &kubelet.settings.static_pod_path;
    if path.as_os_str().is_empty() {
        return HashSet::new();
    }
    let wanted: HashMap<String, Arc<Pod>> = match read(path, &kubelet.name) {
        Ok(pods) => pods.into_iter().map(|p| (p.uid().to_owned(), Arc::new(p))).collect(),
        Err(error) => {
            // what runs goes on while the folder cannot be read
            tracing::warn!(error = &error as &dyn std::error::Error, "Reading static pods");
            return kubelet.workers.handles().iter().map(|h| h.pod().uid().to_owned()).collect();
        }
    };
    for handle in kubelet.workers.handles() {
        let pod = handle.pod();
        if pod.is_static() && !wanted.contains_key(pod.uid()) {
            workers::update(kubelet, pod, true);
        }
    }
    for pod in wanted.values() {
        if kubelet.workers.get(pod.uid()).is_none() {
            workers::update(kubelet, Arc::clone(pod), false);
        }
    }
    if let Err(error) = mirror(kubelet, &wanted).await {
        tracing::warn!(error = crate::chain(&error), "Showing static pods to the API server");
    }
    wanted.into_keys().collect()
}

fn read(dir: &Path, node: &str) -> std::io::Result<Vec<Pod>> {
    let mut pods = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
        if hidden || !path.is_file() {
            continue;
        }
        let text = std::fs::read_to_string(&path)?;
        match parse(&text, node, &path) {
            Ok(pod) => pods.push(pod),
            Err(error) => {
                tracing::warn!(path = %path.display(), error, "Left out a static pod");
            }
        }
    }
    Ok(pods)
}

/// A manifest as the pod it stands for. Pure.
fn parse(text: &str, node: &str, path: &Path) -> Result<Pod, String> {
    let value = yaml::parse(text).map_err(|e| e.to_string())?;
    // by way of text: a second decoder of pods, from values, would be half a megabyte of this program
    let json = serde_json::to_vec(&value).map_err(|e| e.to_string())?;
    let mut pod: Pod = serde_json::from_slice(&json).map_err(|e| e.to_string())?;
    let name = pod.metadata.name.take().filter(|n| !n.is_empty()).ok_or("the pod has no name")?;
    if pod.spec.as_ref().is_none_or(|s| s.containers.is_empty()) {
        return Err("the pod has no containers".into());
    }
    // the same manifest is the same pod, on this node, wherever the kubelet restarts
    let digest =
        ring::digest::digest(&ring::digest::SHA256, format!("{node}\0{}\0{text}", path.display()).as_bytes());
    let hash: String = digest.as_ref().iter().take(16).map(|b| format!("{b:02x}")).collect();
    let meta = &mut pod.metadata;
    meta.name = Some(format!("{name}-{node}"));
    meta.namespace.get_or_insert_with(|| "default".into());
    meta.uid = Some(hash.clone());
    let annotations = meta.annotations.get_or_insert_default();
    annotations.insert(CONFIG_HASH.into(), hash);
    annotations.insert(CONFIG_SOURCE.into(), "file".into());
    annotations.insert(CONFIG_SEEN.into(), jiff::Timestamp::now().to_string());
    if let Some(spec) = &mut pod.spec {
        spec.node_name = Some(node.to_owned());
        spec.restart_policy.get_or_insert_with(|| "Always".into());
        spec.termination_grace_period_seconds.get_or_insert(30);
        spec.enable_service_links.get_or_insert(true);
        let everything = Toleration {
            operator: Some("Exists".into()),
            effect: Some("NoExecute".into()),
            ..Toleration::default()
        };
        spec.tolerations.get_or_insert_default().push(everything);
        for c in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
            c.termination_message_path.get_or_insert_with(|| "/dev/termination-log".into());
            c.termination_message_policy.get_or_insert_with(|| "File".into());
        }
    }
    Ok(pod)
}

/// The uid of a static pod's mirror, if it is shown as it is now.
pub fn mirror_uid(kubelet: &Kubelet, pod: &Pod) -> Option<String> {
    let shown = kubelet.pods.snapshot().get(&Key::new(pod.namespace(), pod.name())).cloned()?;
    (shown.annotation(CONFIG_MIRROR) == pod.annotation(CONFIG_HASH)).then(|| shown.uid().to_owned())
}

async fn mirror(kubelet: &Kubelet, wanted: &HashMap<String, Arc<Pod>>) -> Result<(), client::Error> {
    let resource = Resource::of::<Pod>();
    let hashes: HashSet<&str> = wanted.values().filter_map(|p| p.annotation(CONFIG_HASH)).collect();
    for (key, shown) in kubelet.pods.snapshot().iter().filter(|(_, p)| p.is_mirror()) {
        if !shown.annotation(CONFIG_MIRROR).is_some_and(|h| hashes.contains(h)) {
            let options = DeleteOptions {
                grace_period_seconds: Some(0),
                preconditions: Some(Preconditions {
                    uid: Some(shown.uid().to_owned()),
                    resource_version: None,
                }),
                propagation_policy: None,
            };
            match kubelet.client.delete(&resource, key, &options).await {
                Err(e) if !e.is_not_found() => return Err(e),
                _ => {}
            }
        }
    }
    for pod in wanted.values().filter(|p| mirror_uid(kubelet, p).is_none()) {
        let node: Node = kubelet.client.get(&Resource::of::<Node>(), &Key::new("", &kubelet.name)).await?;
        let mut shown = pod.as_ref().clone();
        let owner = OwnerReference {
            api_version: "v1".into(),
            kind: "Node".into(),
            name: kubelet.name.clone(),
            uid: node.metadata.uid.unwrap_or_default(),
            controller: Some(true),
            ..OwnerReference::default()
        };
        let metadata = &mut shown.metadata;
        metadata.owner_references = Some(vec![owner]);
        metadata.uid = None;
        let hash = pod.annotation(CONFIG_HASH).unwrap_or_default().to_owned();
        metadata.annotations.get_or_insert_default().insert(CONFIG_MIRROR.into(), hash);
        match kubelet.client.create::<_, serde::de::IgnoredAny>(&resource, pod.namespace(), &shown, "").await
        {
            Err(e) if !e.is(meta::Reason::AlreadyExists) => return Err(e),
            _ => {}
        }
    }
    Ok(())
}
