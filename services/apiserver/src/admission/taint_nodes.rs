//! A new node takes no pods before it says that it is ready.
//!
//! # Upstream
//! `plugin/pkg/admission/nodetaint/admission.go`

use schema::{Map, Object, Value};

use super::{Admission, Operation, Request};
use crate::auth::BoxFuture;
use crate::errors::Result;

const KEY: &str = "node.kubernetes.io/not-ready";

/// The plugin.
pub struct TaintNodesByCondition;

impl Admission for TaintNodesByCondition {
    fn name(&self) -> &'static str {
        "TaintNodesByCondition"
    }

    fn handles(&self, request: &Request<'_>) -> bool {
        request.is("", "nodes") && request.operation == Operation::Create
    }

    fn mutate<'a>(&'a self, _request: &'a Request<'a>, node: &'a mut Object) -> BoxFuture<'a, Result<()>> {
        let same = |t: &Value| {
            t.at(&["key"]).and_then(Value::as_str) == Some(KEY)
                && t.at(&["effect"]).and_then(Value::as_str) == Some("NoSchedule")
        };
        if !node.list_at(&["spec", "taints"]).iter().any(same) {
            let mut taint = Map::new();
            taint.insert("key", KEY);
            taint.insert("effect", "NoSchedule");
            let spec = node.root_mut().map_mut("spec");
            let slot = spec.get_or_insert_with("taints", || Value::List(Vec::new()));
            if slot.is_null() {
                *slot = Value::List(Vec::new());
            }
            if let Some(list) = slot.as_list_mut() {
                list.push(Value::Map(taint));
            }
        }
        Box::pin(std::future::ready(Ok(())))
    }
}
