//! Pods bear a node that is not ready or unreachable for five minutes.
//!
//! # Upstream
//! `plugin/pkg/admission/defaulttolerationseconds/admission.go`

use schema::{Map, Object, Value};

use super::{Admission, Operation, Request};
use crate::auth::BoxFuture;
use crate::errors::Result;

const SECONDS: i64 = 300;

/// The plugin.
pub struct DefaultTolerationSeconds;

impl Admission for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    fn handles(&self, request: &Request<'_>) -> bool {
        request.is("", "pods") && matches!(request.operation, Operation::Create | Operation::Update)
    }

    fn mutate<'a>(&'a self, _request: &'a Request<'a>, pod: &'a mut Object) -> BoxFuture<'a, Result<()>> {
        for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
            let tolerates = |t: &Value| {
                let text = |field: &str| t.at(&[field]).and_then(Value::as_str).unwrap_or("").to_owned();
                let effect = text("effect");
                (text("key") == key || text("key").is_empty()) && (effect == "NoExecute" || effect.is_empty())
            };
            if pod.list_at(&["spec", "tolerations"]).iter().any(tolerates) {
                continue;
            }
            let mut toleration = Map::new();
            toleration.insert("key", key);
            toleration.insert("operator", "Exists");
            toleration.insert("effect", "NoExecute");
            toleration.insert("tolerationSeconds", SECONDS);
            let spec = pod.root_mut().map_mut("spec");
            let slot = spec.get_or_insert_with("tolerations", || Value::List(Vec::new()));
            if slot.is_null() {
                *slot = Value::List(Vec::new());
            }
            if let Some(list) = slot.as_list_mut() {
                list.push(Value::Map(toleration));
            }
        }
        Box::pin(std::future::ready(Ok(())))
    }
}
