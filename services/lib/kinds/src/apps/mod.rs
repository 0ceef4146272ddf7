//! The apps group.

mod defaults;

use crate::kind::{Generation, Kind, PLAIN};
use crate::rows;
use crate::strategy::{keep_metadata, no_status, split};
use crate::tree::same;
use crate::{validate, warn};

const SPEC: Generation = Generation::On(&["spec"]);

pub(crate) static DEPLOYMENT: Kind = Kind {
    validate: validate::deployment,
    validate_update: validate::deployment_update,
    default: defaults::deployment,
    create: no_status,
    update: |cx, object, old| {
        split(cx, object, old);
        if cx.subresource == "status" {
            keep_metadata(object, old, "labels");
        }
    },
    // revisions are kept in annotations, so those count
    generation: Generation::By(|new, old| {
        let annotations = |o: &schema::Object| o.metadata().get("annotations").cloned();
        !same(new.root().get("spec"), old.root().get("spec"))
            || !same(annotations(new).as_ref(), annotations(old).as_ref())
    }),
    columns: rows::DEPLOYMENT,
    row: rows::deployment,
    warnings: warn::deployment,
    ..PLAIN
};

pub(crate) static DAEMON_SET: Kind = Kind {
    validate: validate::daemon_set,
    validate_update: validate::daemon_set_update,
    default: defaults::daemon_set,
    create: |cx, object| {
        no_status(cx, object);
        let count: i64 = object.annotation(TEMPLATE_GENERATION).and_then(|v| v.parse().ok()).unwrap_or(0);
        if count < 1 {
            object.metadata_mut().map_mut("annotations").insert(TEMPLATE_GENERATION, "1");
        }
    },
    update: |cx, object, old| {
        split(cx, object, old);
        if cx.subresource != "status" {
            template_generation(object, old);
        }
    },
    generation: SPEC,
    columns: rows::DAEMON_SET,
    row: rows::daemon_set,
    warnings: warn::daemon_set,
    ..PLAIN
};

/// Counts the templates of a DaemonSet; a field once, an annotation since apps/v1.
pub(crate) const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

fn template_generation(object: &mut schema::Object, old: &schema::Object) {
    let before: i64 = old.annotation(TEMPLATE_GENERATION).and_then(|v| v.parse().ok()).unwrap_or(0);
    let changed = !same(object.at(&["spec", "template"]), old.at(&["spec", "template"]));
    let now = before + i64::from(changed);
    object.metadata_mut().map_mut("annotations").insert(TEMPLATE_GENERATION, now.to_string());
}

pub(crate) static STATEFUL_SET: Kind = Kind {
    validate: validate::stateful_set,
    validate_update: validate::stateful_set_update,
    default: defaults::stateful_set,
    name: crate::names::dns_label,
    create: no_status,
    update: split,
    generation: SPEC,
    columns: rows::STATEFUL_SET,
    row: rows::stateful_set,
    warnings: warn::stateful_set,
    ..PLAIN
};

pub(crate) static REPLICA_SET: Kind = Kind {
    validate: validate::replica_set,
    validate_update: validate::replica_set_update,
    default: defaults::replica_set,
    create: no_status,
    update: split,
    generation: SPEC,
    columns: rows::REPLICA_SET,
    row: rows::replica_set,
    warnings: warn::replica_set,
    ..PLAIN
};

pub(crate) static CONTROLLER_REVISION: Kind = Kind {
    validate: validate::controller_revision,
    validate_update: validate::controller_revision_update,
    columns: rows::CONTROLLER_REVISION,
    row: rows::controller_revision,
    ..PLAIN
};
