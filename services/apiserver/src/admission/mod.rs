//! Admission: what may change or refuse a write before it is stored. One file per plugin.

pub mod certificates;
pub mod claim_resize;
pub mod default_toleration_seconds;
pub mod limit_ranger;
pub mod namespace_lifecycle;
pub mod node_restriction;
pub mod owner_references;
pub mod pod_references;
pub mod pod_security;
pub mod pod_topology_labels;
pub mod priority;
pub mod rbac_escalation;
pub mod resource_quota;
pub mod runtime_class;
pub mod service_account;
pub mod storage;
pub mod taint_nodes;

use std::sync::{Arc, Mutex, PoisonError};

use kinds::Operation as Write;
use meta::GroupResource;
use schema::Object;

use crate::auth::{Attributes, BoxFuture, Decision, User};
use crate::errors::Result;
use crate::registry::Endpoint;
use crate::request::RequestInfo;
use crate::server::Server;
use crate::settings::Settings;

/// What is being done, as admission sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A new object, or a subresource that is created (binding, eviction).
    Create,
    /// A changed object.
    Update,
    /// A deletion.
    Delete,
    /// exec, attach, portforward, proxy.
    Connect,
}

impl From<Write> for Operation {
    fn from(write: Write) -> Self {
        match write {
            Write::Create => Operation::Create,
            Write::Update => Operation::Update,
        }
    }
}

/// A request under admission.
pub struct Request<'a> {
    /// The server, for looking at other objects.
    pub server: &'a Arc<Server>,
    /// What is written to.
    pub endpoint: &'a Endpoint,
    /// The subresource, empty for none.
    pub subresource: &'a str,
    /// What is being done.
    pub operation: Operation,
    /// Who asks.
    pub user: &'a User,
    /// The namespace, empty for cluster scope.
    pub namespace: &'a str,
    /// The name, empty while it is not known.
    pub name: &'a str,
    /// The object before.
    pub old: Option<&'a Object>,
    /// Nothing will be persisted.
    pub dry_run: bool,
    /// The time of the request.
    pub now: jiff::Timestamp,
    /// Warnings for the client.
    pub warnings: &'a Mutex<Vec<String>>,
}

impl Request<'_> {
    /// The resource by group and plural.
    pub fn resource(&self) -> GroupResource {
        self.endpoint.group_resource()
    }

    /// Whether it is about this resource (plural in group), and no subresource of it.
    pub fn is(&self, group: &str, plural: &str) -> bool {
        self.subresource.is_empty() && self.endpoint.is(group, plural)
    }

    /// Adds a warning for the client.
    pub fn warn(&self, text: String) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    /// The object's name, wherever it is known from.
    pub fn name_of<'o>(&'o self, object: &'o Object) -> &'o str {
        if self.name.is_empty() { object.name() } else { self.name }
    }

    /// Whether the user has a verb on an object of this resource.
    pub async fn may(&self, verb: &'static str, name: &str) -> bool {
        let resource = self.resource();
        self.may_on(&resource.group, &resource.resource, verb, name).await
    }

    /// Whether the user has a verb on an object of any resource, in the request's namespace. The plural may be
    /// followed by a subresource.
    pub async fn may_on(&self, group: &str, plural: &str, verb: &'static str, name: &str) -> bool {
        let (plural, subresource) = plural.split_once('/').unwrap_or((plural, ""));
        let info = RequestInfo {
            is_resource: true,
            verb,
            group: group.to_owned(),
            version: "*".to_owned(),
            namespace: self.namespace.to_owned(),
            resource: plural.to_owned(),
            subresource: subresource.to_owned(),
            name: name.to_owned(),
            ..RequestInfo::default()
        };
        let attributes =
            Attributes { user: self.user, info: &info, name, field_selector: "", label_selector: "" };
        self.server.authorizer.authorize(&attributes).await == Decision::Allow
    }
}

/// One plugin. Both phases do nothing unless said otherwise.
pub trait Admission: Send + Sync {
    /// Its name, as in upstream's lists.
    fn name(&self) -> &'static str;

    /// Whether it wants to see the request at all; cheap.
    fn handles(&self, request: &Request<'_>) -> bool;

    /// Changes the object (in its storage version), or refuses.
    fn mutate<'a>(&'a self, _request: &'a Request<'a>, _object: &'a mut Object) -> BoxFuture<'a, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Refuses, or not. `object` is `None` for deletions and connections.
    fn validate<'a>(
        &'a self,
        _request: &'a Request<'a>,
        _object: Option<&'a Object>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Plugins that only act when the settings name them.
const OFF_BY_DEFAULT: [&str; 1] = ["OwnerReferencesPermissionEnforcement"];

/// All plugins in upstream's order.
pub struct Chain(Vec<Box<dyn Admission>>);

impl Chain {
    /// The plugins of the settings, in upstream's order: those that are on by default, and what is switched on or
    /// off.
    pub fn of_settings(settings: &Settings) -> Self {
        let Self(mut plugins) = Self::all();
        plugins.retain(|plugin| {
            let named = |list: &[String]| list.iter().any(|name| name == plugin.name());
            let on = !OFF_BY_DEFAULT.contains(&plugin.name()) || named(&settings.enable_admission_plugins);
            on && !named(&settings.disable_admission_plugins)
        });
        Self(plugins)
    }

    fn all() -> Self {
        Self(vec![
            Box::new(namespace_lifecycle::NamespaceLifecycle),
            Box::new(limit_ranger::LimitRanger),
            Box::new(service_account::ServiceAccount),
            Box::new(node_restriction::NodeRestriction),
            Box::new(taint_nodes::TaintNodesByCondition),
            Box::new(pod_security::PodSecurity),
            Box::new(priority::Priority),
            Box::new(default_toleration_seconds::DefaultTolerationSeconds),
            Box::new(storage::DefaultStorageClass),
            Box::new(storage::StorageObjectInUseProtection),
            Box::new(owner_references::OwnerReferencesPermissionEnforcement),
            Box::new(claim_resize::PersistentVolumeClaimResize),
            Box::new(runtime_class::RuntimeClass),
            Box::new(certificates::CertificateApproval),
            Box::new(certificates::CertificateSigning),
            Box::new(certificates::CertificateSubjectRestriction),
            Box::new(storage::DefaultIngressClass),
            Box::new(pod_topology_labels::PodTopologyLabels),
            Box::new(rbac_escalation::RbacEscalation),
            Box::new(resource_quota::ResourceQuota),
        ])
    }

    /// A chain of plugins.
    pub fn new(plugins: Vec<Box<dyn Admission>>) -> Self {
        Self(plugins)
    }

    /// The mutating phase.
    pub async fn mutate(&self, request: &Request<'_>, object: &mut Object) -> Result<()> {
        for plugin in self.0.iter().filter(|p| p.handles(request)) {
            plugin.mutate(request, object).await?;
        }
        Ok(())
    }

    /// The validating phase.
    pub async fn validate(&self, request: &Request<'_>, object: Option<&Object>) -> Result<()> {
        for plugin in self.0.iter().filter(|p| p.handles(request)) {
            plugin.validate(request, object).await?;
        }
        Ok(())
    }
}
