//! The groups whose kinds are small: networking, policy, rbac, storage, scheduling, devices, admission, ….

mod autoscaling;
mod certificates;
mod defaults;
mod events;

use std::borrow::Cow;

use schema::{Map, Object, Value};

pub(crate) use certificates::CERTIFICATE_SIGNING_REQUEST;
pub(crate) use events::convert as convert_event;

use crate::kind::{Generation, Kind, PLAIN};
use crate::rows;
use crate::strategy::{no_status, split, split_all};
use crate::tree::{flag, maps, same, text};
use crate::{validate, warn};

const SPEC: Generation = Generation::On(&["spec"]);

/// k3s's record of an applied manifest.
pub(crate) static ADDON: Kind = Kind { generation: SPEC, columns: rows::ADDON, row: rows::addon, ..PLAIN };

/// Role, ClusterRole: names are path segments.
pub(crate) static ROLE: Kind = Kind {
    create: |_, object| no_empty_rules(object),
    update: |_, object, _| no_empty_rules(object),
    validate: validate::role,
    validate_update: |cx, new, _| validate::role(cx, new),
    name: crate::names::path_segment,
    ..PLAIN
};

/// Rules that are none are not stored: what is read back says null.
fn no_empty_rules(object: &mut Object) {
    if object.list_at(&["rules"]).is_empty() {
        object.root_mut().remove("rules");
    }
}

pub(crate) static ROLE_BINDING: Kind = Kind {
    validate: validate::role_binding,
    validate_update: validate::role_binding_update,
    default: defaults::binding,
    name: crate::names::path_segment,
    columns: rows::ROLE_BINDING,
    row: rows::role_binding,
    ..PLAIN
};

pub(crate) static CLUSTER_ROLE_BINDING: Kind = Kind {
    validate: validate::role_binding,
    validate_update: validate::role_binding_update,
    default: defaults::binding,
    name: crate::names::path_segment,
    columns: rows::CLUSTER_ROLE_BINDING,
    row: rows::role_binding,
    ..PLAIN
};

pub(crate) static HORIZONTAL_POD_AUTOSCALER: Kind = Kind {
    validate: validate::autoscaler,
    validate_update: validate::autoscaler_update,
    default: defaults::autoscaler,
    convert: autoscaling::convert,
    create: no_status,
    update: split,
    columns: rows::HORIZONTAL_POD_AUTOSCALER,
    row: rows::horizontal_pod_autoscaler,
    ..PLAIN
};

pub(crate) static INGRESS: Kind = Kind {
    validate: validate::ingress,
    validate_update: validate::ingress_update,
    create: no_status,
    update: split,
    generation: SPEC,
    columns: rows::INGRESS,
    row: rows::ingress,
    warnings: warn::ingress,
    status_warnings: warn::ingress_status,
    ..PLAIN
};

pub(crate) static INGRESS_CLASS: Kind = Kind {
    validate: validate::ingress_class,
    validate_update: validate::ingress_class_update,
    default: defaults::ingress_class,
    generation: SPEC,
    columns: rows::INGRESS_CLASS,
    row: rows::ingress_class,
    ..PLAIN
};

pub(crate) static NETWORK_POLICY: Kind = Kind {
    validate: validate::network_policy,
    validate_update: |cx, new, _| validate::network_policy(cx, new),
    default: defaults::network_policy,
    generation: SPEC,
    columns: rows::NETWORK_POLICY,
    row: rows::network_policy,
    warnings: warn::network_policy,
    ..PLAIN
};

pub(crate) static SERVICE_CIDR: Kind = Kind {
    validate: validate::service_cidr,
    validate_update: validate::service_cidr_update,
    update: split_all,
    create: no_status,
    columns: rows::SERVICE_CIDR,
    row: rows::service_cidr,
    ..PLAIN
};

pub(crate) static IP_ADDRESS: Kind = Kind {
    validate: validate::ip_address,
    validate_update: validate::ip_address_update,
    name: crate::names::ip_address,
    columns: rows::IP_ADDRESS,
    row: rows::ip_address,
    ..PLAIN
};

