//! What every namespace gets: its default service account and the cluster's root certificate.
//!
//! # Upstream
//! `pkg/controller/serviceaccount/serviceaccounts_controller.go`, `pkg/controller/certificates/rootcacertpublisher`

use std::collections::BTreeMap;

use client::Key;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use reconcile::{Ask, Controller, Error, Kind, Permit, Plan, Watch};

const ROOT: &str = "kube-root-ca.crt";
const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

/// Service accounts named `default`.
#[derive(Debug)]
pub(crate) struct DefaultAccounts;

/// Publishes the root certificate.
#[derive(Debug)]
pub(crate) struct RootCertificates {
    /// The certificate, PEM.
    pub(crate) root: String,
}

fn active(ask: &Ask<'_>) -> bool {
    let namespace = ask.view.get::<Namespace>(ask.key);
    namespace.is_some_and(|n| !n.deleting() && phase(n) != "Terminating")
}

fn phase(namespace: &Namespace) -> &str {
    namespace.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or_default()
}

fn namespace_of<K: Kind>(name: &'static str) -> Watch {
    Watch::map::<K>(
        move |_, object| {
            if object.name() == name { vec![Key::new("", object.namespace())] } else { Vec::new() }
        },
    )
}

impl Controller for DefaultAccounts {
    fn name(&self) -> &'static str {
        "serviceaccount-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::root::<Namespace>(), namespace_of::<ServiceAccount>("default")]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::of::<ServiceAccount>("create")]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        if active(ask) && ask.view.named::<ServiceAccount>(&ask.key.name, "default").is_none() {
            plan.create(&ServiceAccount {
                metadata: ObjectMeta {
                    name: Some("default".into()),
                    namespace: Some(ask.key.name.clone()),
                    ..ObjectMeta::default()
                },
                ..ServiceAccount::default()
            })?;
        }
        Ok(plan)
    }
}

impl Controller for RootCertificates {
    fn name(&self) -> &'static str {
        "root-ca-certificate-publisher-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::root::<Namespace>(), namespace_of::<ConfigMap>(ROOT)]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::of::<ConfigMap>("create patch")]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        if !active(ask) {
            return Ok(plan);
        }
        let data = BTreeMap::from([("ca.crt".to_owned(), self.root.clone())]);
        let key = "kubernetes.io/description".to_owned();
        match ask.view.named::<ConfigMap>(&ask.key.name, ROOT) {
            None => {
                plan.create(&ConfigMap {
                    metadata: ObjectMeta {
                        name: Some(ROOT.into()),
                        namespace: Some(ask.key.name.clone()),
                        annotations: Some(BTreeMap::from([(key, DESCRIPTION.into())])),
                        ..ObjectMeta::default()
                    },
                    data: Some(data),
                    ..ConfigMap::default()
                })?;
            }
            Some(known) => {
                let mut next = ConfigMap::clone(known);
                next.data = Some(data);
                next.metadata.annotations.get_or_insert_default().insert(key, DESCRIPTION.into());
                plan.update(known.as_ref(), &next)?;
            }
        }
        Ok(plan)
    }
}
