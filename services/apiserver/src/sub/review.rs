//! Reviews: questions about users, tokens and rights. Nothing of them is stored.
//!
//! # Upstream
//! `pkg/registry/authentication`, `pkg/registry/authorization`

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use meta::GroupVersionKind;
use schema::{Map, Object, Value};

use super::decode_as;
use crate::auth::{Attributes, Decision, User};
use crate::codec::{Type, Writer};
use crate::errors::{self, Result};
use crate::request::RequestInfo;
use crate::request::options::manager_from_agent;
use crate::server::Server;

/// Answers a review.
pub async fn answer(
    server: &Arc<Server>,
    info: &RequestInfo,
    user: &User,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<(Object, Type)> {
    let kind = match info.resource.as_str() {
        "tokenreviews" => "TokenReview",
        "selfsubjectreviews" => "SelfSubjectReview",
        "subjectaccessreviews" => "SubjectAccessReview",
        "selfsubjectaccessreviews" => "SelfSubjectAccessReview",
        "localsubjectaccessreviews" => "LocalSubjectAccessReview",
        "selfsubjectrulesreviews" => "SelfSubjectRulesReview",
        _ => return Err(errors::unknown_resource()),
    };
    if info.version != "v1" {
        return Err(errors::unknown_resource());
    }
    let gvk = GroupVersionKind::new(&info.group, &info.version, kind);
    let (mut object, schema) = decode_as(headers, body, &gvk)?;
    let now = jiff::Timestamp::now();
    if kind != "SelfSubjectRulesReview" {
        let agent = headers.get("user-agent").and_then(|v| v.to_str().ok()).unwrap_or("");
        let manager = manager_from_agent(agent);
        let writer = Writer { manager: &manager, subresource: "", resets: &[&["status"]], now };
        schema.track_update(None, &mut object, writer);
    }
    match kind {
        "TokenReview" => token(server, &mut object).await?,
        "SelfSubjectReview" => {
            object.set(&["metadata", "creationTimestamp"], crate::verbs::meta::timestamp(now));
            object.set(&["status", "userInfo"], user_info(user));
        }
        "SelfSubjectRulesReview" => rules(server, user, &mut object)?,
        "SelfSubjectAccessReview" => access(server, user, &mut object).await?,
        _ => {
            let asked = subject(&object);
            let mut problems = one_question(&object);
            if asked.name.is_empty() && asked.groups.is_empty() {
                let detail = "at least one of user or group must be specified";
                problems.push(meta::field::Error::invalid_str("spec.user", "", detail));
            }
            if !problems.is_empty() {
                // upstream names no kind here
                return Err(errors::invalid(&gvk.group, "", "", &problems));
            }
            if kind == "LocalSubjectAccessReview" {
                let namespace = object.str_at(&["spec", "resourceAttributes", "namespace"]);
                if namespace != info.namespace {
                    return Err(errors::bad_request(format!(
                        "spec.resourceAttributes.namespace must match namespace: {}",
                        info.namespace
                    )));
                }
            }
            access(server, &asked, &mut object).await?;
        }
    }
    Ok((object, schema))
}

fn strings(values: &[String]) -> Vec<Value> {
    values.iter().map(|v| Value::from(v.as_str())).collect()
}

fn user_info(user: &User) -> Map {
    let mut map = Map::new();
    map.insert("username", user.name.as_str());
    if !user.uid.is_empty() {
        map.insert("uid", user.uid.as_str());
    }
    map.insert("groups", strings(&user.groups));
    if !user.extra.is_empty() {
        let extra: Map = user.extra.iter().map(|(k, v)| (k.clone(), Value::List(strings(v)))).collect();
        map.insert("extra", extra);
    }
    map
}

async fn token(server: &Arc<Server>, object: &mut Object) -> Result<()> {
    let token = object.str_at(&["spec", "token"]).to_owned();
    let list = object.list_at(&["spec", "audiences"]).iter().filter_map(Value::as_str);
    let mut audiences: Vec<String> = list.map(str::to_owned).collect();
    let asked = !audiences.is_empty();
    if !asked {
        audiences.clone_from(&server.tokens.audiences);
    }
    let judged = match &server.token_authenticator {
        Some(judge) => judge.service_account(&token, &audiences).await,
        None => Ok(None),
    };
    match judged {
        Ok(Some((user, matching))) => {
            object.set(&["status", "authenticated"], true);
            object.set(&["status", "user"], user_info(&user.authenticated()));
            if asked {
                object.set(&["status", "audiences"], strings(&matching));
            }
        }
        Ok(None) => object.set(&["status", "error"], "invalid bearer token"),
        Err(error) => object.set(&["status", "error"], error.to_string()),
    }
    Ok(())
}

fn subject(object: &Object) -> User {
    let list = object.list_at(&["spec", "groups"]).iter().filter_map(Value::as_str);
    let mut extra = BTreeMap::new();
    if let Some(map) = object.map_at(&["spec", "extra"]) {
        for (key, values) in map.iter() {
            let values = values.as_list().unwrap_or(&[]).iter().filter_map(Value::as_str).map(str::to_owned);
            extra.insert(key.to_string(), values.collect());
        }
    }
    User {
        name: object.str_at(&["spec", "user"]).to_owned(),
        uid: object.str_at(&["spec", "uid"]).to_owned(),
        groups: list.map(str::to_owned).collect(),
        extra,
    }
}

/// Verbs are compared as they are: any text may be asked for.
fn asked_info(object: &Object) -> Option<RequestInfo> {
    let at = |kind: &'static str, key: &'static str| object.str_at(&["spec", kind, key]).to_owned();
    if object.map_at(&["spec", "resourceAttributes"]).is_some() {
        let text = |key| at("resourceAttributes", key);
        return Some(RequestInfo {
            is_resource: true,
            verb: crate::sub::review::intern(&text("verb")),
            group: text("group"),
            version: text("version"),
            namespace: text("namespace"),
            resource: text("resource"),
            subresource: text("subresource"),
            name: text("name"),
            ..RequestInfo::default()
        });
    }
    object.map_at(&["spec", "nonResourceAttributes"])?;
    Some(RequestInfo {
        verb: intern(&at("nonResourceAttributes", "verb")),
        path: at("nonResourceAttributes", "path"),
        ..RequestInfo::default()
    })
}

/// The static text of a verb; an unknown one is none that any rule but `*` has.
pub fn intern(verb: &str) -> &'static str {
    const VERBS: [&str; 22] = [
        "get",
        "list",
        "watch",
        "create",
        "update",
        "patch",
        "delete",
        "deletecollection",
        "impersonate",
        "bind",
        "escalate",
        "approve",
        "sign",
        "attest",
        "use",
        "proxy",
        "head",
        "options",
        "post",
        "put",
        "*",
        "connect",
    ];
    VERBS.iter().find(|v| **v == verb).copied().unwrap_or("")
}

