//! The core group.

pub(crate) mod apparmor;
mod defaults;
pub(crate) mod disabled;
mod pod;
mod pod_defaults;
mod pod_level;
mod service;

use std::borrow::Cow;

use schema::{Map, Object, Value};

pub use pod::qos_class;
pub use service::normalize_cluster_ips;

pub(crate) use pod_defaults::{
    SOURCES as VOLUME_SOURCES, claim_spec, persistent_sources, resource_list, template,
};

use crate::Context;
use crate::kind::{Generation, Kind, PLAIN};
use crate::rows;
use crate::strategy::{keep, no_status, split};
use crate::tree::{flag, int, is_zero, map, maps, text};
use crate::{validate, warn};

const SPEC: Generation = Generation::On(&["spec"]);

pub(crate) static CONFIG_MAP: Kind = Kind {
    validate: validate::config_map,
    validate_update: validate::config_map_update,
    default: defaults::config_map,
    columns: rows::CONFIG_MAP,
    row: rows::config_map,
    ..PLAIN
};

pub(crate) static ENDPOINTS: Kind = Kind {
    validate: validate::endpoints,
    validate_update: |cx, new, _| validate::endpoints(cx, new),
    default: defaults::endpoints,
    columns: rows::ENDPOINTS,
    row: rows::endpoints,
    warnings: warn::endpoints,
    ..PLAIN
};

pub(crate) static EVENT: Kind = Kind {
    metadata_twice: false,
    name: crate::names::any,
    validate: validate::event,
    validate_update: validate::event_update,
    convert: crate::others::convert_event,
    labels: &[
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
        "metadata.name",
        "metadata.namespace",
        "regarding.kind",
        "regarding.namespace",
        "regarding.name",
        "regarding.uid",
        "regarding.apiVersion",
        "regarding.resourceVersion",
        "regarding.fieldPath",
        "reportingController",
    ],
    field: event_field,
    columns: rows::EVENT,
    row: rows::event,
    ..PLAIN
};

/// Event labels of both groups, read from the stored core form.
fn event_field(object: &Object, label: &str) -> Option<Cow<'static, str>> {
    let own = |path: &[&str]| Some(Cow::Owned(object.str_at(path).to_owned()));
    if let Some((owner, key)) = label.split_once('.')
        && matches!(owner, "involvedObject" | "regarding")
    {
        return own(&["involvedObject", key]);
    }
    match label {
        "reason" | "type" => own(&[label]),
        "reportingComponent" | "reportingController" => own(&["reportingComponent"]),
        // the reporter of old events stands in their source
        "source" if object.str_at(&["source", "component"]).is_empty() => own(&["reportingComponent"]),
        "source" => own(&["source", "component"]),
        _ => None,
    }
}

pub(crate) static LIMIT_RANGE: Kind = Kind {
    validate: validate::limit_range,
    validate_update: |cx, new, _| validate::limit_range(cx, new),
    default: defaults::limit_range,
    metadata_twice: false,
    ..PLAIN
};

pub(crate) static NAMESPACE: Kind = Kind {
    validate: validate::namespace,
    validate_update: |cx, new, _| validate::namespace(cx, new),
    default: defaults::namespace,
    create: create_namespace,
    update: |cx, object, old| match cx.subresource {
        "finalize" => keep(object, old, "status"),
        "status" => keep(object, old, "spec"),
        _ => {
            keep(object, old, "status");
            let finalizers = old.at(&["spec", "finalizers"]).cloned();
            crate::strategy::put(object.root_mut().map_mut("spec"), "finalizers", finalizers);
        }
    },
    name: crate::names::dns_label,
    labels: &["metadata.name", "metadata.namespace", "name", "status.phase"],
    fields: &[("status.phase", &["status", "phase"]), ("name", &["metadata", "name"])],
    columns: rows::NAMESPACE,
    row: rows::namespace,
    ..PLAIN
};

fn create_namespace(_: &Context<'_>, object: &mut Object) {
    let mut status = Map::new();
    status.insert("phase", "Active");
    object.root_mut().insert("status", status);
    let spec = object.root_mut().map_mut("spec");
    let mut finalizers = crate::tree::list(spec, "finalizers").to_vec();
    if !finalizers.iter().any(|f| f.as_str() == Some("kubernetes")) {
        finalizers.push("kubernetes".into());
        spec.insert("finalizers", finalizers);
    }
}

