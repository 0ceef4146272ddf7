//! A pod's priority from its class; one default class at most.
//!
//! # Upstream
//! `plugin/pkg/admission/priority/admission.go`

use std::sync::Arc;

use schema::{Object, Value};

use super::{Admission, Operation, Request};
use crate::auth::BoxFuture;
use crate::errors::{self, Result};

const GROUP: &str = "scheduling.k8s.io";

/// The plugin.
pub struct Priority;

impl Admission for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    fn handles(&self, request: &Request<'_>) -> bool {
        let create = request.operation == Operation::Create;
        let write = create || request.operation == Operation::Update;
        write && (request.is("", "pods") || request.is(GROUP, "priorityclasses"))
    }

    fn mutate<'a>(&'a self, request: &'a Request<'a>, object: &'a mut Object) -> BoxFuture<'a, Result<()>> {
        Box::pin(std::future::ready(if request.is("", "pods") { pod(request, object) } else { Ok(()) }))
    }

    fn validate<'a>(
        &'a self,
        request: &'a Request<'a>,
        object: Option<&'a Object>,
    ) -> BoxFuture<'a, Result<()>> {
        let classes = request.is(GROUP, "priorityclasses");
        let answer = match object {
            Some(class) if classes => one_default(request, class),
            _ => Ok(()),
        };
        Box::pin(std::future::ready(answer))
    }
}

fn default_class(request: &Request<'_>) -> Result<Option<Arc<Object>>> {
    let all = request.server.peek_objects(GROUP, "priorityclasses", "")?;
    let defaults =
        all.into_iter().filter(|c| c.at(&["globalDefault"]).and_then(Value::as_bool) == Some(true));
    Ok(defaults.min_by_key(|c| c.int_at(&["value"]).unwrap_or(0)))
}

fn pod(request: &Request<'_>, pod: &mut Object) -> Result<()> {
    if request.operation == Operation::Update {
        if let (None, Some(old)) = (pod.int_at(&["spec", "priority"]), request.old)
            && let Some(priority) = old.int_at(&["spec", "priority"])
        {
            pod.set(&["spec", "priority"], priority);
        }
        return Ok(());
    }
    let name = pod.str_at(&["spec", "priorityClassName"]).to_owned();
    let class = if name.is_empty() {
        default_class(request)?
    } else {
        let found = request.server.peek(GROUP, "priorityclasses", "", &name)?;
        let why = format!("no PriorityClass with name {name} was found");
        Some(found.ok_or_else(|| errors::forbidden(&request.resource(), pod.name(), &why))?)
    };
    let (value, policy, class_name) = match &class {
        None => (0, "PreemptLowerPriority".to_owned(), String::new()),
        Some(class) => {
            let policy = match class.str_at(&["preemptionPolicy"]) {
                "" => "PreemptLowerPriority",
                policy => policy,
            };
            (class.int_at(&["value"]).unwrap_or(0), policy.to_owned(), class.name().to_owned())
        }
    };
    if pod.int_at(&["spec", "priority"]).is_some_and(|given| given != value) {
        let why = format!(
            "the integer value of priority ({}) must not be provided in pod spec; priority admission controller computed {value} from the given PriorityClass name",
            pod.int_at(&["spec", "priority"]).unwrap_or(0)
        );
        return Err(errors::forbidden(&request.resource(), pod.name(), &why));
    }
    let given = pod.str_at(&["spec", "preemptionPolicy"]);
    if !given.is_empty() && given != policy {
        let why = format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
        );
        return Err(errors::forbidden(&request.resource(), pod.name(), &why));
    }
    pod.set(&["spec", "priority"], value);
    pod.set(&["spec", "preemptionPolicy"], policy);
    if !class_name.is_empty() {
        pod.set(&["spec", "priorityClassName"], class_name);
    }
    Ok(())
}

fn one_default(request: &Request<'_>, class: &Object) -> Result<()> {
    if class.at(&["globalDefault"]).and_then(Value::as_bool) != Some(true) {
        return Ok(());
    }
    match default_class(request)? {
        Some(other) if other.name() != class.name() => {
            let why = format!(
                "PriorityClass {} is already marked as default. Only one default can exist",
                other.name()
            );
            Err(errors::forbidden(&request.resource(), class.name(), &why))
        }
        _ => Ok(()),
    }
}
