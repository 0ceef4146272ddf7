//! Defaults of pods and pod templates.
//!
//! # Upstream
//! `pkg/apis/core/v1/defaults.go`, `zz_generated.defaults.go` `SetObjectDefaults_Pod`, `conversion.go`

use meta::Quantity;
use schema::{Map, Value};

use crate::tree::{
    fill, fill_zero, flag, int, is_nil, is_zero, map, map_at_mut, map_mut, maps, maps_mut, text,
};

/// Rounds every amount of a resource list up to thousandths.
pub(crate) fn resource_list(owner: &mut Map, key: &str) {
    let Some(amounts) = map_mut(owner, key) else { return };
    for (_, amount) in amounts.iter_mut() {
        let parsed = match &*amount {
            Value::Str(s) => Quantity::parse(s.trim()),
            Value::Int(i) => Quantity::parse(&i.to_string()),
            _ => continue,
        };
        if let Ok(mut quantity) = parsed {
            quantity.round_up(-3);
            *amount = Value::Str(quantity.to_string());
        }
    }
}

/// `resources.limits` and `resources.requests` of what has `resources`.
pub(crate) fn resources(owner: &mut Map) {
    if let Some(resources) = map_mut(owner, "resources") {
        resource_list(resources, "limits");
        resource_list(resources, "requests");
    }
}

/// Defaults of a Pod object beyond its spec.
pub(crate) fn pod(root: &mut Map) {
    if is_nil(root, "spec") {
        root.insert("spec", Map::new());
    }
    if let Some(spec) = map_mut(root, "spec") {
        for list in ["containers", "initContainers"] {
            maps_mut(spec, list).for_each(requests_from_limits);
        }
        super::pod_level::defaults(spec);
        fill(spec, "enableServiceLinks", true);
        if flag(spec, "hostNetwork") {
            for list in ["containers", "initContainers"] {
                maps_mut(spec, list).for_each(host_ports);
            }
        }
        pod_spec(spec);
    }
    if let Some(status) = map_mut(root, "status") {
        for list in ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"] {
            for container in maps_mut(status, list) {
                resource_list(container, "allocatedResources");
                resources(container);
            }
        }
        resource_list(status, "allocatedResources");
        resources(status);
        pod_ips(status);
    }
}

fn pod_ips(status: &mut Map) {
    let ip = text(status, "podIP").to_owned();
    let first = maps(status, "podIPs").next().map(|m| text(m, "ip").to_owned());
    if !ip.is_empty() && first.as_deref() != Some(&ip) {
        let one: Map = [("ip", ip)].into_iter().collect();
        status.insert("podIPs", vec![Value::Map(one)]);
    } else if let (true, Some(first)) = (ip.is_empty(), first) {
        status.insert("podIP", first);
    }
}

fn requests_from_limits(container: &mut Map) {
    let Some(resources) = map_mut(container, "resources") else { return };
    let Some(limits) = map(resources, "limits").cloned() else { return };
    let requests = resources.map_mut("requests");
    for (name, amount) in limits {
        if !requests.contains_key(&name) {
            requests.push(name, amount);
        }
    }
}

fn host_ports(container: &mut Map) {
    for port in maps_mut(container, "ports") {
        if is_zero(port, "hostPort")
            && let Some(number) = int(port, "containerPort")
        {
            port.insert("hostPort", number);
        }
    }
}

/// Defaults of the pod template in `owner` under `key`.
pub(crate) fn template(owner: &mut Map, key: &'static str) {
    let template = owner.map_mut(key);
    drop_old_annotations(template);
    pod_spec(template.map_mut("spec"));
}

/// Init containers once travelled in annotations; old clients still send them.
pub(crate) fn drop_old_annotations(owner: &mut Map) {
    const OLD: [&str; 4] = [
        "pod.beta.kubernetes.io/init-containers",
        "pod.alpha.kubernetes.io/init-containers",
        "pod.beta.kubernetes.io/init-container-statuses",
        "pod.alpha.kubernetes.io/init-container-statuses",
    ];
    if let Some(annotations) = map_at_mut(owner, &["metadata", "annotations"]) {
        annotations.retain(|key, _| !OLD.contains(&key));
    }
}