pub(crate) static NODE: Kind = Kind {
    default: defaults::node,
    update: split,
    labels: &["metadata.name", "metadata.namespace", "spec.unschedulable"],
    field: |object, label| {
        let off = map(object.root(), "spec").is_some_and(|s| flag(s, "unschedulable"));
        (label == "spec.unschedulable").then_some(Cow::Borrowed(if off { "true" } else { "false" }))
    },
    columns: rows::NODE,
    row: rows::node,
    warnings: warn::node,
    ..PLAIN
};

pub(crate) static PERSISTENT_VOLUME: Kind = Kind {
    metadata_twice: false,
    validate: validate::volume,
    validate_update: validate::volume_update,
    default: defaults::persistent_volume,
    create: |cx, object| {
        let mut status = Map::new();
        status.insert("phase", "Pending");
        status.insert("lastPhaseTransitionTime", meta::time::rfc3339(cx.now));
        object.root_mut().insert("status", status);
    },
    update: update_volume,
    labels: &["metadata.name", "metadata.namespace", "name"],
    fields: &[("name", &["metadata", "name"])],
    columns: rows::PERSISTENT_VOLUME,
    row: rows::persistent_volume,
    warnings: warn::persistent_volume,
    ..PLAIN
};

fn update_volume(cx: &Context<'_>, object: &mut Object, old: &Object) {
    split(cx, object, old);
    if cx.subresource != "status" {
        return;
    }
    let path = ["status", "lastPhaseTransitionTime"];
    let (new_time, old_time) = (object.str_at(&path).to_owned(), old.str_at(&path).to_owned());
    let same_phase = object.str_at(&["status", "phase"]) == old.str_at(&["status", "phase"]);
    let status = object.root_mut().map_mut("status");
    if same_phase && new_time.is_empty() && !old_time.is_empty() {
        status.insert("lastPhaseTransitionTime", old_time);
    } else if !same_phase && (new_time.is_empty() || new_time == old_time) {
        status.insert("lastPhaseTransitionTime", meta::time::rfc3339(cx.now));
    }
}

pub(crate) static PERSISTENT_VOLUME_CLAIM: Kind = Kind {
    validate: validate::claim,
    validate_update: validate::claim_update,
    default: defaults::claim,
    create: |_, object| {
        // the phase comes with the defaults at the next read, as upstream's does
        object.root_mut().insert("status", Map::new());
        let spec = object.root_mut().map_mut("spec");
        if map(spec, "dataSource").is_some_and(|source| !is_data_source(source))
            && map(spec, "dataSourceRef").is_none()
        {
            spec.remove("dataSource");
        }
        data_sources(object);
    },
    update: |cx, object, old| {
        split(cx, object, old);
        if cx.subresource != "status" {
            data_sources(object);
        }
    },
    labels: &["metadata.name", "metadata.namespace", "name"],
    fields: &[("name", &["metadata", "name"])],
    columns: rows::PERSISTENT_VOLUME_CLAIM,
    row: rows::persistent_volume_claim,
    warnings: warn::claim,
    ..PLAIN
};

/// The old field is for claims and snapshots only; anything else in it is left out.
///
/// # Upstream
/// `pkg/api/persistentvolumeclaim/util.go` `EnforceDataSourceBackwardsCompatibility`
fn is_data_source(source: &Map) -> bool {
    matches!(
        (text(source, "apiGroup"), text(source, "kind")),
        ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot")
    )
}

/// `dataSource` and `dataSourceRef` say the same; one given fills the other unless a namespace is named.
fn data_sources(object: &mut Object) {
    let spec = object.root_mut().map_mut("spec");
    match (map(spec, "dataSource").cloned(), map(spec, "dataSourceRef").cloned()) {
        (Some(source), None) => {
            spec.insert("dataSourceRef", source);
        }
        (None, Some(reference)) if is_zero(&reference, "namespace") => {
            let mut source = reference;
            source.remove("namespace");
            spec.insert("dataSource", source);
        }
        _ => {}
    }
}

