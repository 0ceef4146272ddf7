//! What the control plane's daemons get.

use config::{Component, apply_arguments};
use serde_json::{Map, Value, json};

use super::Step;
use super::objects;
use crate::cluster::Cluster;
use crate::handover::{Handover, withdraw};
use crate::{BootstrapError, Report};

/// The socket nodes' certificates are signed behind.
const SIGNER: &str = "/run/k3s-rs/signer.sock";

/// Hands everything over.
pub(super) fn run(step: &Step<'_>, cluster: &Cluster, report: &mut Report) -> Result<(), BootstrapError> {
    datastore(step)?;
    apiserver(step, cluster, report)?;
    if step.server.disable_controllers {
        withdraw(step.places, "controller")?
    } else {
        controller(step, cluster, report)?
    }
    if step.server.disable_scheduler { withdraw(step.places, "scheduler") } else { scheduler(step, report) }
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn datastore(step: &Step<'_>) -> Result<(), BootstrapError> {
    if step.server.datastore.is_some() {
        return withdraw(step.places, "datastore");
    }
    let settings = json!({"path": step.places.run.join("data/server/db/k3s-rs.db")});
    Handover::begin(step.places, "datastore")?.finish(map(settings))
}

fn apiserver(step: &Step<'_>, cluster: &Cluster, report: &mut Report) -> Result<(), BootstrapError> {
    let (places, server) = (step.places, step.server);
    let mut hand = Handover::begin(places, "apiserver")?;
    let (certificate, key) = hand.pair("serving", &places.tls("serving-kube-apiserver"), report)?;
    let (kubelet_certificate, kubelet_key) =
        hand.pair("kubelet-client", &places.tls("client-kube-apiserver"), report)?;
    let (front_certificate, front_key) =
        hand.pair("front-client", &places.tls("client-auth-proxy"), report)?;
    let server_ca = hand.copy("server-ca.crt", &places.tls("server-ca.crt"))?;
    let client_ca = hand.copy("client-ca.crt", &places.tls("client-ca.crt"))?;
    let listen = step.config.bind_address.map_or("0.0.0.0".into(), super::url_host);
    let mut settings = map(json!({
        "listen": format!("{listen}:{}", server.port),
        "advertiseAddress": step.advertise,
        "serviceClusterIPRange": Cluster::cidrs(&server.service_cidrs),
        "serviceNodePortRange": server.node_ports,
        "tlsCertFile": certificate, "tlsPrivateKeyFile": key,
        "clientCAFile": client_ca,
        "kubeletClientCertificate": kubelet_certificate, "kubeletClientKey": kubelet_key,
        "kubeletCertificateAuthority": server_ca,
        "serviceAccountKeyFile": hand.copy("service.key", &places.tls("service.key"))?,
        "serviceAccountSigningKeyFile": hand.copy("service.current.key", &places.tls("service.current.key"))?,
        "serviceAccountIssuer": format!("https://kubernetes.default.svc.{}", server.cluster_domain),
        "apiAudiences": [format!("https://kubernetes.default.svc.{}", server.cluster_domain), "k3s"],
        "requestheaderClientCAFile": hand.copy("request-header-ca.crt", &places.tls("request-header-ca.crt"))?,
        "requestheaderAllowedNames": ["system:auth-proxy"],
        "proxyClientCertFile": front_certificate, "proxyClientKeyFile": front_key,
        "anonymousAuth": false,
    }));
    if let Some(store) = &server.datastore {
        settings.insert("datastore".into(), json!(store.endpoint));
        let files = [
            ("datastoreCaFile", &store.ca_file),
            ("datastoreCertFile", &store.cert_file),
            ("datastoreKeyFile", &store.key_file),
        ];
        for (name, file) in files {
            if let Some(file) = file {
                let copy = hand.copy(&format!("{name}.pem"), file)?;
                settings.insert(name.into(), json!(copy));
            }
        }
    }
    let document = cluster.document(server, &places.data.join("server").display().to_string());
    let node = match step.node {
        None => Value::Null,
        Some(node) => json!({"name": node.name, "passwordFile": hand.put("node-password", &node.password)?}),
    };
    let supervisor = json!({
        "serverCAFile": server_ca,
        "clientCAFile": client_ca,
        "passwdFile": hand.copy("passwd", &places.server("cred/passwd"))?,
        "configFile": hand.put("agent-config.json", &document.to_string())?,
        "objectsFile": hand.put("objects.json", &objects::all(&step.options.libexec)?.to_string())?,
        "staticDir": places.server("static"),
        "signer": SIGNER,
        "localNode": node,
    });
    settings.insert("supervisor".into(), supervisor);
    apply_arguments(Component::Apiserver, &server.arguments, &mut settings, &mut report.warnings)?;
    hand.finish(settings)
}

fn controller(step: &Step<'_>, cluster: &Cluster, report: &mut Report) -> Result<(), BootstrapError> {
    let places = step.places;
    let mut hand = Handover::begin(places, "controller")?;
    let kubeconfig =
        hand.kubeconfig(&step.api, &places.tls("server-ca.crt"), &places.tls("client-controller"), report)?;
    for name in ["client-ca.crt", "client-ca.key", "server-ca.key"] {
        hand.copy(name, &places.tls(name))?;
    }
    let (authority, supervisor) = (places.tls("server-ca.crt"), places.tls("client-supervisor"));
    let addons = json!({
        "kubeconfig": hand.kubeconfig_named(
            "addons.kubeconfig", "client-supervisor", &step.api, &authority, &supervisor, report,
        )?,
        "directory": places.run.join("data/server/manifests"),
        "disable": step.server.disable,
        "clusterDomain": step.server.cluster_domain,
        "clusterDNS": step.server.cluster_dns,
        "systemDefaultRegistry": step.server.default_registry,
        "defaultLocalStoragePath": step.server.local_storage,
    });
    let mut settings = map(json!({
        "kubeconfig": kubeconfig,
        "clusterSigningCertFile": hand.copy("client-ca.nochain.crt", &places.tls("client-ca.nochain.crt"))?,
        "clusterSigningKeyFile": places.daemon("controller").join("client-ca.key"),
        "rootCAFile": places.daemon("controller").join("server-ca.crt"),
        "serviceAccountPrivateKeyFile": hand.copy("service.current.key", &places.tls("service.current.key"))?,
        "clusterCIDR": Cluster::cidrs(&cluster.cluster_cidrs),
        "serviceClusterIPRange": Cluster::cidrs(&cluster.service_cidrs),
        // a single server needs no election
        "leaderElect": false,
        "nodeSigner": {"folder": places.daemon("controller"), "socket": SIGNER},
        "addons": addons,
    }));
    apply_arguments(Component::Controller, &step.server.arguments, &mut settings, &mut report.warnings)?;
    hand.finish(settings)
}

fn scheduler(step: &Step<'_>, report: &mut Report) -> Result<(), BootstrapError> {
    let places = step.places;
    let mut hand = Handover::begin(places, "scheduler")?;
    let kubeconfig =
        hand.kubeconfig(&step.api, &places.tls("server-ca.crt"), &places.tls("client-scheduler"), report)?;
    let mut settings = map(json!({"kubeconfig": kubeconfig, "leaderElect": false}));
    apply_arguments(Component::Scheduler, &step.server.arguments, &mut settings, &mut report.warnings)?;
    hand.finish(settings)
}
