//! What the caches hold: typed objects, trimmed of what no loop reads.

use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;

use client::{Client, Key, Resource};
use jiff::Timestamp;
use k8s_openapi::api;
use k8s_openapi::api::resource::v1::Device;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::Value;

use crate::Follower;
use crate::bare::without_managed_fields;
use crate::caches::{snapshot_of, start};

/// A type with a JSON form: what is written.
///
/// Implemented for each kind by this crate and by it alone, as [`Kind`] is. Pods have two types: the one that is written is
/// `k8s-openapi`'s and no [`Kind`], the one the caches hold is [`crate::Pod`] and no body. So what the cached one does not
/// have cannot be asked of it, nor the other be looked for in a cache.
pub trait Body:
    k8s_openapi::Resource + k8s_openapi::Metadata<Ty = ObjectMeta> + Clone + Send + Sync + 'static
{
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

    /// The resource it is written to.
    fn target() -> Resource;

    /// Namespace and name.
    fn place(&self) -> Key {
        let meta = self.metadata();
        Key::new(meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
    }

    /// Reads the JSON form from a tree.
    ///
    /// # Errors
    /// It is no object of this kind.
    fn from_value(value: &Value) -> Result<Self, serde_json::Error> {
        Self::decode(value.to_string().as_bytes())
    }
}

/// A kind the caches can hold.
///
/// The methods without a body are implemented for each kind by this crate and by it alone: calling them from generic code
/// compiles nothing anew.
pub trait Kind: k8s_openapi::Resource + Send + Sync + Sized + 'static {
    /// Whether its objects live in namespaces.
    const NAMESPACED: bool;

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

    /// The name, empty when there is none yet.
    fn name(&self) -> &str;

    /// The namespace, empty for what lives in none.
    fn namespace(&self) -> &str;

    /// The uid, empty when there is none yet.
    fn uid(&self) -> &str;

    /// The revision, empty when there is none yet.
    fn revision(&self) -> Cow<'_, str>;

    /// When it was created.
    fn created(&self) -> Option<Timestamp>;

    /// Whether deletion has begun.
    fn deleting(&self) -> bool;

    /// A label's value.
    fn label(&self, name: &str) -> Option<&str>;

    /// An annotation's value.
    fn annotation(&self, name: &str) -> Option<&str>;

    /// Its owners.
    fn owners(&self) -> &[OwnerReference];

    /// The value of the kind's own index (a pod's node, a slice's pool).
    fn indexed(&self) -> Option<&str> {
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
        Key::new(self.namespace(), self.name())
    }

    /// The owner that controls it.
    fn controller(&self) -> Option<&OwnerReference> {
        self.owners().iter().find(|o| o.controller == Some(true))
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

/// What is particular to a kind in the caches.
trait Trim {
    /// Drops what no loop reads.
    fn trim(&mut self);

    /// See [`Kind::indexed`].
    fn index(&self) -> Option<&str> {
        None
    }
}

macro_rules! body {
    ($path:path) => {
        impl Body for $path {
            fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
                serde_json::from_slice(bytes)
            }

            fn encode(&self) -> Result<Value, serde_json::Error> {
                serde_json::to_value(self)
            }

            fn target() -> Resource {
                Resource::of::<Self>()
            }
        }
    };
}

macro_rules! kinds {
    ($scope:literal: $($path:path $({ $($trim:item)* })?),* $(,)?) => {
        $(
        body!($path);

        impl Trim for $path {
            kinds!(@trim $($($trim)*)?);
        }

        impl Kind for $path {
            const NAMESPACED: bool = $scope;

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

            fn name(&self) -> &str {
                self.metadata.name.as_deref().unwrap_or_default()
            }

            fn namespace(&self) -> &str {
                self.metadata.namespace.as_deref().unwrap_or_default()
            }

            fn uid(&self) -> &str {
                self.metadata.uid.as_deref().unwrap_or_default()
            }

            fn revision(&self) -> Cow<'_, str> {
                Cow::Borrowed(self.metadata.resource_version.as_deref().unwrap_or_default())
            }

            fn created(&self) -> Option<Timestamp> {
                self.metadata.creation_timestamp.as_ref().map(|t| t.0)
            }

            fn deleting(&self) -> bool {
                self.metadata.deletion_timestamp.is_some()
            }

            fn label(&self, name: &str) -> Option<&str> {
                self.metadata.labels.as_ref()?.get(name).map(String::as_str)
            }

            fn annotation(&self, name: &str) -> Option<&str> {
                self.metadata.annotations.as_ref()?.get(name).map(String::as_str)
            }

            fn owners(&self) -> &[OwnerReference] {
                self.metadata.owner_references.as_deref().unwrap_or_default()
            }

            fn indexed(&self) -> Option<&str> {
                self.index()
            }
        })*
    };
    (@trim) => {
        fn trim(&mut self) {}
    };
    (@trim $($trim:item)*) => {
        $($trim)*
    };
}

body!(api::core::v1::Pod);

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
}

kinds! { false:
    api::core::v1::Namespace, api::core::v1::Node, api::core::v1::PersistentVolume,
    api::rbac::v1::ClusterRole, api::certificates::v1::CertificateSigningRequest,
    api::storage::v1::StorageClass, api::storage::v1::VolumeAttachment, api::storage::v1::CSIDriver,
    api::storage::v1::CSINode, api::storage::v1::VolumeAttributesClass, api::resource::v1::DeviceClass,
    api::resource::v1::ResourceSlice {
        // of devices only the taints are read
        fn trim(&mut self) {
            self.spec.shared_counters = None;
            let devices = self.spec.devices.take().into_iter().flatten().filter(|d| d.taints.is_some());
            let bare = |d: Device| Device { name: d.name, taints: d.taints, ..Device::default() };
            self.spec.devices = Some(devices.map(bare).collect());
        }

        fn index(&self) -> Option<&str> {
            Some(&self.spec.pool.name)
        }
    },
    api::networking::v1::ServiceCIDR, api::networking::v1::IPAddress,
    api::admissionregistration::v1::ValidatingAdmissionPolicy, api::scheduling::v1::PriorityClass,
}