pub(crate) static POD_DISRUPTION_BUDGET: Kind = Kind {
    validate: validate::disruption_budget,
    validate_update: |cx, new, _| validate::disruption_budget(cx, new),
    metadata_twice: false,
    name: crate::names::any,
    create: no_status,
    update: split,
    generation: SPEC,
    columns: rows::POD_DISRUPTION_BUDGET,
    row: rows::pod_disruption_budget,
    ..PLAIN
};

pub(crate) static STORAGE_CLASS: Kind = Kind {
    validate: validate::storage_class,
    validate_update: validate::storage_class_update,
    default: defaults::storage_class,
    columns: rows::STORAGE_CLASS,
    row: rows::storage_class,
    warnings: warn::storage_class,
    ..PLAIN
};

pub(crate) static VOLUME_ATTRIBUTES_CLASS: Kind = Kind {
    validate: validate::attributes_class,
    validate_update: validate::attributes_class_update,
    columns: rows::VOLUME_ATTRIBUTES_CLASS,
    row: rows::volume_attributes_class,
    ..PLAIN
};

pub(crate) static VOLUME_ATTACHMENT: Kind = Kind {
    validate: validate::volume_attachment,
    validate_update: validate::volume_attachment_update,
    metadata_twice: false,
    default: defaults::volume_attachment,
    create: |_, object| {
        let status: Map = [("attached", false)].into_iter().collect();
        object.root_mut().insert("status", status);
    },
    update: split_all,
    columns: rows::VOLUME_ATTACHMENT,
    row: rows::volume_attachment,
    ..PLAIN
};

pub(crate) static CSI_DRIVER: Kind = Kind {
    default: defaults::csi_driver,
    columns: rows::CSI_DRIVER,
    row: rows::csi_driver,
    warnings: warn::csi_driver,
    ..PLAIN
};

pub(crate) static CSI_NODE: Kind =
    Kind { metadata_twice: false, columns: rows::CSI_NODE, row: rows::csi_node, ..PLAIN };

/// Its columns are the plain ones: upstream has others that no endpoint shows.
pub(crate) static CSI_STORAGE_CAPACITY: Kind = Kind {
    validate: validate::storage_capacity,
    validate_update: validate::storage_capacity_update,
    warnings: warn::storage_capacity,
    ..PLAIN
};

pub(crate) static LEASE: Kind = Kind {
    validate: validate::lease,
    validate_update: |cx, new, _| validate::lease(cx, new),
    columns: rows::LEASE,
    row: rows::lease,
    ..PLAIN
};

pub(crate) static LEASE_CANDIDATE: Kind =
    Kind { columns: rows::LEASE_CANDIDATE, row: rows::lease_candidate, ..PLAIN };

pub(crate) static RUNTIME_CLASS: Kind = Kind {
    validate: validate::runtime_class,
    validate_update: validate::runtime_class_update,
    columns: rows::RUNTIME_CLASS,
    row: rows::runtime_class,
    warnings: warn::runtime_class,
    ..PLAIN
};

pub(crate) static PRIORITY_CLASS: Kind = Kind {
    validate: validate::priority_class,
    validate_update: validate::priority_class_update,
    default: defaults::priority_class,
    generation: Generation::On(&[]),
    columns: rows::PRIORITY_CLASS,
    row: rows::priority_class,
    ..PLAIN
};

pub(crate) static WORKLOAD: Kind = Kind { columns: rows::WORKLOAD, row: rows::name_age, ..PLAIN };

pub(crate) static POD_GROUP: Kind = Kind {
    default: defaults::pod_group,
    create: no_status,
    update: split_all,
    columns: rows::POD_GROUP,
    row: rows::pod_group,
    ..PLAIN
};

pub(crate) static ENDPOINT_SLICE: Kind = Kind {
    validate: validate::endpoint_slice,
    validate_update: validate::endpoint_slice_update,
    metadata_twice: false,
    default: defaults::endpoint_slice,
    // any change of content or labels counts, other metadata does not
    generation: Generation::By(|new, old| {
        let content = |o: &Object| {
            let mut root = o.root().clone();
            root.remove("metadata");
            Value::Map(root)
        };
        !same(Some(&content(new)), Some(&content(old)))
            || !same(new.metadata().get("labels"), old.metadata().get("labels"))
    }),
    columns: rows::ENDPOINT_SLICE,
    row: rows::endpoint_slice,
    warnings: warn::endpoint_slice,
    ..PLAIN
};