pub(crate) static POD: Kind = Kind {
    validate: validate::pod,
    validate_update: validate::pod_update,
    default: defaults::pod,
    create: pod::create,
    update: pod::update,
    generation: SPEC,
    labels: pod::LABELS,
    field: pod::field,
    columns: rows::POD,
    row: rows::pod,
    grace: pod::grace,
    warnings: warn::pod,
    status_warnings: warn::pod_status,
    ..PLAIN
};

pub(crate) static POD_TEMPLATE: Kind = Kind {
    validate: validate::pod_template,
    validate_update: |cx, new, _| validate::pod_template(cx, new),
    default: defaults::pod_template,
    generation: Generation::On(&["template"]),
    columns: rows::POD_TEMPLATE,
    row: rows::pod_template,
    warnings: warn::pod_template,
    ..PLAIN
};

pub(crate) static REPLICATION_CONTROLLER: Kind = Kind {
    validate: validate::replication_controller,
    validate_update: |cx, new, _| validate::replication_controller(cx, new),
    default: defaults::replication_controller,
    create: no_status,
    update: split,
    generation: SPEC,
    labels: &["metadata.name", "metadata.namespace", "name", "status.replicas"],
    fields: &[("name", &["metadata", "name"])],
    field: |object, label| {
        (label == "status.replicas")
            .then(|| Cow::Owned(object.int_at(&["status", "replicas"]).unwrap_or(0).to_string()))
    },
    columns: rows::REPLICATION_CONTROLLER,
    row: rows::replication_controller,
    warnings: warn::replication_controller,
    ..PLAIN
};

pub(crate) static RESOURCE_QUOTA: Kind = Kind {
    validate: validate::resource_quota,
    validate_update: validate::resource_quota_update,
    default: defaults::resource_quota,
    create: no_status,
    update: split,
    columns: rows::RESOURCE_QUOTA,
    row: rows::resource_quota,
    warnings: warn::resource_quota,
    ..PLAIN
};

pub(crate) static SECRET: Kind = Kind {
    validate: validate::secret,
    validate_update: validate::secret_update,
    default: defaults::secret,
    labels: &["metadata.name", "metadata.namespace", "type"],
    fields: &[("type", &["type"])],
    columns: rows::SECRET,
    row: rows::secret,
    warnings: warn::secret,
    ..PLAIN
};

pub(crate) static SERVICE: Kind = Kind {
    validate: validate::service,
    validate_update: validate::service_update,
    default: defaults::service,
    create: service::create,
    update: service::update,
    name: service_name,
    labels: &["metadata.name", "metadata.namespace", "spec.clusterIP", "spec.type"],
    fields: &[("spec.clusterIP", &["spec", "clusterIP"]), ("spec.type", &["spec", "type"])],
    columns: rows::SERVICE,
    row: rows::service,
    warnings: warn::service,
    status_warnings: warn::service_status,
    ..PLAIN
};

/// A service's name is a DNS label; since 1.36 it may start with a digit.
fn service_name(name: &str, prefix: bool) -> Vec<String> {
    crate::names::dns_label(name, prefix)
}

pub(crate) static SERVICE_ACCOUNT: Kind = Kind {
    create: |_, object| clean_secrets(object),
    update: |_, object, _| clean_secrets(object),
    columns: rows::SERVICE_ACCOUNT,
    row: rows::service_account,
    warnings: warn::service_account,
    ..PLAIN
};

/// Of a reference to a secret only the name counts.
fn clean_secrets(object: &mut Object) {
    let names: Vec<Value> = maps(object.root(), "secrets")
        .map(|s| {
            let only: Map = [("name", text(s, "name"))].into_iter().collect();
            Value::Map(only)
        })
        .collect();
    if !names.is_empty() {
        object.root_mut().insert("secrets", names);
    }
}

/// A claim inside a StatefulSet carries a status of its own.
pub(crate) fn claim_status(claim: &mut Map) {
    crate::tree::fill_zero(claim.map_mut("status"), "phase", "Pending");
}

/// The replicas a spec asks for, for tables.
pub(crate) fn replicas(spec: Option<&Map>) -> i64 {
    spec.and_then(|s| int(s, "replicas")).unwrap_or(0)
}
