//! DELETE of one object.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/registry/rest/delete.go` `BeforeDelete`,
//! `k8s.io/apiserver/pkg/registry/generic/registry/store.go` `Delete`

use std::sync::Arc;

use schema::{Object, Value};

use super::Call;
use super::meta::timestamp;
use crate::admission::{Operation, Request};
use crate::alloc;
use crate::codec;
use crate::encode::Answer;
use crate::errors::{self, Result};
use crate::request::accept::Form;
use crate::request::options::{DeleteOptions, Propagation};
use crate::store::entry::Entry;
use crate::store::write::{Attempt, Done, Next};

/// What a raw deletion does to dependents when nobody says.
fn default_propagation(kind: &str) -> Option<Propagation> {
    match kind {
        "ReplicationController" | "Job" => Some(Propagation::Orphan),
        "Event" => None,
        _ => Some(Propagation::Background),
    }
}

/// Deletes the object the path names.
pub async fn run(call: &Call) -> Result<Answer> {
    let form = call.form(false)?;
    let options = read_options(call)?;
    warn_of_orphans(call, &options);
    let mut deletion = Deletion::new(call, &call.info.name, options);
    let deleted = deletion.run_to_end().await?;
    Ok(deleted.answer(call, form))
}

/// Tells who deletes jobs and does not say what is to become of their pods that they stay.
///
/// # Upstream
/// `pkg/registry/batch/job/storage/storage.go` `Delete`, `DeleteCollection`
pub fn warn_of_orphans(call: &Call, options: &DeleteOptions) {
    const TEXT: &str = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to \
                        remove them or set propagationPolicy=Orphan to suppress this warning";
    if call.endpoint.group_resource().resource == "jobs" && options.propagation.is_none() {
        call.warn(TEXT);
    }
}

/// Reads the options from the body, or from the query when there is none.
pub fn read_options(call: &Call) -> Result<DeleteOptions> {
    if call.body.is_empty() {
        return DeleteOptions::from_query(call.query.as_deref());
    }
    let body = codec::decode_options(call.header("content-type"), &call.body, "DeleteOptions")
        .map_err(|e| errors::bad_request(e.to_string()))?;
    let mut options = DeleteOptions::from_json(&body)?;
    options.dry_run |= DeleteOptions::from_query(call.query.as_deref())?.dry_run;
    Ok(options)
}

/// What became of a deletion.
pub enum Deleted {
    /// It is gone; the object as it was last.
    Gone(Arc<Entry>),
    /// It is going: a grace period or finalizers hold it.
    Pending(Arc<Entry>),
    /// A dry run: it would be gone.
    Dry(Object),
    /// A dry run: it would be going.
    DryPending(Object),
}

impl Deleted {
    /// The answer in a form.
    pub fn answer(self, call: &Call, form: Form) -> Answer {
        let ok = http::StatusCode::OK;
        match self {
            Deleted::Pending(entry) => Answer::entry(form, ok, entry),
            Deleted::Gone(entry) if call.endpoint.resource.kind.delete_returns_object => {
                Answer::entry(form, ok, entry)
            }
            Deleted::Gone(entry) => {
                let text = |path: &[&str]| entry.str_at(path).unwrap_or_default().into_owned();
                Answer::Success(
                    form,
                    success(call, &text(&["metadata", "name"]), &text(&["metadata", "uid"])),
                )
            }
            Deleted::Dry(object) if call.endpoint.resource.kind.delete_returns_object => {
                Answer::stored_tree(form, ok, object)
            }
            Deleted::DryPending(object) => Answer::stored_tree(form, ok, object),
            Deleted::Dry(object) => Answer::Success(form, success(call, object.name(), object.uid())),
        }
    }
}

fn success(call: &Call, name: &str, uid: &str) -> meta::Status {
    let resource = call.endpoint.group_resource();
    let mut status = meta::Status { status: "Success".into(), code: 0, ..meta::Status::default() };
    status = status.about(name, &resource.group, &resource.resource);
    if let Some(details) = &mut status.details {
        details.uid = uid.to_owned();
    }
    status
}

