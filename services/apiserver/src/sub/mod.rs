//! Subresources and resources that are not stored.

pub mod binding;
pub mod connect;
pub mod eviction;
pub mod forward;
pub mod proxy;
pub mod review;
pub mod rewrite;
pub mod scale;
mod stream;
pub mod token;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use meta::GroupVersionKind;
use schema::Object;
use web::Body;

use crate::admission::{Operation, Request};
use crate::auth::User;
use crate::codec::{self, Type};
use crate::encode::{self, Answer};
use crate::errors::{self, Result};
use crate::http::response;
use crate::request::RequestInfo;
use crate::request::accept::{self, Form, MEDIA_TYPES, Media, Offer, Shape};
use crate::server::Server;
use crate::verbs::{Call, get, patch, update};

/// Whether the request is about a resource that is answered but not stored.
pub fn is_virtual(info: &RequestInfo) -> bool {
    match info.group.as_str() {
        "" => matches!(info.resource.as_str(), "bindings" | "componentstatuses"),
        "authentication.k8s.io" => matches!(info.resource.as_str(), "tokenreviews" | "selfsubjectreviews"),
        "authorization.k8s.io" => true,
        _ => false,
    }
}

/// Whether the request is passed on to a kubelet, pod or service.
pub fn is_connect(info: &RequestInfo) -> bool {
    matches!(
        (info.group.as_str(), info.resource.as_str(), info.subresource.as_str()),
        ("", "pods", "exec" | "attach" | "portforward" | "log" | "proxy")
            | ("", "nodes" | "services", "proxy")
    )
}

/// Runs a verb on a subresource.
pub async fn run(call: &Call) -> Result<Answer> {
    let (subresource, verb) = (call.info.subresource.as_str(), call.info.verb);
    if !call.endpoint.has(subresource) {
        return Err(errors::unknown_resource());
    }
    match (subresource, verb) {
        ("scale", _) => scale::run(call).await,
        ("binding", "create") => binding::run(call).await,
        ("eviction", "create") => eviction::run(call).await,
        ("token", "create") => token::run(call).await,
        ("finalize", "update") => update::run(call).await,
        ("finalize", _) => Err(errors::method_not_allowed()),
        (_, "get") => get::run(call).await,
        (_, "update") => update::run(call).await,
        (_, "patch") => patch::run(call).await,
        _ => Err(errors::method_not_allowed()),
    }
}

/// The body of a request as an object of a given type.
pub fn decode_as(headers: &HeaderMap, body: &Bytes, gvk: &GroupVersionKind) -> Result<(Object, Type)> {
    let kind = headers.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or("");
    let media = codec::body_media(kind).ok_or_else(|| errors::unsupported_media(&MEDIA_TYPES))?;
    let schema = Type::of(gvk).ok_or_else(|| errors::internal(format!("no schema for {}", gvk.kind)))?;
    let decoded = schema.decode(media, body).map_err(|e| errors::bad_request(e.to_string()))?;
    let mut object = decoded.object;
    object.set(&["apiVersion"], gvk.group_version().to_string());
    object.set(&["kind"], gvk.kind.as_str());
    Ok((object, schema))
}

/// The form of an answer that is neither table nor partial.
pub fn plain_form(headers: &HeaderMap) -> Result<Form> {
    let accept = headers.get("accept").and_then(|v| v.to_str().ok()).unwrap_or("");
    accept::negotiate(accept, Offer { protobuf: true, table: false, partial: false, list: false }, false)
}

/// Answers a request about a resource that is not stored.
pub async fn answer_virtual(
    server: &Arc<Server>,
    info: RequestInfo,
    user: User,
    request: http::Request<Incoming>,
) -> Result<Response<Body>> {
    let headers = request.headers().clone();
    if info.resource == "componentstatuses" {
        return component_statuses(&info);
    }
    if info.verb != "create" {
        return Err(errors::method_not_allowed());
    }
    let collected = request.into_body().collect().await;
    let body = collected.map_err(|e| errors::bad_request(e.to_string()))?.to_bytes();
    if info.resource == "bindings" {
        return binding::legacy(server, info, user, headers, body).await;
    }
    let form = plain_form(&headers)?;
    let (object, schema) = review::answer(server, &info, &user, &headers, &body).await?;
    let bytes = encode::object::of_tree(&schema, &object, form)?;
    let mut answer = Response::new(web::full(bytes));
    *answer.status_mut() = StatusCode::CREATED;
    let kind = http::HeaderValue::from_static(form.media.content_type());
    answer.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    Ok(answer)
}

fn component_statuses(info: &RequestInfo) -> Result<Response<Body>> {
    if info.verb != "list" {
        let resource = meta::GroupResource { group: String::new(), resource: "componentstatuses".into() };
        return Err(errors::not_found(&resource, &info.name));
    }
    let text = r#"{"kind":"ComponentStatusList","apiVersion":"v1","metadata":{},"items":[]}"#;
    Ok(response::json(text))
}

/// Takes what is posted to a subresource through admission.
pub async fn admit(call: &Call, object: &mut Object, dry_run: bool) -> Result<()> {
    let request = Request {
        server: &call.server,
        endpoint: &call.endpoint,
        subresource: &call.info.subresource,
        operation: Operation::Create,
        user: &call.user,
        namespace: &call.info.namespace,
        name: &call.info.name,
        old: None,
        dry_run,
        now: call.now,
        warnings: &call.warnings,
    };
    call.server.admission.mutate(&request, object).await?;
    call.server.admission.validate(&request, Some(object)).await
}

/// A success without an object.
pub fn created(call: &Call) -> Result<Answer> {
    let form = plain_form(&call.headers)?;
    let status = meta::Status { status: "Success".into(), code: 201, ..meta::Status::default() };
    Ok(Answer::Success(Form { shape: Shape::Plain, ..form }, status))
}

/// Compact JSON of the object itself, whatever the client takes.
pub const JSON: Form = Form { media: Media::Json, shape: Shape::Plain, beta: false, pretty: false };
