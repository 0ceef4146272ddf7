//! HorizontalPodAutoscaler in its two versions: v2 is stored; what v1 cannot say travels in annotations.
//!
//! # Upstream
//! `pkg/apis/autoscaling/v1/conversion.go`, `pkg/apis/autoscaling/helpers.go`

use schema::{Map, Object, Value};

use crate::tree::{from_json, int, is_zero, map, text};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

fn build<const N: usize>(fields: [(&'static str, Option<Value>); N]) -> Map {
    let mut out = Map::new();
    for (key, value) in fields {
        if let Some(value) = value {
            out.push(key, value);
        }
    }
    out
}

/// The metric `minimum CPU` stands for.
pub(super) fn cpu_target(percent: i64) -> Value {
    let target = build([("type", Some("Utilization".into())), ("averageUtilization", Some(percent.into()))]);
    let resource = build([("name", Some("cpu".into())), ("target", Some(target.into()))]);
    build([("type", Some("Resource".into())), ("resource", Some(resource.into()))]).into()
}

/// Between `v1` and `v2`.
pub(super) fn convert(from: &str, to: &str, object: &mut Object) -> Result<(), String> {
    let short = |v: &str| v.rsplit('/').next().unwrap_or(v).to_owned();
    match (short(from).as_str(), short(to).as_str()) {
        ("v2", "v1") => to_v1(object),
        ("v1", "v2") => to_v2(object),
        (from, to) if from == to => {}
        (from, to) => return Err(format!("no conversion from {from} to {to}")),
    }
    object.root_mut().insert("apiVersion", format!("autoscaling/{}", short(to)));
    Ok(())
}

fn drop_annotations(object: &mut Object) {
    let metadata = object.metadata_mut();
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_map_mut) {
        annotations.retain(|key, _| ![METRICS, CURRENT, CONDITIONS, BEHAVIOR].contains(&key));
    }
    if is_zero(metadata, "annotations") {
        metadata.remove("annotations");
    }
}

fn cpu_percent(metric: &Map, which: &str) -> Option<i64> {
    let resource =
        map(metric, "resource").filter(|r| text(metric, "type") == "Resource" && text(r, "name") == "cpu")?;
    int(map(resource, which)?, "averageUtilization")
}

fn to_v1(object: &mut Object) {
    drop_annotations(object);
    let (mut others, mut percent) = (Vec::new(), None);
    let spec = object.root_mut().map_mut("spec");
    let metrics = spec.remove("metrics");
    for metric in metrics.iter().filter_map(Value::as_list).flatten().filter_map(Value::as_map) {
        match cpu_percent(metric, "target") {
            Some(p) => percent = percent.or(Some(p)),
            None => others.push(Value::Map(metric_v1(metric))),
        }
    }
    if let Some(percent) = percent {
        spec.insert("targetCPUUtilizationPercentage", percent);
    }
    let behavior = spec.remove("behavior");
    let mut notes: Vec<(&'static str, Value)> = Vec::new();
    if !others.is_empty() {
        notes.push((METRICS, others.into()));
    }
    if let Some(status) = object.root_mut().get_mut("status").and_then(Value::as_map_mut) {
        let current = status.remove("currentMetrics");
        let list: Vec<&Map> =
            current.iter().filter_map(Value::as_list).flatten().filter_map(Value::as_map).collect();
        if let Some(percent) = list.iter().filter_map(|m| cpu_percent(m, "current")).next_back() {
            status.insert("currentCPUUtilizationPercentage", percent);
        }
        if !list.is_empty() {
            notes.push((
                CURRENT,
                list.into_iter().map(|m| Value::Map(status_v1(m))).collect::<Vec<_>>().into(),
            ));
        }
        if let Some(conditions) =
            status.remove("conditions").filter(|c| c.as_list().is_some_and(|l| !l.is_empty()))
        {
            let all = conditions.as_list().unwrap_or_default().iter().filter_map(Value::as_map);
            notes.push((CONDITIONS, all.map(condition_v1).collect::<Vec<_>>().into()));
        }
    }
    if let Some(behavior) = behavior {
        notes.push((BEHAVIOR, behavior_note(&behavior)));
    }
    for (key, value) in notes {
        let mut text = Vec::new();
        schema::json::encode_ordered(&value, &mut text);
        let text = String::from_utf8_lossy(&text).into_owned();
        object.metadata_mut().map_mut("annotations").insert(key, text);
    }
}

/// A condition in the order of v1's struct.
fn condition_v1(condition: &Map) -> Value {
    let part = |key: &str| own(Some(condition), key);
    build([
        ("type", part("type")),
        ("status", part("status")),
        ("lastTransitionTime", part("lastTransitionTime").or(Some(Value::Null))),
        ("reason", part("reason")),
        ("message", part("message")),
    ])
    .into()
}

/// The names the behavior has in its annotation: upstream writes its internal struct there, which has no JSON names.
const RULES: [(&str, &str); 2] = [("ScaleUp", "scaleUp"), ("ScaleDown", "scaleDown")];
const RULE: [(&str, &str); 4] = [
    ("StabilizationWindowSeconds", "stabilizationWindowSeconds"),
    ("SelectPolicy", "selectPolicy"),
    ("Policies", "policies"),
    ("Tolerance", "tolerance"),
];
const POLICY: [(&str, &str); 3] = [("Type", "type"), ("Value", "value"), ("PeriodSeconds", "periodSeconds")];

/// Every name with what stands under the other; null where nothing does.
fn noted<const N: usize>(
    owner: Option<&Map>,
    names: [(&'static str, &str); N],
    inner: fn(&Value) -> Value,
) -> Value {
    let Some(owner) = owner else { return Value::Null };
    let part = |key: &str| owner.get(key).map_or(Value::Null, inner);
    names.into_iter().map(|(name, key)| (name, part(key))).collect::<Map>().into()
}

fn behavior_note(behavior: &Value) -> Value {
    noted(behavior.as_map(), RULES, |rules| {
        noted(rules.as_map(), RULE, |part| match part {
            Value::List(policies) => {
                let policy = |p: &Value| noted(p.as_map(), POLICY, Value::clone);
                policies.iter().map(policy).collect::<Vec<_>>().into()
            }
            other => other.clone(),
        })
    })
}

/// The way back; Go reads names in any case.
fn behavior_v2(note: &Value) -> Value {
    let known = || RULES.iter().chain(&RULE).chain(&POLICY);
    match note {
        Value::List(items) => items.iter().map(behavior_v2).collect::<Vec<_>>().into(),
        Value::Map(map) => {
            let mut out = Map::new();
            for (key, value) in map.iter().filter(|(_, value)| !value.is_null()) {
                let name = known().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, name)| *name);
                if let Some(name) = name {
                    out.push(name, behavior_v2(value));
                }
            }
            out.into()
        }
        other => other.clone(),
    }
}

fn own(owner: Option<&Map>, key: &str) -> Option<Value> {
    owner?.get(key).filter(|v| !v.is_null()).cloned()
}

/// A metric source as v1 writes it.
fn metric_v1(metric: &Map) -> Map {
    let kind = text(metric, "type");
    let (key, source) = source(metric, kind);
    let target = source.and_then(|s| map(s, "target"));
    let identity = source.and_then(|s| map(s, "metric"));
    let inner = match key {
        "object" => build([
            ("target", own(source, "describedObject")),
            ("metricName", own(identity, "name")),
            ("targetValue", own(target, "value").or(Some("0".into()))),
            ("selector", own(identity, "selector")),
            ("averageValue", own(target, "averageValue")),
        ]),
        "pods" => build([
            ("metricName", own(identity, "name")),
            ("targetAverageValue", own(target, "averageValue")),
            ("selector", own(identity, "selector")),
        ]),
        "external" => build([
            ("metricName", own(identity, "name")),
            ("metricSelector", own(identity, "selector")),
            ("targetValue", own(target, "value")),
            ("targetAverageValue", own(target, "averageValue")),
        ]),
        _ => build([
            ("name", own(source, "name")),
            ("targetAverageUtilization", own(target, "averageUtilization")),
            ("targetAverageValue", own(target, "averageValue")),
            ("container", own(source, "container")),
        ]),
    };
    build([("type", Some(kind.into())), (key, Some(inner.into()))])
}

/// A metric's status as v1 writes it.
fn status_v1(metric: &Map) -> Map {
    let kind = text(metric, "type");
    let (key, source) = source(metric, kind);
    let current = source.and_then(|s| map(s, "current"));
    let identity = source.and_then(|s| map(s, "metric"));
    let average = || own(current, "averageValue");
    let inner = match key {
        "object" => build([
            ("target", own(source, "describedObject")),
            ("metricName", own(identity, "name")),
            ("currentValue", own(current, "value").or(Some("0".into()))),
            ("selector", own(identity, "selector")),
            ("averageValue", average()),
        ]),
        "pods" => build([
            ("metricName", own(identity, "name")),
            ("currentAverageValue", average()),
            ("selector", own(identity, "selector")),
        ]),
        "external" => build([
            ("metricName", own(identity, "name")),
            ("metricSelector", own(identity, "selector")),
            ("currentValue", own(current, "value").or(Some("0".into()))),
            ("currentAverageValue", average()),
        ]),
        _ => build([
            ("name", own(source, "name")),
            ("currentAverageUtilization", own(current, "averageUtilization")),
            ("currentAverageValue", average().or(Some("0".into()))),
            ("container", own(source, "container")),
        ]),
    };
    build([("type", Some(kind.into())), (key, Some(inner.into()))])
}

fn source<'a>(metric: &'a Map, kind: &str) -> (&'static str, Option<&'a Map>) {
    let key = match kind {
        "Object" => "object",
        "Pods" => "pods",
        "External" => "external",
        "ContainerResource" => "containerResource",
        _ => "resource",
    };
    (key, map(metric, key))
}

fn note(object: &Object, key: &str) -> Option<Value> {
    serde_json::from_str(object.annotation(key)?).ok().map(from_json)
}

fn to_v2(object: &mut Object) {
    let list = |v: Option<Value>| v.and_then(|v| v.as_list().map(<[Value]>::to_vec)).unwrap_or_default();
    let mut metrics: Vec<Value> = list(note(object, METRICS))
        .iter()
        .filter_map(Value::as_map)
        .map(|m| Value::Map(metric_v2(m)))
        .collect();
    let spec = object.root_mut().map_mut("spec");
    if let Some(percent) = spec.remove("targetCPUUtilizationPercentage").and_then(|v| v.as_int()) {
        metrics.push(cpu_target(percent));
    }
    if metrics.is_empty() {
        metrics.push(cpu_target(80));
    }
    spec.insert("metrics", metrics);
    if let Some(behavior) = note(object, BEHAVIOR).filter(|b| b.as_map().is_some_and(|m| !m.is_empty())) {
        object.root_mut().map_mut("spec").insert("behavior", behavior_v2(&behavior));
    }
    let current = list(note(object, CURRENT));
    let conditions = note(object, CONDITIONS);
    if let Some(status) = object.root_mut().get_mut("status").and_then(Value::as_map_mut) {
        let percent = status.remove("currentCPUUtilizationPercentage").and_then(|v| v.as_int());
        if !current.is_empty() {
            let all = current.iter().filter_map(Value::as_map).map(|m| Value::Map(status_v2(m)));
            status.insert("currentMetrics", all.collect::<Vec<_>>());
        } else if let Some(percent) = percent {
            let now = build([("averageUtilization", Some(percent.into()))]);
            let resource = build([("name", Some("cpu".into())), ("current", Some(now.into()))]);
            let metric = build([("type", Some("Resource".into())), ("resource", Some(resource.into()))]);
            status.insert("currentMetrics", vec![Value::Map(metric)]);
        }
        if let Some(conditions) = conditions {
            status.insert("conditions", conditions);
        }
    }
    drop_annotations(object);
}

fn metric_v2(metric: &Map) -> Map {
    let kind = text(metric, "type");
    let (key, old) = source(metric, kind);
    let first = |keys: [&str; 2]| own(old, keys[0]).or_else(|| own(old, keys[1]));
    let average = first(["targetAverageValue", "averageValue"]);
    let percent = own(old, "targetAverageUtilization");
    let value = own(old, "targetValue").filter(|_| average.is_none() || key != "external");
    let target_kind = match (&percent, &average) {
        (Some(_), _) => "Utilization",
        (None, Some(_)) => "AverageValue",
        _ if key == "resource" || key == "containerResource" || key == "pods" => "AverageValue",
        _ => "Value",
    };
    let target = build([
        ("type", Some(target_kind.into())),
        ("value", value.filter(|v| v.as_str() != Some("0"))),
        ("averageValue", average),
        ("averageUtilization", percent),
    ]);
    let inner = match key {
        "resource" | "containerResource" => build([
            ("name", own(old, "name")),
            ("container", own(old, "container")),
            ("target", Some(target.into())),
        ]),
        _ => build([
            ("metric", Some(identity(old).into())),
            ("describedObject", own(old, "target").filter(|_| key == "object")),
            ("target", Some(target.into())),
        ]),
    };
    build([("type", Some(kind.into())), (key, Some(inner.into()))])
}

fn identity(old: Option<&Map>) -> Map {
    let selector = own(old, "selector").or_else(|| own(old, "metricSelector"));
    build([("name", own(old, "metricName")), ("selector", selector)])
}

fn status_v2(metric: &Map) -> Map {
    let kind = text(metric, "type");
    let (key, old) = source(metric, kind);
    let current = build([
        ("value", own(old, "currentValue")),
        ("averageValue", own(old, "currentAverageValue").or_else(|| own(old, "averageValue"))),
        ("averageUtilization", own(old, "currentAverageUtilization")),
    ]);
    let inner = match key {
        "resource" | "containerResource" => build([
            ("name", own(old, "name")),
            ("container", own(old, "container")),
            ("current", Some(current.into())),
        ]),
        _ => build([
            ("metric", Some(identity(old).into())),
            ("describedObject", own(old, "target").filter(|_| key == "object")),
            ("current", Some(current.into())),
        ]),
    };
    build([("type", Some(kind.into())), (key, Some(inner.into()))])
}
