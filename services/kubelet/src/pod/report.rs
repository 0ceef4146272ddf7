//! Telling the API server a pod's status: only what changed, and only for this very pod.
//!
//! # Upstream
//! `pkg/kubelet/status/status_manager.go`, `pkg/util/pod/pod.go` `PatchPodStatus`

use k8s_openapi::api::core::v1::{ContainerState, PodStatus};
use serde_json::{Map, Value, json};

use super::status::OWNED;

/// A status the API server has, as this node would write it. Go's encoder writes an empty `lastState` of a container
/// that never ended; taken for a difference, every look at the pod would tell its status again.
pub fn told(mut status: PodStatus) -> PodStatus {
    let lists = [
        &mut status.init_container_statuses,
        &mut status.container_statuses,
        &mut status.ephemeral_container_statuses,
    ];
    for container in lists.into_iter().flatten().flatten() {
        container.last_state = container.last_state.take().filter(|s| *s != ContainerState::default());
    }
    status
}

/// The strategic merge patch from the status told last to the new one; `None` when nothing differs. Pure.
pub fn patch(uid: &str, old: &PodStatus, new: &PodStatus) -> Result<Option<Value>, serde_json::Error> {
    if old == new {
        return Ok(None); // nearly always, and known without writing either down
    }
    let (Value::Object(old), Value::Object(mut new)) =
        (serde_json::to_value(old)?, serde_json::to_value(new)?)
    else {
        return Ok(None); // a struct is an object
    };
    let mut changed = Map::new();
    for key in old.keys().filter(|k| !new.contains_key(*k)).cloned().collect::<Vec<_>>() {
        new.insert(key, Value::Null);
    }
    for (key, value) in new {
        let before = old.get(&key).unwrap_or(&Value::Null);
        if *before == value {
            continue;
        }
        let value = match key.as_str() {
            "conditions" => match conditions(before, &value) {
                Some(value) => value,
                None => continue,
            },
            // merged by key unless replaced as a whole
            "podIPs" | "hostIPs" if !value.is_null() => {
                let mut all = value.as_array().cloned().unwrap_or_default();
                all.push(json!({ "$patch": "replace" }));
                Value::Array(all)
            }
            _ => value,
        };
        changed.insert(key, value);
    }
    if changed.is_empty() {
        return Ok(None);
    }
    Ok(Some(json!({ "metadata": { "uid": uid }, "status": changed })))
}

fn conditions(old: &Value, new: &Value) -> Option<Value> {
    let empty = Vec::new();
    let (old, new) = (old.as_array().unwrap_or(&empty), new.as_array().unwrap_or(&empty));
    let kind = |c: &Value| c["type"].as_str().unwrap_or_default().to_owned();
    let mut out = Vec::new();
    for condition in new {
        let before = old.iter().find(|o| kind(o) == kind(condition));
        if before == Some(condition) {
            continue;
        }
        let mut condition = condition.clone();
        // a merge keeps what is not mentioned
        for field in ["reason", "message"] {
            if before.is_some_and(|b| b.get(field).is_some()) && condition.get(field).is_none() {
                condition[field] = Value::Null;
            }
        }
        out.push(condition);
    }
    for gone in
        old.iter().filter(|o| OWNED.contains(&kind(o).as_str()) && new.iter().all(|n| kind(n) != kind(o)))
    {
        out.push(json!({ "type": kind(gone), "$patch": "delete" }));
    }
    (!out.is_empty()).then_some(Value::Array(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(value: Value) -> PodStatus {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn only_changes_are_told() {
        let old = json!({"phase": "Pending", "podIPs": [{"ip": "1.1.1.1"}], "message": "m",
            "conditions": [{"type": "Ready", "status": "False", "reason": "X"}, {"type": "PodResizePending", "status": "True"}]});
        let new = json!({"phase": "Running", "podIPs": [{"ip": "1.1.1.1"}],
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "Mine", "status": "True"}]});
        let patch = patch("u", &status(old.clone()), &status(new)).unwrap().unwrap();
        let expected = json!({"phase": "Running", "message": null, "conditions": [
            {"type": "Ready", "status": "True", "reason": null},
            {"type": "Mine", "status": "True"},
            {"type": "PodResizePending", "$patch": "delete"}]});
        assert_eq!(patch["status"], expected);
        assert_eq!(super::patch("u", &status(old.clone()), &status(old)).unwrap(), None);
    }

    #[test]
    fn what_the_api_server_adds_is_not_told_again() {
        let running = json!({"name": "c", "image": "", "imageID": "", "ready": true, "restartCount": 0,
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}});
        let ended = json!({"terminated": {"exitCode": 1}});
        let with = |state: Option<&Value>| {
            let mut container = running.clone();
            if let Some(state) = state {
                container["lastState"] = state.clone();
            }
            status(json!({ "containerStatuses": [container] }))
        };
        let stored = told(with(Some(&json!({}))));
        assert_eq!(patch("u", &stored, &with(None)).unwrap(), None);
        assert!(patch("u", &stored, &with(Some(&ended))).unwrap().is_some());
        assert_eq!(told(with(Some(&ended))), with(Some(&ended)));
    }
}