pub(crate) static CLUSTER_TRUST_BUNDLE: Kind = Kind {
    name: crate::names::any,
    labels: &["metadata.name", "metadata.namespace", "spec.signerName"],
    fields: &[("spec.signerName", &["spec", "signerName"])],
    columns: rows::CLUSTER_TRUST_BUNDLE,
    row: rows::cluster_trust_bundle,
    ..PLAIN
};

pub(crate) static POD_CERTIFICATE_REQUEST: Kind = Kind {
    default: defaults::pod_certificate_request,
    create: no_status,
    update: split_all,
    labels: &["metadata.name", "metadata.namespace", "spec.signerName", "spec.podName", "spec.nodeName"],
    fields: &[
        ("spec.signerName", &["spec", "signerName"]),
        ("spec.podName", &["spec", "podName"]),
        ("spec.nodeName", &["spec", "nodeName"]),
    ],
    columns: rows::POD_CERTIFICATE_REQUEST,
    row: rows::pod_certificate_request,
    ..PLAIN
};

pub(crate) static FLOW_SCHEMA: Kind = Kind {
    validate: validate::flow_schema,
    validate_update: |cx, new, _| validate::flow_schema(cx, new),
    metadata_twice: false,
    default: defaults::flow_schema,
    create: no_status,
    update: split_all,
    generation: SPEC,
    columns: rows::FLOW_SCHEMA,
    row: rows::flow_schema,
    ..PLAIN
};

pub(crate) static PRIORITY_LEVEL_CONFIGURATION: Kind = Kind {
    validate: validate::priority_level,
    validate_update: |cx, new, _| validate::priority_level(cx, new),
    metadata_twice: false,
    default: defaults::priority_level,
    create: no_status,
    update: split_all,
    generation: SPEC,
    columns: rows::PRIORITY_LEVEL_CONFIGURATION,
    row: rows::priority_level,
    ..PLAIN
};

pub(crate) static VALIDATING_WEBHOOK_CONFIGURATION: Kind = Kind {
    metadata_twice: false,
    default: |_, root| defaults::webhooks(false, root),
    generation: Generation::On(&["webhooks"]),
    columns: rows::VALIDATING_WEBHOOK_CONFIGURATION,
    row: rows::webhook_configuration,
    warnings: warn::reserved_name,
    ..PLAIN
};

pub(crate) static MUTATING_WEBHOOK_CONFIGURATION: Kind = Kind {
    metadata_twice: false,
    default: |_, root| defaults::webhooks(true, root),
    generation: Generation::On(&["webhooks"]),
    columns: rows::MUTATING_WEBHOOK_CONFIGURATION,
    row: rows::webhook_configuration,
    warnings: warn::reserved_name,
    ..PLAIN
};

pub(crate) static VALIDATING_ADMISSION_POLICY: Kind = Kind {
    validate: validate::admission_policy,
    validate_update: |cx, new, _| validate::admission_policy(cx, new),
    metadata_twice: false,
    default: defaults::admission_policy,
    create: no_status,
    update: split_all,
    generation: SPEC,
    columns: rows::VALIDATING_ADMISSION_POLICY,
    row: rows::validating_admission_policy,
    warnings: warn::reserved_name,
    status_warnings: |object| warn::reserved_name(object, None),
    ..PLAIN
};

pub(crate) static VALIDATING_ADMISSION_POLICY_BINDING: Kind = Kind {
    validate: validate::admission_binding,
    validate_update: |cx, new, _| validate::admission_binding(cx, new),
    metadata_twice: false,
    default: defaults::admission_binding,
    generation: SPEC,
    columns: rows::VALIDATING_ADMISSION_POLICY_BINDING,
    row: rows::admission_policy_binding,
    warnings: warn::reserved_name,
    ..PLAIN
};

pub(crate) static MUTATING_ADMISSION_POLICY: Kind = Kind {
    default: defaults::admission_policy,
    generation: SPEC,
    columns: rows::MUTATING_ADMISSION_POLICY,
    row: rows::mutating_admission_policy,
    warnings: warn::reserved_name,
    ..PLAIN
};

