//! PUT of an object or of its status.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/endpoints/handlers/update.go`, `…/registry/generic/registry/store.go` `Update`

use meta::field;
use schema::Object;

use super::write::{Change, Computed, Managed, Source};
use super::{Call, create, write};
use crate::alloc::Allocated;
use crate::encode::Answer;
use crate::errors::{self, Result};
use crate::request::accept::Form;
use crate::request::options::WriteOptions;
use crate::store::write::{Attempt, Done, Next};

/// The object of a PUT.
struct Put(Object);

impl Source for Put {
    fn compute(&mut self, call: &Call, old: &Object) -> Result<Computed> {
        let object = self.0.clone();
        if !object.uid().is_empty() && object.uid() != old.uid() {
            let why = format!(
                "StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {}, UID in object meta: {}",
                call.key(),
                object.uid(),
                old.uid()
            );
            return Err(errors::conflict(&call.endpoint.group_resource(), &call.info.name, &why));
        }
        let insists_on = object.resource_version().to_owned();
        let kind = &call.endpoint.resource.kind;
        if insists_on.is_empty() && !kind.unconditional_update {
            let detail = "must be specified for an update";
            let problem = field::Error::invalid("metadata.resourceVersion", "0", detail);
            return Err(errors::invalid(
                &kind.storage.group,
                &kind.resource.resource,
                &call.info.name,
                &[problem],
            ));
        }
        Ok(Computed { object, managed: Managed::Update, insists_on })
    }
}

/// Stores the object of the body over the present one.
pub async fn run(call: &Call) -> Result<Answer> {
    let form = call.form(false)?;
    let options = WriteOptions::read(call.query.as_deref(), "UpdateOptions", call.agent(), None)?;
    let mut object = write::decode_body(call, options.validation)?;
    super::meta::agree_on_namespace(&mut object, &call.endpoint, call.object_namespace())?;
    super::meta::check_name(&object, &call.info.name)?;
    call.endpoint.default(&mut object);
    let creates = call.endpoint.resource.kind.create_on_update && call.info.subresource.is_empty();
    let kept = creates.then(|| object.clone());
    match change(call, &options, Put(object)).await {
        Err(error) if error.is(meta::Reason::NotFound) && kept.is_some() => {
            let Some(mut object) = kept else { return Err(error) };
            if !object.uid().is_empty() || !object.resource_version().is_empty() {
                return Err(error);
            }
            object.metadata_mut().remove("resourceVersion");
            let created = create::create(call, object, &options, Managed::Update).await?;
            Ok(created.answer(form))
        }
        other => other.map(|done| done.answer(form)),
    }
}

/// What became of a change.
pub enum Changed {
    /// It went through the store.
    Done(Done),
    /// A dry run: what would have been stored.
    Dry(Object),
}

impl Changed {
    /// The answer in a form.
    pub fn answer(self, form: Form) -> Answer {
        match self {
            Changed::Done(done) => Answer::entry(form, http::StatusCode::OK, done.entry().clone()),
            Changed::Dry(object) => Answer::stored_tree(form, http::StatusCode::OK, object),
        }
    }
}

/// Runs a change of the object the path names.
pub async fn change<S: Source>(call: &Call, options: &WriteOptions, source: S) -> Result<Changed> {
    let cache = call.cache();
    let key = call.key();
    let mut change = Change { call, options, source, allocated: Allocated::default() };
    if options.dry_run {
        let current = call.server.store.get_stored(&cache, &key, 0).await?;
        let next = change.run(current.as_ref()).await;
        change.allocated.give_back(&call.server).await;
        return match next? {
            Next::Put(object) | Next::Delete(object) => Ok(Changed::Dry(object)),
        };
    }
    let done = call.server.store.update(&cache, &key, &mut change).await;
    match &done {
        Ok(done) => {
            std::mem::take(&mut change.allocated).keep(&call.server).await;
            if let Done::Deleted(entry) = done {
                crate::alloc::on_delete(&call.server, &call.endpoint, entry).await;
            }
        }
        Err(_) => change.allocated.give_back(&call.server).await,
    }
    done.map(Changed::Done)
}