/// A deletion under way.
pub struct Deletion<'a> {
    call: &'a Call,
    name: String,
    options: DeleteOptions,
}

impl<'a> Deletion<'a> {
    /// The deletion of one object of the call's resource.
    pub fn new(call: &'a Call, name: &str, options: DeleteOptions) -> Self {
        Self { call, name: name.to_owned(), options }
    }

    /// Runs it.
    pub async fn run_to_end(&mut self) -> Result<Deleted> {
        let call = self.call;
        let cache = call.cache();
        let key = call.endpoint.resource.key(&call.info.namespace, &self.name);
        if self.options.dry_run {
            let current = call.server.store.get_stored(&cache, &key, 0).await?;
            return match self.run(current.as_ref()).await? {
                Next::Put(object) => Ok(Deleted::DryPending(object)),
                Next::Delete(object) => Ok(Deleted::Dry(object)),
            };
        }
        match call.server.store.update(&cache, &key, self).await? {
            Done::Put(entry) | Done::Unchanged(entry) => Ok(Deleted::Pending(entry)),
            Done::Deleted(entry) => {
                alloc::on_delete(&call.server, &call.endpoint, &entry).await;
                Ok(Deleted::Gone(entry))
            }
        }
    }

    fn check_preconditions(&self, old: &Object) -> Result<()> {
        // upstream names the kind here, not the resource, and in the group it is stored as
        let gvk = &self.call.endpoint.resource.kind.storage;
        let kind = meta::GroupResource { group: gvk.group.clone(), resource: gvk.kind.clone() };
        let refuse = |what: &str, wanted: &str, have: &str, since: &str| {
            let why = format!(
                "the {what} in the precondition ({wanted}) does not match the {what} in record ({have}). The object might have been {since}"
            );
            Err(errors::conflict(&kind, &self.name, &why))
        };
        if let Some(uid) = self.options.uid.as_deref().filter(|u| *u != old.uid()) {
            if self.call.endpoint.is("", "namespaces") {
                // a namespace is marked by an update of its own, which says it in other words
                let why = format!(
                    "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                    old.uid()
                );
                return Err(errors::conflict(&self.call.endpoint.group_resource(), &self.name, &why));
            }
            return refuse("UID", uid, old.uid(), "deleted and then recreated");
        }
        if let Some(version) =
            self.options.resource_version.as_deref().filter(|v| *v != old.resource_version())
        {
            return refuse("ResourceVersion", version, old.resource_version(), "modified");
        }
        Ok(())
    }

    /// The finalizers the options ask for; `None` when they stay as they are.
    fn wanted_finalizers(&self, old: &Object) -> Option<Vec<Value>> {
        let had = |name: &str| old.finalizers().any(|f| f == name);
        let default = default_propagation(&self.call.endpoint.face.gvk.kind)?;
        let explicit = self.options.propagation.or(match self.options.orphan_dependents {
            Some(true) => Some(Propagation::Orphan),
            Some(false) => Some(Propagation::Background),
            None => None,
        });
        let orphan = match explicit {
            Some(p) => p == Propagation::Orphan,
            None if had("orphan") => true,
            None if had("foregroundDeletion") => false,
            None => default == Propagation::Orphan,
        };
        let foreground = match explicit {
            Some(p) => p == Propagation::Foreground,
            None => had("foregroundDeletion") && !had("orphan"),
        };
        if (orphan, foreground) == (had("orphan"), had("foregroundDeletion")) {
            return None;
        }
        let mut names: Vec<&str> =
            old.finalizers().filter(|f| *f != "orphan" && *f != "foregroundDeletion").collect();
        if orphan {
            names.push("orphan");
        }
        if foreground {
            names.push("foregroundDeletion");
        }
        Some(names.into_iter().map(Value::from).collect())
    }