pub(crate) static MUTATING_ADMISSION_POLICY_BINDING: Kind = Kind {
    default: defaults::admission_binding,
    generation: SPEC,
    columns: rows::MUTATING_ADMISSION_POLICY_BINDING,
    row: rows::admission_policy_binding,
    warnings: warn::reserved_name,
    ..PLAIN
};

pub(crate) static DEVICE_CLASS: Kind =
    Kind { generation: SPEC, columns: rows::DEVICE_CLASS, row: rows::name_age, ..PLAIN };

pub(crate) static RESOURCE_CLAIM: Kind = Kind {
    default: defaults::claim,
    create: no_status,
    update: split_all,
    columns: rows::RESOURCE_CLAIM,
    row: rows::resource_claim,
    ..PLAIN
};

pub(crate) static RESOURCE_CLAIM_TEMPLATE: Kind = Kind {
    default: defaults::claim_template,
    columns: rows::RESOURCE_CLAIM_TEMPLATE,
    row: rows::name_age,
    ..PLAIN
};

pub(crate) static RESOURCE_SLICE: Kind = Kind {
    validate: validate::resource_slice,
    validate_update: validate::resource_slice_update,
    generation: SPEC,
    labels: &["metadata.name", "metadata.namespace", "spec.nodeName", "spec.driver"],
    fields: &[("spec.nodeName", &["spec", "nodeName"]), ("spec.driver", &["spec", "driver"])],
    columns: rows::RESOURCE_SLICE,
    row: rows::resource_slice,
    warnings: warn::resource_slice,
    ..PLAIN
};

pub(crate) static DEVICE_TAINT_RULE: Kind = Kind {
    create: no_status,
    update: split_all,
    generation: SPEC,
    columns: rows::DEVICE_TAINT_RULE,
    row: rows::device_taint_rule,
    ..PLAIN
};

pub(crate) static STORAGE_VERSION: Kind = Kind {
    create: no_status,
    update: split_all,
    columns: rows::STORAGE_VERSION,
    row: rows::storage_version,
    ..PLAIN
};

pub(crate) static STORAGE_VERSION_MIGRATION: Kind = Kind {
    create: no_status,
    update: split_all,
    columns: rows::STORAGE_VERSION_MIGRATION,
    row: rows::storage_version_migration,
    ..PLAIN
};

pub(crate) static CUSTOM_RESOURCE_DEFINITION: Kind = Kind {
    default: defaults::custom_resource_definition,
    create: |cx, object| {
        no_status(cx, object);
        stored_version(object);
    },
    update: |cx, object, old| {
        split_all(cx, object, old);
        if cx.subresource != "status" {
            stored_version(object);
        }
    },
    generation: SPEC,
    warnings: warn::definition,
    ..PLAIN
};

/// The storage version is among the stored ones.
fn stored_version(object: &mut Object) {
    let spec = object.map_at(&["spec"]);
    let version = spec
        .and_then(|s| maps(s, "versions").find(|v| flag(v, "storage")).map(|v| text(v, "name").to_owned()));
    let mut stored = object.list_at(&["status", "storedVersions"]).to_vec();
    if let Some(version) = version
        && !stored.iter().any(|v| v.as_str() == Some(&version))
    {
        stored.push(Value::Str(version));
        object.root_mut().map_mut("status").insert("storedVersions", stored);
    }
}

pub(crate) static API_SERVICE: Kind = Kind {
    // the core group's is `v1.`
    name: crate::names::path_segment,
    columns: rows::API_SERVICE,
    row: rows::api_service,
    default: defaults::api_service,
    create: |cx, object| {
        no_status(cx, object);
        let local = object.at(&["spec", "service"]).is_none_or(Value::is_null);
        if local {
            // a group served by this server itself is always there
            let condition: [(&str, String); 5] = [
                ("type", "Available".into()),
                ("status", "True".into()),
                ("reason", "Local".into()),
                ("message", "Local APIServices are always available".into()),
                ("lastTransitionTime", meta::time::rfc3339(cx.now)),
            ];
            let condition: Map = condition.into_iter().collect();
            object.root_mut().map_mut("status").insert("conditions", vec![Value::Map(condition)]);
        }
    },
    update: split_all,
    field: |_, _| None::<Cow<'static, str>>,
    ..PLAIN
};
