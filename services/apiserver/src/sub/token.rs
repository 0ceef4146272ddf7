//! Tokens for service accounts.
//!
//! # Upstream
//! `pkg/registry/core/serviceaccount/storage/token.go`

use auth::token::{Private, Reference};
use meta::{GroupVersionKind, field};
use schema::{Object, Value};

use super::{admit, decode_as, plain_form};
use crate::codec::Writer;
use crate::encode::Answer;
use crate::errors::{self, Result};
use crate::request::options::manager_from_agent;
use crate::verbs::Call;
use crate::verbs::meta::{new_uid, timestamp};

const MIN_SECONDS: i64 = 600;
const MAX_SECONDS: i64 = 1 << 32;
/// Tokens of pods that ask for this are given a year, and a warning after the time asked for.
const POD_SECONDS: i64 = 3607;
const EXTENDED_SECONDS: i64 = 365 * 24 * 3600;

/// POST of `serviceaccounts/<name>/token`.
pub async fn run(call: &Call) -> Result<Answer> {
    let form = plain_form(&call.headers)?;
    let gvk = GroupVersionKind::new("authentication.k8s.io", "v1", "TokenRequest");
    let (mut request, schema) = decode_as(&call.headers, &call.body, &gvk)?;
    let account = call.server.read("", "serviceaccounts", &call.info.namespace, &call.info.name).await?;
    let account = account.ok_or_else(|| call.missing())?;
    let seconds = request.int_at(&["spec", "expirationSeconds"]).unwrap_or(3600);
    let mut problems = Vec::new();
    if seconds < MIN_SECONDS {
        problems.push(field::Error::invalid(
            "spec.expirationSeconds",
            seconds,
            "may not specify a duration less than 10 minutes",
        ));
    }
    if seconds > MAX_SECONDS {
        problems.push(field::Error::invalid(
            "spec.expirationSeconds",
            seconds,
            "may not specify a duration larger than 2^32 seconds",
        ));
    }
    if !problems.is_empty() {
        return Err(errors::invalid("authentication.k8s.io", "TokenRequest", "", &problems));
    }
    request.set(&["spec", "expirationSeconds"], seconds);
    let manager = manager_from_agent(call.agent());
    let writer = Writer { manager: &manager, subresource: "token", resets: &[], now: call.now };
    schema.track_update(None, &mut request, writer);
    admit(call, &mut request, false).await?;
    let mut audiences: Vec<String> =
        request.list_at(&["spec", "audiences"]).iter().filter_map(Value::as_str).map(str::to_owned).collect();
    if audiences.is_empty() {
        audiences.clone_from(&call.server.tokens.audiences);
        let list: Vec<Value> = audiences.iter().map(|a| Value::from(a.as_str())).collect();
        request.set(&["spec", "audiences"], list);
    }
    let private = bound(call, &request, &account).await?;
    let of_pod = private.pod.is_some() && seconds == POD_SECONDS && audiences == call.server.tokens.audiences;
    let (life, warn) = if of_pod { (EXTENDED_SECONDS, Some(seconds)) } else { (seconds, None) };
    let (token, _) = call.server.tokens.issue(private, audiences, life, warn)?;
    // the client is told the time it asked for, so that it renews
    let expires = call.now + jiff::SignedDuration::from_secs(seconds);
    request.set(&["metadata", "name"], call.info.name.as_str());
    request.set(&["metadata", "namespace"], call.info.namespace.as_str());
    request.set(&["metadata", "uid"], new_uid());
    request.set(&["metadata", "creationTimestamp"], timestamp(call.now));
    request.set(&["status", "token"], token);
    request.set(&["status", "expirationTimestamp"], timestamp(expires));
    Ok(Answer::Typed(form, http::StatusCode::CREATED, request, schema))
}

async fn bound(call: &Call, request: &Object, account: &Object) -> Result<Private> {
    let namespace = &call.info.namespace;
    let reference = |o: &Object| Reference { name: o.name().into(), uid: o.uid().into() };
    let mut private =
        Private { namespace: namespace.clone(), serviceaccount: reference(account), ..Private::default() };
    let text = |field: &str| request.str_at(&["spec", "boundObjectRef", field]).to_owned();
    let (kind, name, uid) = (text("kind"), text("name"), text("uid"));
    if kind.is_empty() {
        return Ok(private);
    }
    let (plural, home) = match (text("apiVersion").as_str(), kind.as_str()) {
        ("v1", "Pod") => ("pods", namespace.as_str()),
        ("v1", "Secret") => ("secrets", namespace.as_str()),
        ("v1", "Node") => ("nodes", ""),
        (version, kind) => {
            return Err(errors::bad_request(format!(
                "cannot bind token for serviceaccount {:?} to type {version:?}, {kind:?}",
                account.name()
            )));
        }
    };
    let resource = meta::GroupResource { group: String::new(), resource: plural.into() };
    let object = call.server.read("", plural, home, &name).await?;
    let object = object.ok_or_else(|| errors::not_found(&resource, &name))?;
    if !uid.is_empty() && uid != object.uid() {
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return Err(errors::conflict(&resource, &name, &why));
    }
    match plural {
        "pods" => {
            if object.str_at(&["spec", "serviceAccountName"]) != account.name() {
                return Err(errors::bad_request(format!(
                    "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
                    account.name()
                )));
            }
            private.pod = Some(reference(&object));
            let node = object.str_at(&["spec", "nodeName"]);
            if let Some(node) = call.server.peek("", "nodes", "", node)?.filter(|_| !node.is_empty()) {
                private.node = Some(reference(&node));
            }
        }
        "secrets" => private.secret = Some(reference(&object)),
        _ => private.node = Some(reference(&object)),
    }
    Ok(private)
}
