//! Telling the API server a pod's status: only what changed, and only for this very pod.
//!
//! # Upstream
//! `pkg/kubelet/status/status_manager.go`, `pkg/util/pod/pod.go` `PatchPodStatus`

use k8s_openapi::api::core::v1::PodStatus;
use serde_json::{Map, Value, json};

use super::status::OWNED;

/// The strategic merge patch from the status told last to the new one; `None` when nothing differs. Pure.
pub fn patch(uid: &str, old: &PodStatus, new: &PodStatus) -> Result<Option<Value>, serde_json::Error> {
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
}
