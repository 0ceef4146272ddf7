//! CertificateSigningRequest: who asks is the server's to say, and each endpoint changes its own part.
//!
//! # Upstream
//! `pkg/registry/certificates/certificates/strategy.go`

use schema::{Map, Object, Value};

use crate::Context;
use crate::kind::{Kind, PLAIN};
use crate::rows;
use crate::strategy::keep;
use crate::tree::{fill_zero, is_zero, maps_mut, text};
use crate::validate;

pub(crate) static CERTIFICATE_SIGNING_REQUEST: Kind = Kind {
    validate: validate::signing_request,
    validate_update: validate::signing_request_update,
    name: crate::names::any,
    create: |cx, object| {
        let spec = object.root_mut().map_mut("spec");
        // who asks is never the client's to say
        for key in ["username", "uid", "groups", "extra"] {
            spec.remove(key);
        }
        requester(cx, spec);
        object.root_mut().insert("status", Map::new());
    },
    update: update_request,
    labels: &["metadata.name", "metadata.namespace", "spec.signerName"],
    fields: &[("spec.signerName", &["spec", "signerName"])],
    columns: rows::CERTIFICATE_SIGNING_REQUEST,
    row: rows::certificate_signing_request,
    ..PLAIN
};

/// Who asks for a certificate, in the fields of its request.
fn requester(cx: &Context<'_>, spec: &mut Map) {
    let list = |texts: &[String]| texts.iter().map(|text| Value::from(text.as_str())).collect::<Vec<_>>();
    spec.insert("username", cx.user);
    if !cx.uid.is_empty() {
        spec.insert("uid", cx.uid);
    }
    if !cx.groups.is_empty() {
        spec.insert("groups", list(cx.groups));
    }
    if !cx.extra.is_empty() {
        let mut extra = Map::new();
        for (key, values) in cx.extra {
            extra.insert(key.clone(), list(values));
        }
        spec.insert("extra", extra);
    }
}

/// `/approval` sets conditions, `/status` the certificate; approvals once given stay.
fn update_request(cx: &Context<'_>, object: &mut Object, old: &Object) {
    keep(object, old, "spec");
    match cx.subresource {
        "status" => {
            let decided =
                |c: &&Value| c.as_map().is_some_and(|m| matches!(text(m, "type"), "Approved" | "Denied"));
            let kept: Vec<Value> =
                old.list_at(&["status", "conditions"]).iter().filter(decided).cloned().collect();
            let new = object.list_at(&["status", "conditions"]).iter().filter(|c| !decided(c)).cloned();
            let all: Vec<Value> = kept.into_iter().chain(new).collect();
            if !all.is_empty() {
                object.root_mut().map_mut("status").insert("conditions", all);
            }
            stamp_conditions(cx, object, old);
        }
        "approval" => {
            stamp_conditions(cx, object, old);
            let conditions = object.at(&["status", "conditions"]).cloned();
            keep(object, old, "status");
            crate::strategy::put(object.root_mut().map_mut("status"), "conditions", conditions);
        }
        _ => keep(object, old, "status"),
    }
}

fn stamp_conditions(cx: &Context<'_>, object: &mut Object, old: &Object) {
    let now = meta::time::rfc3339(cx.now);
    let Some(status) = object.root_mut().get_mut("status").and_then(Value::as_map_mut) else { return };
    for condition in maps_mut(status, "conditions") {
        fill_zero(condition, "lastUpdateTime", now.clone());
        if is_zero(condition, "lastTransitionTime") {
            let kind = text(condition, "type").to_owned();
            let before = old.list_at(&["status", "conditions"]).iter().filter_map(Value::as_map);
            let same =
                before.filter(|c| text(c, "type") == kind && text(c, "status") == text(condition, "status"));
            let time = same.map(|c| text(c, "lastTransitionTime").to_owned()).find(|t| !t.is_empty());
            condition.insert("lastTransitionTime", time.unwrap_or_else(|| now.clone()));
        }
    }
}