/// A review asks about a resource or about a path.
///
/// # Upstream
/// `pkg/apis/authorization/validation/validation.go`
fn one_question(object: &Object) -> Vec<meta::field::Error> {
    let asks = |key: &'static str| object.map_at(&["spec", key]).is_some();
    let detail = match (asks("resourceAttributes"), asks("nonResourceAttributes")) {
        (true, true) => "cannot be specified in combination with resourceAttributes",
        (false, false) => "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        _ => return Vec::new(),
    };
    if asks("resourceAttributes") {
        let path = "spec.nonResourceAttributes";
        return vec![meta::field::Error::invalid(path, "null", detail)];
    }
    vec![meta::field::Error::invalid("spec.resourceAttributes", "null", detail)]
}

async fn access(server: &Arc<Server>, user: &User, object: &mut Object) -> Result<()> {
    let problems = one_question(object);
    let Some(info) = asked_info(object).filter(|_| problems.is_empty()) else {
        return Err(errors::invalid("authorization.k8s.io", "", "", &problems));
    };
    let attributes =
        Attributes { user, info: &info, name: &info.name, field_selector: "", label_selector: "" };
    match server.authorizer.authorize(&attributes).await {
        Decision::Allow => object.set(&["status", "allowed"], true),
        Decision::Deny(reason) => {
            object.set(&["status", "allowed"], false);
            object.set(&["status", "denied"], true);
            object.set(&["status", "reason"], reason);
        }
        Decision::NoOpinion(reason) => {
            object.set(&["status", "allowed"], false);
            if !reason.is_empty() {
                object.set(&["status", "reason"], reason);
            }
        }
    }
    Ok(())
}

fn rules(server: &Arc<Server>, user: &User, object: &mut Object) -> Result<()> {
    let namespace = object.str_at(&["spec", "namespace"]).to_owned();
    if namespace.is_empty() {
        return Err(errors::bad_request("no namespace on request"));
    }
    let policy = server.policy.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    let who = auth::Subject { name: &user.name, groups: &user.groups };
    let (rules, problems) = policy.rules_for(who, &namespace);
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    for rule in rules {
        let mut map = Map::new();
        map.insert("verbs", strings(&rule.verbs));
        if rule.non_resource_urls.is_empty() {
            map.insert("apiGroups", strings(&rule.api_groups));
            map.insert("resources", strings(&rule.resources));
            if !rule.resource_names.is_empty() {
                map.insert("resourceNames", strings(&rule.resource_names));
            }
            resources.push(Value::Map(map));
        } else {
            map.insert("nonResourceURLs", strings(&rule.non_resource_urls));
            paths.push(Value::Map(map));
        }
    }
    if user.in_group("system:masters") {
        let mut map = Map::new();
        for key in ["verbs", "apiGroups", "resources"] {
            map.insert(key, vec![Value::from("*")]);
        }
        resources.push(Value::Map(map));
        let mut map = Map::new();
        map.insert("verbs", vec![Value::from("*")]);
        map.insert("nonResourceURLs", vec![Value::from("*")]);
        paths.push(Value::Map(map));
    }
    // the question itself is not repeated
    object.set(&["spec"], Map::new());
    object.set(&["status", "resourceRules"], resources);
    object.set(&["status", "nonResourceRules"], paths);
    object.set(&["status", "incomplete"], !problems.is_empty());
    if !problems.is_empty() {
        object.set(&["status", "evaluationError"], problems.join(", "));
    }
    Ok(())
}
