//! The verbs, each written once for any kind.

pub mod create;
pub mod delete;
pub mod deletecollection;
pub mod get;
pub mod list;
pub mod meta;
pub mod patch;
pub mod update;
pub mod watch;
pub mod write;

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use schema::Object;

use crate::auth::User;
use crate::encode::Answer;
use crate::errors::{self, Result};
use crate::registry::Endpoint;
use crate::request::RequestInfo;
use crate::request::accept::{self, Form, Offer};
use crate::server::Server;
use crate::store::cache::ResourceCache;

/// One request about a resource, on its way through a verb.
pub struct Call {
    /// The server.
    pub server: Arc<Server>,
    /// What is served there.
    pub endpoint: Arc<Endpoint>,
    /// What the request asks for.
    pub info: RequestInfo,
    /// Who asks.
    pub user: User,
    /// The raw query.
    pub query: Option<String>,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body, empty for reads.
    pub body: Bytes,
    /// When it came.
    pub now: jiff::Timestamp,
    /// Warnings for the client.
    pub warnings: Mutex<Vec<String>>,
}

impl Call {
    /// The same request about one object.
    pub fn for_object(&self, namespace: &str, name: &str) -> Self {
        let info =
            RequestInfo { namespace: namespace.to_owned(), name: name.to_owned(), ..self.info.clone() };
        Self {
            server: self.server.clone(),
            endpoint: self.endpoint.clone(),
            info,
            user: self.user.clone(),
            query: self.query.clone(),
            headers: self.headers.clone(),
            body: self.body.clone(),
            now: self.now,
            warnings: Mutex::default(),
        }
    }

    /// The cache of the resource.
    pub fn cache(&self) -> Arc<ResourceCache> {
        self.server.store.cache.add(&self.endpoint.resource)
    }

    /// The key of the object the path names.
    pub fn key(&self) -> String {
        self.endpoint.resource.key(&self.info.namespace, &self.info.name)
    }

    /// The namespace objects of this request are in: none for namespaces themselves.
    pub fn object_namespace(&self) -> &str {
        if self.endpoint.resource.kind.namespaced { &self.info.namespace } else { "" }
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
    }

    /// The user agent.
    pub fn agent(&self) -> &str {
        self.header("user-agent")
    }

    /// Adds a warning.
    pub fn warn(&self, text: impl Into<String>) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(text.into());
    }

    /// Picks the form of the answer.
    pub fn form(&self, list: bool) -> Result<Form> {
        let offer = Offer { protobuf: self.endpoint.schema.has_protobuf(), table: true, partial: true, list };
        self.form_of(offer)
    }

    /// Picks the form among what is offered.
    pub fn form_of(&self, offer: Offer) -> Result<Form> {
        let query = crate::request::info::query_pairs(self.query.as_deref());
        let pretty = match query.iter().find(|(k, _)| k == "pretty") {
            Some((_, v)) => !matches!(v.as_str(), "false" | "0"),
            None => accept::pretty_agent(self.agent()),
        };
        let wanted = self.header("accept");
        accept::negotiate(wanted, offer, pretty).map_err(|error| {
            if accept::names_ours(wanted) { error } else { errors::nothing_acceptable(&accept::MEDIA_TYPES) }
        })
    }

    /// 404 for the object the path names.
    pub fn missing(&self) -> errors::Error {
        errors::not_found(&self.endpoint.group_resource(), &self.info.name)
    }

    /// The context hooks get.
    pub fn hooks_context(&self) -> kinds::Context<'_> {
        kinds::Context {
            now: self.now,
            user: &self.user.name,
            uid: &self.user.uid,
            groups: &self.user.groups,
            extra: &self.user.extra,
            subresource: &self.info.subresource,
            group: &self.endpoint.face.gvk.group,
            version: &self.endpoint.face.gvk.version,
            warnings: &self.warnings,
        }
    }

    /// Runs the verb.
    pub async fn run(&self) -> Result<Answer> {
        if !self.endpoint.resource.kind.namespaced
            && !self.info.namespace.is_empty()
            && self.info.resource != "namespaces"
        {
            return Err(errors::unknown_resource());
        }
        if !self.info.subresource.is_empty() {
            return Box::pin(crate::sub::run(self)).await;
        }
        let named = !self.info.name.is_empty();
        let namespace_missing = self.endpoint.resource.kind.namespaced && self.info.namespace.is_empty();
        // all but the commonest in boxes: room for the largest of them would be moved about with every request
        match self.info.verb {
            "get" if named => get::run(self).await,
            "list" => Box::pin(list::run(self)).await,
            "watch" => Box::pin(watch::run(self)).await,
            "create" if !named && !namespace_missing => create::run(self).await,
            "update" if named => Box::pin(update::run(self)).await,
            "patch" if named => Box::pin(patch::run(self)).await,
            "delete" if named => Box::pin(delete::run(self)).await,
            "deletecollection" if self.endpoint.is("", "namespaces") => Err(errors::method_not_allowed()),
            "deletecollection" => Box::pin(deletecollection::run(self)).await,
            _ => Err(errors::method_not_allowed()),
        }
    }

    /// Decodes a cached object.
    pub fn decode(&self, entry: &crate::store::entry::Entry) -> Result<Object> {
        self.endpoint.resource.decode(entry).map_err(errors::internal)
    }
}
