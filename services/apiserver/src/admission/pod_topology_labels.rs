//! A pod that gets a node gets the node's zone and region as labels.
//!
//! # Upstream
//! `plugin/pkg/admission/podtopologylabels/admission.go`

use schema::Object;

use super::{Admission, Operation, Request};
use crate::auth::BoxFuture;
use crate::errors::Result;

const LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

/// The plugin.
pub struct PodTopologyLabels;

impl Admission for PodTopologyLabels {
    fn name(&self) -> &'static str {
        "PodTopologyLabels"
    }

    fn handles(&self, request: &Request<'_>) -> bool {
        let pods = request.endpoint.is("", "pods") && matches!(request.subresource, "" | "binding");
        pods && request.operation == Operation::Create
    }

    /// The object is a pod, or a binding whose labels become the pod's.
    fn mutate<'a>(&'a self, request: &'a Request<'a>, object: &'a mut Object) -> BoxFuture<'a, Result<()>> {
        Box::pin(std::future::ready(copy(request, object)))
    }
}

fn copy(request: &Request<'_>, object: &mut Object) -> Result<()> {
    let node = match request.subresource {
        "binding" if object.str_at(&["target", "kind"]) != "Node" => return Ok(()),
        "binding" => object.str_at(&["target", "name"]),
        _ => object.str_at(&["spec", "nodeName"]),
    };
    if node.is_empty() {
        return Ok(());
    }
    let Some(node) = request.server.peek("", "nodes", "", node)? else { return Ok(()) };
    for label in LABELS {
        if let Some(value) = node.label(label) {
            object.metadata_mut().map_mut("labels").insert(label, value);
        }
    }
    Ok(())
}