    /// Sets the deletion time; says whether the object stays for a grace period, or `None` when it is being
    /// deleted already and nothing changes.
    fn graceful(&mut self, object: &mut Object, old: &Object) -> Option<bool> {
        let hooks = &self.call.endpoint.resource.kind.hooks;
        if old.deletion_timestamp().is_some() {
            let had = old.int_at(&["metadata", "deletionGracePeriodSeconds"]);
            if hooks.graceful_deletion(old, self.options.grace).is_none() {
                return Some(false);
            }
            let Some(had) = had else { return Some(false) };
            return match self.options.grace {
                Some(asked) if asked < had => {
                    let began = deletion_time(old)? - jiff::SignedDuration::from_secs(had);
                    set_deletion(object, began + jiff::SignedDuration::from_secs(asked), asked);
                    Some(asked > 0)
                }
                _ if had == 0 => Some(false),
                _ => None,
            };
        }
        let grace = hooks.graceful_deletion(old, self.options.grace)?;
        set_deletion(object, self.call.now + jiff::SignedDuration::from_secs(grace), grace);
        bump_generation(object);
        Some(grace > 0)
    }
}

fn deletion_time(object: &Object) -> Option<jiff::Timestamp> {
    object.deletion_timestamp()?.parse().ok()
}

fn set_deletion(object: &mut Object, at: jiff::Timestamp, grace: i64) {
    object.set(&["metadata", "deletionTimestamp"], timestamp(at));
    object.set(&["metadata", "deletionGracePeriodSeconds"], grace);
}

fn bump_generation(object: &mut Object) {
    if object.generation() > 0 {
        let next = object.generation() + 1;
        object.set(&["metadata", "generation"], next);
    }
}

impl Attempt for Deletion<'_> {
    async fn run(&mut self, current: Option<&Arc<Entry>>) -> Result<Next> {
        let call = self.call;
        let missing = || errors::not_found(&call.endpoint.group_resource(), &self.name);
        let old = call.decode(current.ok_or_else(missing)?)?;
        self.check_preconditions(&old)?;
        let request = Request {
            server: &call.server,
            endpoint: &call.endpoint,
            subresource: "",
            operation: Operation::Delete,
            user: &call.user,
            namespace: &call.info.namespace,
            name: &self.name,
            old: Some(&old),
            dry_run: self.options.dry_run,
            now: call.now,
            warnings: &call.warnings,
        };
        call.server.admission.validate(&request, None).await?;
        let mut object = old.clone();
        if call.endpoint.is("", "namespaces") && namespace_stays(call, &mut object, &old) {
            if let Some(finalizers) = self.wanted_finalizers(&old) {
                object.set(&["metadata", "finalizers"], finalizers);
            }
            return Ok(Next::Put(object));
        }
        let hooked = call.endpoint.resource.kind.hooks.graceful_deletion(&old, self.options.grace).is_some();
        let graceful = if hooked {
            match self.graceful(&mut object, &old) {
                Some(graceful) => graceful,
                None => return Ok(Next::Put(old)),
            }
        } else {
            false
        };
        if let Some(finalizers) = self.wanted_finalizers(&old) {
            if finalizers.is_empty() {
                object.remove(&["metadata", "finalizers"]);
            } else {
                object.set(&["metadata", "finalizers"], finalizers);
            }
        }
        let held = object.finalizers().next().is_some();
        if held && !graceful {
            if old.deletion_timestamp().is_none() && object.deletion_timestamp().is_none() {
                set_deletion(&mut object, call.now, 0);
                bump_generation(&mut object);
            }
            object.set(&["metadata", "deletionGracePeriodSeconds"], 0i64);
        }
        Ok(if graceful || held { Next::Put(object) } else { Next::Delete(object) })
    }
}

/// A namespace is deleted in two steps: first it is marked, then its finalizers go as its content has gone.
///
/// # Upstream
/// `pkg/registry/core/namespace/storage/storage.go` `REST.Delete`
fn namespace_stays(call: &Call, object: &mut Object, old: &Object) -> bool {
    if old.deletion_timestamp().is_none() {
        object.set(&["metadata", "deletionTimestamp"], timestamp(call.now));
        object.set(&["status", "phase"], "Terminating");
        return true;
    }
    !old.list_at(&["spec", "finalizers"]).is_empty()
}