/// Defaults of a pod's spec, in a pod or a template.
pub(crate) fn pod_spec(spec: &mut Map) {
    fill_zero(spec, "dnsPolicy", "ClusterFirst");
    fill_zero(spec, "restartPolicy", "Always");
    fill(spec, "securityContext", Map::new());
    fill(spec, "terminationGracePeriodSeconds", 30i64);
    fill_zero(spec, "schedulerName", "default-scheduler");
    service_account_alias(spec);
    maps_mut(spec, "volumes").for_each(volume);
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        maps_mut(spec, list).for_each(container);
    }
    resource_list(spec, "overhead");
    resources(spec);
}

/// `serviceAccount` is the old name of `serviceAccountName`: the new one wins, both are written.
fn service_account_alias(spec: &mut Map) {
    let name = match text(spec, "serviceAccountName") {
        "" => text(spec, "serviceAccount").to_owned(),
        name => name.to_owned(),
    };
    if !name.is_empty() {
        spec.insert("serviceAccountName", name.clone());
        spec.insert("serviceAccount", name);
    }
}

fn pull_policy(image: &str) -> &'static str {
    if image_tag(image) == Some("latest") { "Always" } else { "IfNotPresent" }
}

/// The tag an image reference resolves to; `None` for one that cannot be read or has only a digest.
///
/// # Upstream
/// `pkg/util/parsers/parsers.go` `ParseImageName`
fn image_tag(image: &str) -> Option<&str> {
    let (name, digest) = image.split_once('@').map_or((image, None), |(n, d)| (n, Some(d)));
    let last = name.rsplit('/').next().unwrap_or(name);
    let tag = last.split_once(':').map(|(_, t)| t);
    let path = tag.map_or(name, |t| &name[..name.len() - t.len() - 1]);
    if !reference_name(path)
        || tag.is_some_and(|t| !reference_tag(t))
        || digest.is_some_and(|d| !d.contains(':'))
    {
        return None;
    }
    match (tag, digest) {
        (Some(tag), _) => Some(tag),
        (None, Some(_)) => None,
        (None, None) => Some("latest"),
    }
}

fn reference_tag(tag: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.len() <= 128 && tag.starts_with(word) && tag.chars().all(|c| word(c) || c == '.' || c == '-')
}

/// Repository paths are lower case; a first component with a dot, a port or `localhost` is a host.
fn reference_name(path: &str) -> bool {
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let component = |part: &str| {
        part.starts_with(lower)
            && part.ends_with(lower)
            && part.chars().all(|c| lower(c) || matches!(c, '.' | '_' | '-'))
            && !part.contains("..")
            && !part.contains("___")
    };
    let mut parts: Vec<&str> = path.split('/').collect();
    let host = parts[0];
    if parts.len() > 1
        && (host.contains(['.', ':']) || host == "localhost" || host.chars().any(|c| c.is_uppercase()))
    {
        parts.remove(0);
    }
    parts.iter().all(|p| component(p))
}

fn container(container: &mut Map) {
    if is_zero(container, "imagePullPolicy") {
        let policy = pull_policy(text(container, "image"));
        container.insert("imagePullPolicy", policy);
    }
    fill_zero(container, "terminationMessagePath", "/dev/termination-log");
    fill_zero(container, "terminationMessagePolicy", "File");
    for port in maps_mut(container, "ports") {
        fill_zero(port, "protocol", "TCP");
    }
    for env in maps_mut(container, "env") {
        let Some(from) = map_mut(env, "valueFrom") else { continue };
        field_ref(from);
        if let Some(file) = map_mut(from, "fileKeyRef") {
            fill(file, "optional", false);
        }
    }
    // a struct without omitempty: always there once written
    container.map_mut("resources");
    resources(container);
    for key in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(p) = map_mut(container, key) {
            probe(p);
        }
    }
    for hook in ["postStart", "preStop"] {
        if let Some(handler) = map_at_mut(container, &["lifecycle", hook]) {
            http_get(handler);
        }
    }
}

