//! Every pod runs as a service account and gets its token.
//!
//! # Upstream
//! `plugin/pkg/admission/serviceaccount/admission.go`

use std::sync::Arc;

use schema::{Map, Object, Value};

use super::{Admission, Operation, Request};
use crate::auth::BoxFuture;
use crate::errors::{self, Result};
use crate::verbs::meta::generate_name;

const MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Longer than an hour, so that it is told apart from what users ask for.
const TOKEN_SECONDS: i64 = 3607;
/// How often a service account that was just created is looked for.
const ATTEMPTS: u32 = 4;

/// The plugin.
pub struct ServiceAccount;

impl Admission for ServiceAccount {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }

    fn handles(&self, request: &Request<'_>) -> bool {
        request.is("", "pods") && request.operation == Operation::Create
    }

    fn mutate<'a>(&'a self, request: &'a Request<'a>, pod: &'a mut Object) -> BoxFuture<'a, Result<()>> {
        Box::pin(admit(request, pod))
    }
}

fn refuse(request: &Request<'_>, pod: &Object, why: &str) -> errors::Error {
    errors::forbidden(&request.resource(), pod.name(), why)
}

fn check_mirror(request: &Request<'_>, pod: &Object) -> Result<()> {
    if !pod.str_at(&["spec", "serviceAccountName"]).is_empty() {
        return Err(refuse(request, pod, "a mirror pod may not reference service accounts"));
    }
    for volume in pod.list_at(&["spec", "volumes"]) {
        for (field, what) in [
            ("secret", "secrets"),
            ("configMap", "configmaps"),
            ("persistentVolumeClaim", "persistentvolumeclaims"),
        ] {
            if volume.at(&[field]).is_some() {
                return Err(refuse(request, pod, &format!("a mirror pod may not reference {what}")));
            }
        }
    }
    Ok(())
}

async fn admit(request: &Request<'_>, pod: &mut Object) -> Result<()> {
    if pod.annotation("kubernetes.io/config.mirror").is_some() {
        return check_mirror(request, pod);
    }
    if pod.str_at(&["spec", "serviceAccountName"]).is_empty() {
        pod.set(&["spec", "serviceAccountName"], "default");
    }
    let name = pod.str_at(&["spec", "serviceAccountName"]).to_owned();
    let namespace = request.namespace;
    let mut account = request.server.peek("", "serviceaccounts", namespace, &name)?;
    let mut tried = 0;
    while account.is_none() && tried < ATTEMPTS {
        if tried > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        account = request.server.read("", "serviceaccounts", namespace, &name).await?.map(Arc::new);
        tried += 1;
    }
    let Some(account) = account else {
        let why =
            format!("error looking up service account {namespace}/{name}: serviceaccount {name:?} not found");
        return Err(refuse(request, pod, &why));
    };
    let automount = pod
        .at(&["spec", "automountServiceAccountToken"])
        .or_else(|| account.at(&["automountServiceAccountToken"]))
        .and_then(Value::as_bool)
        .unwrap_or(true);
    if automount {
        mount_token(pod);
    }
    let own = account.list_at(&["imagePullSecrets"]);
    if pod.list_at(&["spec", "imagePullSecrets"]).is_empty() && !own.is_empty() {
        pod.set(&["spec", "imagePullSecrets"], own.to_vec());
    }
    // the old name of the field says the same
    pod.set(&["spec", "serviceAccount"], name);
    Ok(())
}

fn map<const N: usize>(entries: [(&'static str, Value); N]) -> Value {
    Value::Map(entries.into_iter().collect::<Map>())
}

fn volume(name: &str) -> Value {
    let token = map([(
        "serviceAccountToken",
        map([("expirationSeconds", TOKEN_SECONDS.into()), ("path", "token".into())]),
    )]);
    let item = map([("key", "ca.crt".into()), ("path", "ca.crt".into())]);
    let authority =
        map([("configMap", map([("name", "kube-root-ca.crt".into()), ("items", vec![item].into())]))]);
    let reference = map([("apiVersion", "v1".into()), ("fieldPath", "metadata.namespace".into())]);
    let file = map([("path", "namespace".into()), ("fieldRef", reference)]);
    let namespace = map([("downwardAPI", map([("items", vec![file].into())]))]);
    let sources = vec![token, authority, namespace];
    map([
        ("name", name.into()),
        ("projected", map([("sources", sources.into()), ("defaultMode", 420i64.into())])),
    ])
}

fn mount_token(pod: &mut Object) {
    let volumes = pod.list_at(&["spec", "volumes"]);
    let projected = volumes.iter().find_map(|v| {
        let name = v.at(&["name"])?.as_str()?;
        let ours = name.starts_with("kube-api-access-") && v.at(&["projected"]).is_some();
        ours.then(|| name.to_owned())
    });
    let existing = projected.is_some();
    let name = projected.unwrap_or_else(|| generate_name("kube-api-access-"));
    let mut used = false;
    for field in ["initContainers", "containers"] {
        let Some(list) = pod.at_mut(&["spec", field]).and_then(Value::as_list_mut) else { continue };
        for container in list.iter_mut().filter_map(Value::as_map_mut) {
            let slot = container.get_or_insert_with("volumeMounts", || Value::List(Vec::new()));
            if slot.is_null() {
                *slot = Value::List(Vec::new());
            }
            let Some(mounts) = slot.as_list_mut() else { continue };
            let taken = mounts.iter().any(|m| m.at(&["mountPath"]).and_then(Value::as_str) == Some(MOUNT));
            if taken {
                continue;
            }
            mounts.push(map([
                ("name", name.as_str().into()),
                ("readOnly", true.into()),
                ("mountPath", MOUNT.into()),
            ]));
            used = true;
        }
    }
    if used && !existing {
        let spec = pod.root_mut().map_mut("spec");
        let slot = spec.get_or_insert_with("volumes", || Value::List(Vec::new()));
        if slot.is_null() {
            *slot = Value::List(Vec::new());
        }
        if let Some(list) = slot.as_list_mut() {
            list.push(volume(&name));
        }
    }
}
