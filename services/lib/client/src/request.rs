//! The verbs.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use http_body_util::Full;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Client, Error, Key, Resource};

/// What may stand in a query value as it is.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct ListParams {
    /// Label selector in its string form.
    pub label_selector: String,
    /// Field selector.
    pub field_selector: String,
    /// Most items in one answer; 0 for all.
    pub limit: u32,
    /// Where to go on, from the previous answer.
    pub continue_token: String,
    /// `resourceVersion`: empty for the newest, `0` for whatever the cache has.
    pub resource_version: String,
}

impl ListParams {
    pub(crate) fn query(&self) -> String {
        let mut query = Query::default();
        query.add("labelSelector", &self.label_selector);
        query.add("fieldSelector", &self.field_selector);
        query.add("continue", &self.continue_token);
        query.add("resourceVersion", &self.resource_version);
        if self.limit > 0 {
            query.add("limit", &self.limit.to_string());
        }
        query.0
    }
}

#[derive(Default)]
pub(crate) struct Query(pub(crate) String);

impl Query {
    pub(crate) fn add(&mut self, key: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        self.0.push(if self.0.is_empty() { '?' } else { '&' });
        self.0.push_str(key);
        self.0.push('=');
        self.0.extend(utf8_percent_encode(value, QUERY));
    }
}

/// A list of objects.
#[derive(Debug, Clone, Deserialize)]
pub struct List<T> {
    /// Revision and where to go on.
    #[serde(default)]
    pub metadata: ListMeta,
    /// The objects.
    pub items: Vec<T>,
}

/// A list's metadata.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListMeta {
    /// The revision the list stands for.
    pub resource_version: String,
    /// Not empty: there is more.
    #[serde(rename = "continue")]
    pub continue_token: String,
}

/// A change to an object, as its wire form.
#[derive(Debug, Clone)]
pub enum Patch {
    /// RFC 6902, with `test` operations as preconditions.
    Json(serde_json::Value),
    /// RFC 7386.
    Merge(serde_json::Value),
    /// Upstream's strategic merge (built-in kinds only).
    Strategic(serde_json::Value),
    /// Server-side apply.
    Apply {
        /// The object with the fields this manager wants.
        object: serde_json::Value,
        /// Take over fields others own.
        force: bool,
    },
}

/// How a write is done.
#[derive(Debug, Clone, Default)]
pub struct PatchParams {
    /// Written through a subresource (`status`) instead of the object.
    pub subresource: &'static str,
    /// The name under which fields are owned; must be set for apply.
    pub field_manager: &'static str,
}

/// What happens to what a deleted object owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Propagation {
    /// Nothing.
    Orphan,
    /// Deleted afterwards.
    Background,
    /// Deleted before the object goes.
    Foreground,
}

/// What must hold for a deletion.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preconditions {
    /// The object is still this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// And has not changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
}

/// How to delete.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeleteOptions {
    /// Seconds; `None` for the kind's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_period_seconds: Option<i64>,
    /// What must hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preconditions: Option<Preconditions>,
    /// What happens to what it owns; `None` for the kind's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propagation_policy: Option<Propagation>,
}

/// A body as JSON. Most are a few hundred bytes, which growing from nothing would copy three times.
fn json<T: Serialize + ?Sized>(body: &T) -> Result<Bytes, Error> {
    let mut bytes = Vec::with_capacity(1024);
    serde_json::to_writer(&mut bytes, body)?;
    Ok(bytes.into())
}

fn request(
    method: Method,
    uri: String,
    content: &'static str,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, Error> {
    let has_body = !body.is_empty();
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = uri.try_into().map_err(http::Error::from)?;
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    if has_body {
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content));
    }
    Ok(request)
}

impl Client {
    /// GET of any path (with query), the whole body.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get_raw(&self, path: impl Into<String>) -> Result<Bytes, Error> {
        self.call(request(Method::GET, path.into(), "", Bytes::new())?).await
    }

    /// Reads one object.
    ///
    /// # Errors
    /// See [`Error`]; absent is `is_not_found`.
    pub async fn get<T: DeserializeOwned>(&self, resource: &Resource, key: &Key) -> Result<T, Error> {
        Ok(serde_json::from_slice(&self.get_raw(resource.object(key, "")).await?)?)
    }

    /// Reads one page of a list; everywhere when `namespace` is empty.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        namespace: &str,
        params: &ListParams,
    ) -> Result<List<T>, Error> {
        let path = format!("{}{}", resource.collection(namespace), params.query());
        Ok(serde_json::from_slice(&self.get_raw(path).await?)?)
    }

    /// POST of a JSON body to any path (reviews, bindings, subresources), giving the answer.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn post<T: Serialize + ?Sized>(
        &self,
        path: impl Into<String>,
        body: &T,
    ) -> Result<Bytes, Error> {
        let body = json(body)?;
        self.call(request(Method::POST, path.into(), "application/json", body)?).await
    }

    /// Creates an object and gives what was stored.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create<T: Serialize + ?Sized, R: DeserializeOwned>(
        &self,
        resource: &Resource,
        namespace: &str,
        object: &T,
        field_manager: &str,
    ) -> Result<R, Error> {
        let mut query = Query::default();
        query.add("fieldManager", field_manager);
        let answer = self.post(format!("{}{}", resource.collection(namespace), query.0), object).await?;
        Ok(serde_json::from_slice(&answer)?)
    }

    /// PUT of a JSON body to any path. For what has no patch semantics (leases, token subresources); objects that
    /// were read through a typed struct are changed by patch, a PUT would drop fields the struct does not know.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn put<T: Serialize + ?Sized>(
        &self,
        path: impl Into<String>,
        body: &T,
    ) -> Result<Bytes, Error> {
        let body = json(body)?;
        self.call(request(Method::PUT, path.into(), "application/json", body)?).await
    }

    /// Patches an object and gives its new bytes.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn patch(
        &self,
        resource: &Resource,
        key: &Key,
        patch: &Patch,
        params: &PatchParams,
    ) -> Result<Bytes, Error> {
        let mut query = Query::default();
        query.add("fieldManager", params.field_manager);
        let (content, body) = match patch {
            Patch::Json(v) => ("application/json-patch+json", v),
            Patch::Merge(v) => ("application/merge-patch+json", v),
            Patch::Strategic(v) => ("application/strategic-merge-patch+json", v),
            Patch::Apply { object, force } => {
                query.add("force", if *force { "true" } else { "false" });
                ("application/apply-patch+yaml", object)
            }
        };
        let path = format!("{}{}", resource.object(key, params.subresource), query.0);
        self.call(request(Method::PATCH, path, content, json(body)?)?).await
    }

    /// Deletes an object and gives the answer: the object or a `Status`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete(
        &self,
        resource: &Resource,
        key: &Key,
        options: &DeleteOptions,
    ) -> Result<Bytes, Error> {
        let body = json(options)?;
        self.call(request(Method::DELETE, resource.object(key, ""), "application/json", body)?).await
    }
}
