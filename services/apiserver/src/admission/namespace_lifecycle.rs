//! Nothing is created in a namespace that is missing or going away; three namespaces stay.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle/admission.go`

use std::sync::Arc;
use std::time::Duration;

use schema::Object;

use super::{Admission, Operation, Request};
use crate::auth::BoxFuture;
use crate::errors::{self, Result};

const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];
/// How long a namespace created through another server may take to reach the cache.
const WAIT: Duration = Duration::from_millis(50);

/// The plugin.
pub struct NamespaceLifecycle;

impl Admission for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    fn handles(&self, request: &Request<'_>) -> bool {
        let namespaces = request.endpoint.is("", "namespaces");
        match request.operation {
            Operation::Create => !namespaces && !request.namespace.is_empty(),
            Operation::Delete => namespaces,
            _ => false,
        }
    }

    fn mutate<'a>(&'a self, request: &'a Request<'a>, object: &'a mut Object) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if request.operation == Operation::Delete {
                return Ok(());
            }
            check_namespace(request, object.name()).await
        })
    }

    fn validate<'a>(
        &'a self,
        request: &'a Request<'a>,
        _object: Option<&'a Object>,
    ) -> BoxFuture<'a, Result<()>> {
        let refused = request.operation == Operation::Delete && IMMORTAL.contains(&request.name);
        let answer = if refused {
            Err(errors::forbidden(&request.resource(), request.name, "this namespace may not be deleted"))
        } else {
            Ok(())
        };
        Box::pin(std::future::ready(answer))
    }
}

async fn check_namespace(request: &Request<'_>, name: &str) -> Result<()> {
    let server = request.server;
    let mut found = server.peek("", "namespaces", "", request.namespace)?;
    if found.is_none() {
        tokio::time::sleep(WAIT).await;
        found = server.read("", "namespaces", "", request.namespace).await?.map(Arc::new);
    }
    let resource = meta::GroupResource { group: String::new(), resource: "namespaces".into() };
    let Some(namespace) = found else { return Err(errors::not_found(&resource, request.namespace)) };
    if namespace.str_at(&["status", "phase"]) != "Terminating" && namespace.deletion_timestamp().is_none() {
        return Ok(());
    }
    // the cache may show the one that was deleted and made again since
    let live = server.read("", "namespaces", "", request.namespace).await?;
    let going = live
        .is_none_or(|n| n.str_at(&["status", "phase"]) == "Terminating" || n.deletion_timestamp().is_some());
    if going {
        return Err(errors::namespace_terminating(&request.resource(), name, request.namespace));
    }
    Ok(())
}
