//! The kubelet's settings: k3s's defaults, the drop-ins of `kubelet.conf.d`, then `kubelet-arg`.
//!
//! # Upstream
//! k3s `pkg/daemons/agent/agent_linux.go` `kubeletArgsAndConfig`, `pkg/daemons/agent/agent.go` `defaultKubeletConfig`

use std::path::Path;

use config::{Component, Config, Errors, apply_arguments};
use serde_json::{Map, Value, json};

use super::{Step, map, resolver};
use crate::files::{self, Owner, error};
use crate::handover::Handover;
use crate::{BootstrapError, Report};

/// Flags that name files with settings.
const FILES: [&str; 2] = ["config", "config-dir"];

/// Hands over settings and identity.
pub(super) fn run(step: &Step<'_>, config: &Config, report: &mut Report) -> Result<(), BootstrapError> {
    let (places, agent) = (step.places, step.agent);
    for (folder, mode) in [("pod-manifests", 0o700), ("etc/kubelet.conf.d", 0o700), ("images", 0o755)] {
        files::folder(&places.agent(folder), mode)?;
    }
    let mut hand = Handover::begin(places, "kubelet")?;
    let (authority, client) = (places.agent("server-ca.crt"), places.agent("client-kubelet"));
    let kubeconfig = hand.kubeconfig(&step.cluster.api, &authority, &client, report)?;
    let (certificate, key) = hand.pair("serving", &places.agent("serving-kubelet"), report)?;
    let client_ca = hand.copy("client-ca.crt", &places.agent("client-ca.crt"))?;
    k3s_kubeconfigs(step)?;
    let resolv_conf = resolver::file(step, report)?;
    let defaults = map(json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "address": config.bind_address.map_or("0.0.0.0".into(), |a| a.to_string()),
        "allowedUnsafeSysctls": if step.cluster.disable_servicelb { json!([]) } else { json!(["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"]) },
        "authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": true}, "x509": {"clientCAFile": client_ca}},
        "authorization": {"mode": "Webhook"},
        "clusterDNS": step.cluster.dns, "clusterDomain": step.cluster.domain,
        "containerRuntimeEndpoint": runtime(agent.runtime_endpoint.as_deref()),
        "evictionHard": {"imagefs.available": "5%", "nodefs.available": "5%"},
        "evictionMinimumReclaim": {"imagefs.available": "10%", "nodefs.available": "10%"},
        "failCgroupV1": false, "failSwapOn": false,
        "healthzBindAddress": "127.0.0.1",
        "resolvConf": resolv_conf,
        "serializeImagePulls": false,
        "staticPodPath": places.agent("pod-manifests"),
        "tlsCertFile": certificate, "tlsPrivateKeyFile": key,
    }));
    let header = files::put(
        &places.agent("etc/kubelet.conf.d/00-k3s-defaults.conf"),
        Value::Object(defaults.clone()).to_string().as_bytes(),
        0o600,
        Owner::ROOT,
    )?;
    tracing::debug!(written = header, "Wrote the kubelet's defaults");
    let mut settings = defaults;
    drop_ins(&places.agent("etc/kubelet.conf.d"), &mut settings)?;
    let (files, others): (Vec<_>, Vec<_>) =
        agent.arguments.iter().cloned().partition(|(component, argument)| {
            let name = argument.trim_start_matches("--").split('=').next().unwrap_or_default();
            *component == Component::Kubelet && FILES.contains(&name)
        });
    for (_, argument) in files {
        let (name, path) = argument.trim_start_matches("--").split_once('=').unwrap_or_default();
        if name == "config" {
            merge_file(Path::new(path), &mut settings)?
        } else {
            drop_ins(Path::new(path), &mut settings)?
        }
    }
    apply_arguments(Component::Kubelet, &others, &mut settings, &mut report.warnings)?;
    own(step, &kubeconfig, &mut settings);
    hand.finish(settings)
}

/// What upstream takes as flags.
fn own(step: &Step<'_>, kubeconfig: &Path, settings: &mut Map<String, Value>) {
    let ips: Vec<String> = step.identity.ips.iter().map(ToString::to_string).collect();
    settings.insert("kubeconfig".into(), json!(kubeconfig));
    settings.insert("nodeIP".into(), json!(ips.join(",")));
    settings.insert("hostnameOverride".into(), json!(step.identity.name));
    // the cloud controller's part of k3s: the node names itself
    settings.entry("providerID").or_insert_with(|| json!(format!("k3s://{}", step.identity.name)));
    let labels = settings.entry("nodeLabels").or_insert_with(|| json!({}));
    if let Value::Object(labels) = labels {
        let given = step.agent.labels.iter().filter_map(|l| l.split_once('='));
        labels.extend(given.map(|(key, value)| (key.to_owned(), Value::from(value))));
        labels.entry("node.kubernetes.io/instance-type").or_insert_with(|| "k3s".into());
    }
    let taints: Vec<Value> = step.agent.taints.iter().filter_map(|t| taint(t)).collect();
    if !taints.is_empty() {
        settings.insert("registerWithTaints".into(), Value::Array(taints));
    }
}

fn taint(text: &str) -> Option<Value> {
    let (key, effect) = text.rsplit_once(':')?;
    let (key, value) = key.split_once('=').unwrap_or((key, ""));
    Some(json!({"key": key, "value": value, "effect": effect}))
}

fn runtime(endpoint: Option<&str>) -> String {
    match endpoint {
        Some(given) if given.starts_with("unix://") => given.to_owned(),
        Some(given) => format!("unix://{given}"),
        None => format!("unix://{}", super::containerd::SOCKET),
    }
}

/// k3s's own names for what the daemons have under `/run/k3s-rs`.
fn k3s_kubeconfigs(step: &Step<'_>) -> Result<(), BootstrapError> {
    let places = step.places;
    let authority = places.agent("server-ca.crt");
    for (file, identity) in [
        ("kubelet", "client-kubelet"),
        ("kubeproxy", "client-kube-proxy"),
        ("k3scontroller", "client-k3s-controller"),
    ] {
        let (certificate, key) =
            (places.agent(&format!("{identity}.crt")), places.agent(&format!("{identity}.key")));
        let text = pki::kubeconfig_of_files(&step.cluster.api, &authority, &certificate, &key);
        files::put(&places.agent(&format!("{file}.kubeconfig")), text.as_bytes(), 0o600, Owner::ROOT)?;
    }
    Ok(())
}

fn drop_ins(folder: &Path, settings: &mut Map<String, Value>) -> Result<(), BootstrapError> {
    let wrong = error("reading", folder);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(&wrong)? {
        paths.push(entry.map_err(&wrong)?.path());
    }
    paths.retain(|p| {
        p.extension().is_some_and(|e| e == "conf")
            && p.file_name().is_some_and(|n| n != "00-k3s-defaults.conf")
    });
    paths.sort();
    paths.iter().try_for_each(|path| merge_file(path, settings))
}

/// Fields of a file replace those there; maps are merged, lists replaced.
fn merge_file(path: &Path, settings: &mut Map<String, Value>) -> Result<(), BootstrapError> {
    let text = files::need(path)?;
    match yaml::parse(&text) {
        Ok(Value::Object(content)) => {
            merge(settings, content);
            Ok(())
        }
        Ok(_) => Err(Errors(vec![format!("{}: no KubeletConfiguration", path.display())]).into()),
        Err(error) => Err(Errors(vec![format!("{}: {error}", path.display())]).into()),
    }
}

fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(have)), Value::Object(more)) => merge(have, more),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}
