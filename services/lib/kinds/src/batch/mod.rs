//! The batch group.

mod defaults;

use std::borrow::Cow;

use schema::{Map, Object};

use crate::Context;
use crate::kind::{Generation, Kind, PLAIN};
use crate::rows;
use crate::strategy::{no_status, split};
use crate::tree::{flag, map_mut};
use crate::{validate, warn};

const SPEC: Generation = Generation::On(&["spec"]);

pub(crate) static JOB: Kind = Kind {
    validate: validate::job,
    validate_update: validate::job_update,
    metadata_twice: false,
    default: defaults::job,
    create: create_job,
    update: split,
    generation: SPEC,
    labels: &["metadata.name", "metadata.namespace", "status.successful"],
    field: |object, label| {
        (label == "status.successful")
            .then(|| Cow::Owned(object.int_at(&["status", "succeeded"]).unwrap_or(0).to_string()))
    },
    columns: rows::JOB,
    row: rows::job,
    warnings: warn::job,
    ..PLAIN
};

/// A job selects its own pods by its uid, which is set before this runs.
///
/// # Upstream
/// `pkg/registry/batch/job/strategy.go` `generateSelector`
fn create_job(cx: &Context<'_>, object: &mut Object) {
    no_status(cx, object);
    let (name, uid) = (object.name().to_owned(), object.uid().to_owned());
    let Some(spec) = map_mut(object.root_mut(), "spec") else { return };
    if flag(spec, "manualSelector") {
        return;
    }
    let labels = spec.map_mut("template").map_mut("metadata").map_mut("labels");
    let mut missing = |key: &'static str, value: &str| {
        if !labels.contains_key(key) {
            labels.push(key, value);
        }
    };
    missing("job-name", &name);
    missing("batch.kubernetes.io/job-name", &name);
    missing("controller-uid", &uid);
    missing("batch.kubernetes.io/controller-uid", &uid);
    labels.sort_keys();
    let selected: &mut Map = spec.map_mut("selector").map_mut("matchLabels");
    if !selected.contains_key("batch.kubernetes.io/controller-uid") {
        selected.insert("batch.kubernetes.io/controller-uid", uid);
    }
}

pub(crate) static CRON_JOB: Kind = Kind {
    validate: validate::cron_job,
    validate_update: validate::cron_job_update,
    default: defaults::cron_job,
    create: no_status,
    update: split,
    generation: SPEC,
    columns: rows::CRON_JOB,
    row: rows::cron_job,
    warnings: warn::cron_job,
    ..PLAIN
};
