//! POST of a new object.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/endpoints/handlers/create.go`, `…/registry/generic/registry/store.go` `Create`

use std::sync::Arc;

use schema::Object;

use super::{Call, meta, write};
use crate::admission::{Operation, Request};
use crate::alloc;
use crate::encode::Answer;
use crate::errors::{self, Result};
use crate::registry::resets;
use crate::request::accept::Form;
use crate::request::options::WriteOptions;
use crate::store::entry::Entry;

/// How often a generated name is tried.
const NAME_ATTEMPTS: usize = 8;

/// What became of a creation.
pub enum Created {
    /// Stored.
    Stored(Arc<Entry>),
    /// A dry run: what would have been stored.
    Dry(Object),
}

impl Created {
    /// The answer in a form.
    pub fn answer(self, form: Form) -> Answer {
        match self {
            Created::Stored(entry) => Answer::entry(form, http::StatusCode::CREATED, entry),
            Created::Dry(object) => Answer::stored_tree(form, http::StatusCode::CREATED, object),
        }
    }
}

/// Stores the object of the body.
pub async fn run(call: &Call) -> Result<Answer> {
    let form = call.form(false)?;
    let options = WriteOptions::read(call.query.as_deref(), "CreateOptions", call.agent(), None)?;
    let mut object = write::decode_body(call, options.validation)?;
    call.endpoint.default(&mut object);
    meta::agree_on_namespace(&mut object, &call.endpoint, &call.info.namespace)?;
    let managed = write::Managed::Update;
    Ok(create(call, object, &options, managed).await?.answer(form))
}

/// Takes a decoded and defaulted object of the served version through admission, strategy and validation to the
/// store.
pub async fn create(
    call: &Call,
    mut object: Object,
    options: &WriteOptions,
    managed: write::Managed,
) -> Result<Created> {
    let generated = meta::fill_new(&mut object, call.now)?;
    if meta::dedup_owners(&mut object) {
        call.warn(".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed");
    }
    if managed == write::Managed::Update {
        write::track(call, None, &mut object, options, "")?;
    }
    call.endpoint.to_storage(&mut object)?;
    admit_and_store(call, object, options, generated).await
}

async fn admit_and_store(
    call: &Call,
    mut object: Object,
    options: &WriteOptions,
    generated: bool,
) -> Result<Created> {
    let resource = &call.endpoint.resource;
    let request = Request {
        server: &call.server,
        endpoint: &call.endpoint,
        subresource: "",
        operation: Operation::Create,
        user: &call.user,
        namespace: &call.info.namespace,
        name: "",
        old: None,
        dry_run: options.dry_run,
        now: call.now,
        warnings: &call.warnings,
    };
    call.server.admission.mutate(&request, &mut object).await?;
    resource.kind.hooks.default_versioned(&resource.kind.storage.version, &mut object);
    // a node registers itself together with its status
    if resource.kind.storage.kind != "Node" {
        let has_status = call.endpoint.has("status");
        for path in resets(&resource.kind.storage.kind, "", has_status).iter().filter(|p| **p == ["status"]) {
            object.remove(path);
        }
    }
    let allocated = alloc::on_create(call, &mut object, options.dry_run).await?;
    let stored = check_and_store(call, &request, object, options, generated).await;
    match &stored {
        Ok(Created::Stored(_)) => allocated.keep(&call.server).await,
        _ => allocated.give_back(&call.server).await,
    }
    stored
}

async fn check_and_store(
    call: &Call,
    request: &Request<'_>,
    mut object: Object,
    options: &WriteOptions,
    generated: bool,
) -> Result<Created> {
    let resource = &call.endpoint.resource;
    let hooks = &resource.kind.hooks;
    let context = call.hooks_context();
    hooks.prepare_create(&context, &mut object);
    if hooks.spec_changed(&object, &object).is_some() {
        object.set(&["metadata", "generation"], 1i64);
    }
    let mut problems = meta::validate(&object, &call.endpoint);
    problems.extend(hooks.validate(&context, &object));
    if !problems.is_empty() {
        let gvk = &resource.kind.storage;
        return Err(errors::invalid(&gvk.group, &gvk.kind, object.name(), &problems));
    }
    for warning in hooks.warnings(&context, &object, None) {
        call.warn(warning);
    }
    call.server.admission.validate(request, Some(&object)).await?;
    // what is read back has the defaults of what the strategy left
    hooks.default_versioned(&resource.kind.storage.version, &mut object);
    if options.dry_run {
        return dry(call, object).await;
    }
    store(call, object, generated).await
}

/// Stores the object; one with a generated name tries others while its name is taken.
///
/// # Upstream
/// `k8s.io/apiserver/pkg/registry/generic/registry/store.go` `createWithGenerateNameRetry`,
/// `registry/rest/create.go` `CheckGeneratedNameError`
async fn store(call: &Call, mut object: Object, generated: bool) -> Result<Created> {
    let (cache, resource) = (call.cache(), &call.endpoint.resource);
    for attempt in 1.. {
        let key = resource.key(&call.info.namespace, object.name());
        if let Some(entry) = call.server.store.create(&cache, &key, &object).await? {
            return Ok(Created::Stored(entry));
        }
        if !generated || attempt == NAME_ATTEMPTS {
            break;
        }
        let name = meta::generate_name(object.generate_name());
        object.set(&["metadata", "name"], name);
    }
    let group_resource = call.endpoint.group_resource();
    // also told to who gave both: upstream looks at `generateName` alone here
    if !object.generate_name().is_empty() {
        return Err(errors::generate_name_conflict(&group_resource, object.name()));
    }
    Err(errors::already_exists(&group_resource, object.name()))
}

async fn dry(call: &Call, object: Object) -> Result<Created> {
    let cache = call.cache();
    let key = call.endpoint.resource.key(&call.info.namespace, object.name());
    if call.server.store.get(&cache, &key, "").await?.is_some() {
        return Err(errors::already_exists(&call.endpoint.group_resource(), object.name()));
    }
    Ok(Created::Dry(object))
}