fn probe(probe: &mut Map) {
    fill_zero(probe, "timeoutSeconds", 1i64);
    fill_zero(probe, "periodSeconds", 10i64);
    fill_zero(probe, "successThreshold", 1i64);
    fill_zero(probe, "failureThreshold", 3i64);
    http_get(probe);
    if let Some(grpc) = map_mut(probe, "grpc") {
        fill(grpc, "service", "");
    }
}

fn http_get(handler: &mut Map) {
    if let Some(get) = map_mut(handler, "httpGet") {
        fill_zero(get, "path", "/");
        fill_zero(get, "scheme", "HTTP");
    }
}

fn field_ref(owner: &mut Map) {
    if let Some(field) = map_mut(owner, "fieldRef") {
        fill_zero(field, "apiVersion", "v1");
    }
    if let Some(resource) = map_mut(owner, "resourceFieldRef") {
        // Go writes this quantity even when it is not set
        fill_zero(resource, "divisor", "0");
    }
}

/// Every volume source; a volume with none is an emptyDir.
pub(crate) const SOURCES: [&str; 30] = [
    "hostPath",
    "emptyDir",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "persistentVolumeClaim",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "downwardAPI",
    "fc",
    "azureFile",
    "configMap",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "projected",
    "portworxVolume",
    "scaleIO",
    "storageos",
    "csi",
    "ephemeral",
    "image",
];

fn volume(volume: &mut Map) {
    if SOURCES.iter().all(|s| is_nil(volume, s)) {
        volume.insert("emptyDir", Map::new());
    }
    if let Some(image) = map_mut(volume, "image")
        && is_zero(image, "pullPolicy")
    {
        let policy = pull_policy(text(image, "reference"));
        image.insert("pullPolicy", policy);
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(s) = map_mut(volume, source) {
            fill(s, "defaultMode", 0o644i64);
            maps_mut(s, "items").for_each(field_ref);
        }
    }
    for source in map_mut(volume, "projected").into_iter().flat_map(|p| maps_mut(p, "sources")) {
        if let Some(api) = map_mut(source, "downwardAPI") {
            maps_mut(api, "items").for_each(field_ref);
        }
        if let Some(token) = map_mut(source, "serviceAccountToken") {
            fill(token, "expirationSeconds", 3600i64);
        }
    }
    if let Some(claim) = map_at_mut(volume, &["ephemeral", "volumeClaimTemplate"]) {
        claim_spec(claim.map_mut("spec"));
    }
    persistent_sources(volume);
}

/// Defaults of the sources pods and persistent volumes share.
pub(crate) fn persistent_sources(owner: &mut Map) {
    if let Some(path) = map_mut(owner, "hostPath") {
        fill(path, "type", "");
    }
    if let Some(iscsi) = map_mut(owner, "iscsi") {
        fill_zero(iscsi, "iscsiInterface", "default");
    }
    if let Some(rbd) = map_mut(owner, "rbd") {
        fill_zero(rbd, "pool", "rbd");
        fill_zero(rbd, "user", "admin");
        fill_zero(rbd, "keyring", "/etc/ceph/keyring");
    }
    if let Some(disk) = map_mut(owner, "azureDisk") {
        fill(disk, "cachingMode", "ReadWrite");
        fill(disk, "fsType", "ext4");
        fill(disk, "readOnly", false);
        fill(disk, "kind", "Shared");
    }
    if let Some(io) = map_mut(owner, "scaleIO") {
        fill_zero(io, "storageMode", "ThinProvisioned");
        fill_zero(io, "fsType", "xfs");
    }
}

/// Defaults of a claim's spec.
pub(crate) fn claim_spec(spec: &mut Map) {
    fill(spec, "volumeMode", "Filesystem");
    resources(spec);
}
