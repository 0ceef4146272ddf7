//! What a pod's runtime class brings with it: overhead, node selector, tolerations.
//!
//! # Upstream
//! `plugin/pkg/admission/runtimeclass/admission.go`

use std::sync::Arc;

use schema::{Object, Value};

use super::{Admission, Operation, Request};
use crate::auth::BoxFuture;
use crate::errors::{self, Result};

/// The plugin.
pub struct RuntimeClass;

impl Admission for RuntimeClass {
    fn name(&self) -> &'static str {
        "RuntimeClass"
    }

    fn handles(&self, request: &Request<'_>) -> bool {
        request.is("", "pods") && request.operation == Operation::Create
    }

    fn mutate<'a>(&'a self, request: &'a Request<'a>, pod: &'a mut Object) -> BoxFuture<'a, Result<()>> {
        Box::pin(admit(request, pod))
    }
}

async fn admit(request: &Request<'_>, pod: &mut Object) -> Result<()> {
    let refuse = |pod: &Object, why: &str| errors::forbidden(&request.resource(), pod.name(), why);
    let name = pod.str_at(&["spec", "runtimeClassName"]).to_owned();
    let overhead = pod.map_at(&["spec", "overhead"]).filter(|o| !o.is_empty()).cloned();
    if name.is_empty() {
        return match overhead {
            Some(_) => Err(refuse(
                pod,
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
            )),
            None => Ok(()),
        };
    }
    let mut class = request.server.peek("node.k8s.io", "runtimeclasses", "", &name)?;
    if class.is_none() {
        class = request.server.read("node.k8s.io", "runtimeclasses", "", &name).await?.map(Arc::new);
    }
    let Some(class) = class else {
        return Err(refuse(pod, &format!("pod rejected: RuntimeClass {name:?} not found")));
    };
    let fixed = class.map_at(&["overhead", "podFixed"]).cloned();
    if overhead.is_some() && overhead != fixed {
        return Err(refuse(
            pod,
            "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
        ));
    }
    if let Some(fixed) = fixed {
        pod.set(&["spec", "overhead"], fixed);
    }
    if let Some(selector) = class.map_at(&["scheduling", "nodeSelector"]) {
        for (key, value) in selector.iter() {
            let target = pod.root_mut().map_mut("spec").map_mut("nodeSelector");
            if target.get(key).is_some_and(|have| have != value) {
                let why = format!(
                    "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {}; pod.spec.nodeSelector[{key}] differs",
                    value.as_str().unwrap_or("")
                );
                return Err(refuse(pod, &why));
            }
            target.insert(key.clone(), value.clone());
        }
    }
    let tolerations: Vec<Value> = class.list_at(&["scheduling", "tolerations"]).to_vec();
    if !tolerations.is_empty() {
        let mut all = pod.list_at(&["spec", "tolerations"]).to_vec();
        all.extend(tolerations.into_iter().filter(|t| !pod.list_at(&["spec", "tolerations"]).contains(t)));
        pod.set(&["spec", "tolerations"], all);
    }
    Ok(())
}
