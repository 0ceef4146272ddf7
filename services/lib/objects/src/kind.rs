//! What the caches hold: typed objects, trimmed of what no loop reads.

use std::any::Any;
use std::sync::Arc;

use client::{Client, Key, Resource};
use k8s_openapi::api;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::Value;

use crate::Follower;
use crate::bare::without_managed_fields;
use crate::caches::{snapshot_of, start};

/// A kind the caches can hold.
///
/// The methods without a body are implemented for each kind by this crate and by it alone: calling them from generic code
/// compiles nothing anew.
pub trait Kind:
    k8s_openapi::Resource + k8s_openapi::Metadata<Ty = ObjectMeta> + Clone + Send + Sync + 'static
{
    /// Whether its objects live in namespaces.
    const NAMESPACED: bool;

    /// Reads the JSON form.
    ///
    /// # Errors
    /// It is no object of this kind.
    fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error>;

    /// The JSON form.
    ///
    /// # Errors
    /// There is none.
    fn encode(&self) -> Result<Value, serde_json::Error>;

    /// An object as caches hold it: decoded, trimmed.
    ///
    /// # Errors
    /// It is no object of this kind.
    fn project(bytes: &[u8]) -> Result<Self, serde_json::Error>;

    /// Starts to follow the kind. Must be called in a runtime.
    fn start_cache(client: Client) -> Box<dyn Follower>;

    /// A snapshot of these objects, as the cache would show it.
    ///
    /// # Errors
    /// One of them is no object of this kind.
    fn snapshot_of(objects: Vec<Value>) -> Result<Arc<dyn Any + Send + Sync>, serde_json::Error>;

    /// Reads the JSON form from a tree.
    ///
    /// # Errors
    /// It is no object of this kind.
    fn from_value(value: &Value) -> Result<Self, serde_json::Error> {
        Self::decode(value.to_string().as_bytes())
    }

    /// Drops what no loop reads.
    fn trim(&mut self) {}

    /// The value of the kind's own index (a pod's node).
    fn indexed(&self) -> Option<String> {
        None
    }

    /// The resource of its URLs.
    fn resource() -> Resource {
        Resource {
            group: Self::GROUP.into(),
            version: Self::VERSION.into(),
            plural: Self::URL_PATH_SEGMENT.into(),
            kind: Self::KIND.into(),
            namespaced: Self::NAMESPACED,
        }
    }

    /// Namespace and name.
    fn key(&self) -> Key {
        let meta = self.metadata();
        Key::new(meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
    }

    /// The name, empty when there is none yet.
    fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }

    /// The namespace, empty for what lives in none.
    fn namespace(&self) -> &str {
        self.metadata().namespace.as_deref().unwrap_or_default()
    }

    /// The uid, empty when there is none yet.
    fn uid(&self) -> &str {
        self.metadata().uid.as_deref().unwrap_or_default()
    }

    /// Whether deletion has begun.
    fn deleting(&self) -> bool {
        self.metadata().deletion_timestamp.is_some()
    }

    /// A label's value.
    fn label(&self, name: &str) -> Option<&str> {
        self.metadata().labels.as_ref()?.get(name).map(String::as_str)
    }

    /// An annotation's value.
    fn annotation(&self, name: &str) -> Option<&str> {
        self.metadata().annotations.as_ref()?.get(name).map(String::as_str)
    }

    /// The owner that controls it.
    fn controller(&self) -> Option<&OwnerReference> {
        self.metadata().owner_references.iter().flatten().find(|o| o.controller == Some(true))
    }

    /// A reference that makes this object the controlling owner of another.
    fn owner_reference(&self) -> OwnerReference {
        OwnerReference {
            api_version: Self::API_VERSION.into(),
            kind: Self::KIND.into(),
            name: self.name().into(),
            uid: self.uid().into(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }
}

macro_rules! kinds {
    ($scope:literal: $($path:path $({ $($extra:item)* })?),* $(,)?) => {
        $(impl Kind for $path {
            const NAMESPACED: bool = $scope;

            fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
                serde_json::from_slice(bytes)
            }

            fn encode(&self) -> Result<Value, serde_json::Error> {
                serde_json::to_value(self)
            }

            fn project(bytes: &[u8]) -> Result<Self, serde_json::Error> {
                let mut object = Self::decode(&without_managed_fields(bytes))?;
                object.metadata.managed_fields = None;
                object.trim();
                Ok(object)
            }

            fn start_cache(client: Client) -> Box<dyn Follower> {
                start::<Self>(client)
            }

            fn snapshot_of(objects: Vec<Value>) -> Result<Arc<dyn Any + Send + Sync>, serde_json::Error> {
                snapshot_of::<Self>(objects)
            }

            $($($extra)*)?
        })*
    };
}

kinds! { true:
    api::apps::v1::Deployment, api::apps::v1::ReplicaSet, api::apps::v1::StatefulSet, api::apps::v1::DaemonSet,
    api::apps::v1::ControllerRevision, api::batch::v1::Job, api::batch::v1::CronJob,
    api::core::v1::Endpoints, api::core::v1::Service, api::core::v1::ServiceAccount, api::core::v1::ConfigMap {
        // nothing but the root certificate, kube-public's cluster-info and cluster DNS's hosts is read
        fn trim(&mut self) {
            if !matches!(self.name(), "kube-root-ca.crt" | "cluster-info" | "coredns") {
                self.data = None;
            }
            self.binary_data = None;
        }
    },
    api::core::v1::Secret {
        // only the types loops act on keep their data
        fn trim(&mut self) {
            let kept = ["kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"];
            if !self.type_.as_deref().is_some_and(|t| kept.contains(&t)) {
                self.data = None;
            }
        }
    },
    api::core::v1::ReplicationController, api::core::v1::ResourceQuota, api::core::v1::PersistentVolumeClaim,
    api::core::v1::PodTemplate, api::core::v1::LimitRange,
    api::discovery::v1::EndpointSlice, api::policy::v1::PodDisruptionBudget, api::coordination::v1::Lease,
    api::autoscaling::v2::HorizontalPodAutoscaler, api::resource::v1::ResourceClaim,
    api::resource::v1::ResourceClaimTemplate,
    api::core::v1::Pod {
        fn trim(&mut self) {
            trim_pod(self);
        }
        fn indexed(&self) -> Option<String> {
            self.spec.as_ref()?.node_name.clone()
        }
    },
}

kinds! { false:
    api::core::v1::Namespace, api::core::v1::Node, api::core::v1::PersistentVolume,
    api::rbac::v1::ClusterRole, api::certificates::v1::CertificateSigningRequest,
    api::storage::v1::StorageClass, api::storage::v1::VolumeAttachment, api::storage::v1::CSIDriver,
    api::storage::v1::CSINode, api::storage::v1::VolumeAttributesClass, api::resource::v1::DeviceClass,
    api::networking::v1::ServiceCIDR, api::networking::v1::IPAddress,
    api::admissionregistration::v1::ValidatingAdmissionPolicy, api::scheduling::v1::PriorityClass,
}

/// What is run in a pod's containers is nobody's business here; names, images, resources, ports and volumes that are
/// objects of their own are.
fn trim_pod(pod: &mut api::core::v1::Pod) {
    let Some(spec) = &mut pod.spec else { return };
    if let Some(volumes) = &mut spec.volumes {
        volumes.retain(|v| !is_made_of_nothing(v));
        volumes.shrink_to_fit();
    }
    for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
        container.env = None;
        container.env_from = None;
        container.args = None;
        container.command = None;
        container.volume_mounts = None;
        container.liveness_probe = None;
        container.readiness_probe = None;
        container.startup_probe = None;
        container.lifecycle = None;
        container.security_context = None;
    }
    if spec.node_name.is_some() {
        spec.affinity = None; // an unbound daemon pod's says which node it is made for
    }
    spec.topology_spread_constraints = None;
    spec.host_aliases = None;
    spec.dns_config = None;
    spec.security_context = None;
}

/// A volume no loop looks at: what every pod has for its token, and what is made from nothing or from the node.
fn is_made_of_nothing(volume: &api::core::v1::Volume) -> bool {
    let token = volume
        .projected
        .as_ref()
        .is_some_and(|projected| projected.sources.iter().flatten().all(|source| source.secret.is_none()));
    let from_node = volume.empty_dir.is_some() || volume.host_path.is_some();
    token || from_node || volume.config_map.is_some() || volume.downward_api.is_some()
}
