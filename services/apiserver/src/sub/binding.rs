//! Binding a pod to a node.
//!
//! # Upstream
//! `pkg/registry/core/pod/storage/storage.go` `BindingREST`

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Response};
use meta::GroupVersionKind;
use schema::{Map, Object, Value};
use web::Body;

use super::{admit, created, decode_as};
use crate::auth::User;
use crate::encode::{self, Answer};
use crate::errors::{self, Result};
use crate::request::RequestInfo;
use crate::request::options::WriteOptions;
use crate::server::Server;
use crate::verbs::update::change;
use crate::verbs::write::{Computed, Managed, Source};
use crate::verbs::{Call, meta::timestamp};

struct Bind {
    node: String,
    uid: String,
    annotations: Map,
    labels: Map,
}

fn merge(object: &mut Object, field: &'static str, from: &Map) {
    if from.is_empty() {
        return;
    }
    let target = object.metadata_mut().map_mut(field);
    for (key, value) in from.iter() {
        target.insert(key.clone(), value.clone());
    }
}

/// Sets a condition of a pod, keeping its time when its status stays.
pub fn set_condition(object: &mut Object, condition: Map, now: jiff::Timestamp) {
    let mut condition = condition;
    let status = object.root_mut().map_mut("status");
    let list = status.get_or_insert_with("conditions", || Value::List(Vec::new()));
    let Some(list) = list.as_list_mut() else { return };
    let kind = condition.get("type").cloned();
    let found = list.iter_mut().find(|c| c.at(&["type"]) == kind.as_ref());
    let same = found.as_ref().is_some_and(|c| c.at(&["status"]) == condition.get("status"));
    let time = match found.as_ref().and_then(|c| c.at(&["lastTransitionTime"])) {
        Some(time) if same => time.clone(),
        _ => Value::from(timestamp(now)),
    };
    condition.insert("lastTransitionTime", time);
    match found {
        Some(slot) => *slot = Value::Map(condition),
        None => list.push(Value::Map(condition)),
    }
}

impl Source for Bind {
    fn compute(&mut self, call: &Call, old: &Object) -> Result<Computed> {
        let resource = meta::GroupResource { group: String::new(), resource: "pods/binding".into() };
        let name = old.name();
        let refuse = |why: String| Err(errors::conflict(&resource, name, &why));
        if !self.uid.is_empty() && self.uid != old.uid() {
            return refuse(format!(
                "Precondition failed: UID in precondition: {}, UID in object meta: {}",
                self.uid,
                old.uid()
            ));
        }
        if old.deletion_timestamp().is_some() {
            return refuse(format!("pod {name} is being deleted, cannot be assigned to a host"));
        }
        let bound = old.str_at(&["spec", "nodeName"]);
        if !bound.is_empty() {
            return refuse(format!("pod {name} is already assigned to node {bound:?}"));
        }
        if !old.list_at(&["spec", "schedulingGates"]).is_empty() {
            return refuse(format!("pod {name} has non-empty .spec.schedulingGates"));
        }
        let mut object = old.clone();
        object.set(&["spec", "nodeName"], self.node.as_str());
        merge(&mut object, "annotations", &self.annotations);
        merge(&mut object, "labels", &self.labels);
        let mut condition = Map::new();
        condition.insert("type", "PodScheduled");
        condition.insert("status", "True");
        set_condition(&mut object, condition, call.now);
        Ok(Computed { object, managed: Managed::Done, insists_on: String::new() })
    }
}

fn gvk() -> GroupVersionKind {
    GroupVersionKind::new("", "v1", "Binding")
}

/// POST of `pods/<name>/binding`.
pub async fn run(call: &Call) -> Result<Answer> {
    let options = WriteOptions::read(call.query.as_deref(), "CreateOptions", call.agent(), None)?;
    let (mut body, _) = decode_as(&call.headers, &call.body, &gvk())?;
    if !body.name().is_empty() && body.name() != call.info.name {
        return Err(errors::bad_request("name in URL does not match name in Binding object"));
    }
    let (kind, node) =
        (body.str_at(&["target", "kind"]).to_owned(), body.str_at(&["target", "name"]).to_owned());
    let mut problems = Vec::new();
    if !kind.is_empty() && kind != "Node" {
        problems.push(meta::field::Error::not_supported("target.kind", &kind, &["Node", "<empty>"]));
    }
    if node.is_empty() {
        problems.push(meta::field::Error::required("target.name", ""));
    }
    if !problems.is_empty() {
        // upstream does not classify it
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        return Err(errors::unclassified(match texts.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        }));
    }
    admit(call, &mut body, options.dry_run).await?;
    let map = |field: &str| body.metadata().get(field).and_then(Value::as_map).cloned().unwrap_or_default();
    let uid = body.uid().to_owned();
    let bind = Bind { node, uid, annotations: map("annotations"), labels: map("labels") };
    change(call, &options, bind).await?;
    created(call)
}

/// POST of a `Binding` to the old `bindings` resource: the pod is the binding's name.
pub async fn legacy(
    server: &Arc<Server>,
    info: RequestInfo,
    user: User,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response<Body>> {
    let (binding, _) = decode_as(&headers, &body, &gvk())?;
    let info = RequestInfo {
        resource: "pods".into(),
        subresource: "binding".into(),
        name: binding.name().to_owned(),
        ..info
    };
    let call = Call {
        server: server.clone(),
        endpoint: server.endpoint("", "pods")?,
        info,
        user,
        query: None,
        headers,
        body,
        now: jiff::Timestamp::now(),
        warnings: Mutex::default(),
    };
    let answer = run(&call).await?;
    encode::respond(&call, answer)
}
