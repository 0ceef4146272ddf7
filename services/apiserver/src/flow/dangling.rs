//! The condition that says whether a FlowSchema's priority level exists.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/util/flowcontrol/apf_controller.go` `syncFlowSchemaStatus`

use std::sync::Arc;

use schema::{Map, Object, Value};

use super::{GROUP, LEVELS, SCHEMAS};
use crate::errors::Result;
use crate::server::Server;
use crate::start;
use crate::verbs::meta::timestamp;

const MANAGER: &str = "api-priority-and-fairness-config-consumer-v1";

/// Status, reason, message.
type Said = (&'static str, &'static str, String);

/// Keeps the condition of every FlowSchema, for ever.
pub(crate) async fn run(server: Arc<Server>) {
    loop {
        server.flows.changed.notified().await;
        if let Err(error) = all(&server).await {
            tracing::warn!(error = %error, "cannot say in a FlowSchema whether its level exists");
            server.flows.changed.notify_one();
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    }
}

async fn all(server: &Arc<Server>) -> Result<()> {
    for schema in server.peek_objects(GROUP, SCHEMAS, "")? {
        let level = schema.str_at(&["spec", "priorityLevelConfiguration", "name"]);
        let about =
            format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?}");
        let said: Said = if server.peek(GROUP, LEVELS, "", level)?.is_some() {
            ("False", "Found", format!("{about} and it exists"))
        } else {
            ("True", "NotFound", format!("{about} but there is no such object"))
        };
        if let Some(body) = status(&schema, &said) {
            let applied =
                start::apply(server, (GROUP, SCHEMAS), schema.name(), "status", MANAGER, body).await;
            match applied {
                // it went away meanwhile
                Err(error) if error.is(meta::Reason::NotFound) => {}
                applied => applied?,
            }
        }
    }
    Ok(())
}

/// What is to be applied, if the FlowSchema does not say it yet.
fn status(schema: &Object, (status, reason, message): &Said) -> Option<Value> {
    let conditions = schema.list_at(&["status", "conditions"]);
    let present = conditions.iter().find(|c| c.at(&["type"]).and_then(Value::as_str) == Some("Dangling"));
    let text = |key: &str| present.and_then(|c| c.at(&[key])).and_then(Value::as_str).unwrap_or_default();
    if text("status") == *status && text("reason") == *reason && text("message") == message.as_str() {
        return None;
    }
    let since = match text("lastTransitionTime") {
        known if !known.is_empty() && text("status") == *status => known.to_owned(),
        _ => timestamp(jiff::Timestamp::now()),
    };
    let mut condition = Map::new();
    condition.insert("type", "Dangling");
    condition.insert("status", *status);
    condition.insert("lastTransitionTime", since);
    condition.insert("reason", *reason);
    condition.insert("message", message.as_str());
    let inner = |key: &'static str, value: Value| Value::Map([(key, value)].into_iter().collect());
    let mut body = Map::new();
    body.insert("apiVersion", format!("{GROUP}/v1"));
    body.insert("kind", "FlowSchema");
    body.insert("metadata", inner("name", schema.name().into()));
    body.insert("status", inner("conditions", vec![Value::Map(condition)].into()));
    Some(Value::Map(body))
}
