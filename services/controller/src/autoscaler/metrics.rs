//! The metrics an autoscaler names, asked of the metrics APIs.
//!
//! # Upstream
//! `pkg/controller/podautoscaler/metrics/client.go`, `…/horizontal.go` `computeReplicasForMetric`

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricStatus, ExternalMetricStatus, HorizontalPodAutoscaler, MetricIdentifier,
    MetricSpec, MetricStatus, MetricTarget, MetricValueStatus, ObjectMetricStatus, PodsMetricStatus,
    ResourceMetricStatus,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use meta::quantity::{Format, Quantity};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reconcile::{Ask, Kind, Need, Plan, Pod};
use serde_json::Value;

use super::usage::{Calculation, Proposal, Sample, Target, Tolerance};
use crate::common::{is_ready, phase};

const NO_METRICS: &str = "the server could not find the requested resource (get pods.metrics.k8s.io)";

/// What a metric is measured for.
pub(super) struct Scope<'a> {
    pub(super) ask: &'a Ask<'a>,
    pub(super) autoscaler: &'a HorizontalPodAutoscaler,
    /// The target's selector as it was given.
    pub(super) selector: &'a str,
    pub(super) pods: &'a [&'a Arc<Pod>],
    /// The size asked for and the size there is.
    pub(super) spec_replicas: i32,
    pub(super) status_replicas: i32,
    pub(super) tolerance: Tolerance,
}

/// A metric's say: the size, what it is called, what the status shows.
pub(super) struct Say {
    pub(super) replicas: i32,
    pub(super) name: String,
    pub(super) status: MetricStatus,
}

/// Why a metric says nothing: the reason of the condition and event, and both their texts.
pub(super) struct Silence {
    pub(super) reason: &'static str,
    pub(super) event: String,
    pub(super) error: String,
}

/// `None` while the answer is awaited.
type Outcome<T> = Result<Option<T>, String>;

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn milli(text: &Text) -> i64 {
    Quantity::parse(&text.0).map_or(0, |q| q.milli_value()) // validated by the server
}

fn text(milli: i64, format: Format) -> Text {
    Text(Quantity::milli(milli, format).to_string())
}

/// A selector object in its string form.
fn selector(object: Option<&LabelSelector>) -> String {
    let Some(object) = object else { return String::new() };
    let mut terms: Vec<String> =
        object.match_labels.iter().flatten().map(|(k, v)| format!("{k}={v}")).collect();
    for e in object.match_expressions.iter().flatten() {
        let values = e.values.as_deref().unwrap_or_default().join(",");
        terms.push(match e.operator.as_str() {
            "In" => format!("{} in ({values})", e.key),
            "NotIn" => format!("{} notin ({values})", e.key),
            "Exists" => e.key.clone(),
            _ => format!("!{}", e.key),
        });
    }
    terms.join(",")
}

fn read<'a>(plan: &mut Plan, ask: &Ask<'a>, path: String) -> Outcome<&'a Value> {
    match plan.need(ask, Need::read(path)) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value)),
        Some(Err(refusal)) => Err(refusal.to_string()),
    }
}

fn items(value: &Value) -> &[Value] {
    value["items"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn quantity(value: &Value) -> Option<i64> {
    Quantity::parse(value.as_str()?).ok().map(|q| q.milli_value()) // what is no quantity is no sample
}

fn sample(item: &Value, value: i64) -> Option<Sample> {
    let at = item["timestamp"].as_str().and_then(meta::time::parse)?;
    let window = item["window"].as_str().and_then(go_seconds).unwrap_or(60);
    Some(Sample { value, at, window })
}

/// Go's way to write a duration, in whole seconds.
fn go_seconds(text: &str) -> Option<i64> {
    text.parse::<jiff::SignedDuration>().ok().map(|d| d.as_secs()) // unreadable: the caller's default
}

/// The replicas a metric asks for and its name; `None` while something must be asked.
type Said = Result<Option<(i32, String)>, Silence>;

fn silence(reason: &'static str, prefix: String) -> impl FnOnce(String) -> Silence {
    move |event| Silence { reason, error: format!("{prefix}: {event}"), event }
}

impl Scope<'_> {
    fn namespace(&self) -> &str {
        self.autoscaler.namespace()
    }

    fn resource_samples(
        &self,
        plan: &mut Plan,
        resource: &str,
        container: &str,
    ) -> Outcome<BTreeMap<String, Sample>> {
        let path = format!(
            "/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods?labelSelector={}",
            self.namespace(),
            encoded(self.selector)
        );
        let wrong = |e: String| {
            // a path nobody serves is answered by plain text, which upstream's client puts so
            let unserved = e == "404 page not found";
            let e = if unserved { NO_METRICS } else { e.as_str() };
            format!("unable to fetch metrics from resource metrics API: {e}")
        };
        let Some(list) = read(plan, self.ask, path).map_err(wrong)? else { return Ok(None) };
        if items(list).is_empty() {
            return Err("no metrics returned from resource metrics API".into());
        }
        let mut samples = BTreeMap::new();
        for item in items(list) {
            let containers = item["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
            let chosen = containers.iter().filter(|c| container.is_empty() || c["name"] == container);
            // a pod counts only with every container's sample
            let values: Option<Vec<i64>> = chosen.map(|c| quantity(&c["usage"][resource])).collect();
            let Some(values) = values.filter(|v| !v.is_empty()) else { continue };
            let name = item["metadata"]["name"].as_str().unwrap_or_default();
            if let Some(sample) = sample(item, values.iter().sum()) {
                samples.insert(name.to_owned(), sample);
            }
        }
        Ok(Some(samples))
    }

    fn calculate(
        &self,
        samples: BTreeMap<String, Sample>,
        resource: &str,
        container: &str,
        target: Target,
    ) -> Result<Proposal, String> {
        let (pods, current, tolerance, now) = (self.pods, self.spec_replicas, self.tolerance, self.ask.now);
        Calculation { pods, samples, resource, container, current, tolerance, now }.run(target)
    }

    fn resource(
        &self,
        plan: &mut Plan,
        name: &str,
        container: &str,
        target: &MetricTarget,
    ) -> Outcome<(i32, String, MetricValueStatus)> {
        let (wanted, what) = match (&target.average_value, target.average_utilization) {
            (Some(value), _) => (Target::Average(milli(value)), "usage"),
            (None, Some(percent)) => (Target::Utilization(percent), "utilization"),
            (None, None) => {
                return Err("invalid resource metric source: neither an average utilization target nor an average value (usage) target was set".into());
            }
        };
        let wrong = |e: String| format!("failed to get {name} {what}: {e}");
        let missing = |e: String| wrong(format!("unable to get metrics for resource {name}: {e}"));
        let Some(samples) = self.resource_samples(plan, name, container).map_err(missing)? else {
            return Ok(None);
        };
        let proposal = self.calculate(samples, name, container, wanted).map_err(wrong)?;
        let format = if name == "memory" { Format::BinarySi } else { Format::DecimalSi };
        let label = match (wanted, container.is_empty()) {
            (Target::Average(_), _) => format!("{name} resource"),
            (_, true) => format!("{name} resource utilization (percentage of request)"),
            (_, false) => format!("{name} container resource utilization (percentage of request)"),
        };
        let status = MetricValueStatus {
            average_utilization: proposal.utilization,
            average_value: Some(text(proposal.average, format)),
            value: None,
        };
        Ok(Some((proposal.replicas, label, status)))
    }

    /// Sizes by one number for the whole target.
    fn by_total(&self, total: i64, target: &MetricTarget) -> Result<(i32, MetricValueStatus), String> {
        if let Some(average) = &target.average_value {
            let (wanted, count) = (milli(average) as f64, f64::from(self.status_replicas));
            let mut replicas = self.status_replicas;
            if !self.tolerance.allows(total as f64 / (wanted * count)) {
                replicas = (total as f64 / wanted).ceil() as i32;
            }
            let shown = (total as f64 / count).ceil() as i64;
            let value = Some(text(shown, Format::DecimalSi));
            return Ok((
                replicas,
                MetricValueStatus { average_value: value, ..MetricValueStatus::default() },
            ));
        }
        let Some(value) = &target.value else {
            return Err("neither a value target nor an average value target was set".into());
        };
        let ratio = total as f64 / milli(value) as f64;
        let replicas = if self.spec_replicas == 0 {
            ratio.ceil() as i32
        } else if self.tolerance.allows(ratio) {
            self.spec_replicas
        } else {
            if self.pods.is_empty() {
                return Err("unable to calculate ready pods: no pods returned by selector while calculating replica count".into());
            }
            let ready = self.pods.iter().filter(|p| phase(p) == "Running" && is_ready(p)).count();
            (ratio * ready as f64).ceil() as i32
        };
        let shown = Some(text(total, Format::DecimalSi));
        Ok((replicas, MetricValueStatus { value: shown, ..MetricValueStatus::default() }))
    }

    fn custom_path(&self, group: &str, metric: &MetricIdentifier, rest: &str) -> String {
        let mut path = format!("/apis/{group}/namespaces/{}/{rest}", self.namespace());
        let selector = selector(metric.selector.as_ref());
        if !selector.is_empty() {
            let joint = if path.contains('?') { '&' } else { '?' };
            let name = if group.starts_with("custom") { "metricLabelSelector" } else { "labelSelector" };
            path = format!("{path}{joint}{name}={}", encoded(&selector));
        }
        path
    }

    fn pods_metric(
        &self,
        plan: &mut Plan,
        metric: &MetricIdentifier,
        target: &MetricTarget,
    ) -> Outcome<(i32, MetricValueStatus)> {
        let rest = format!("pods/*/{}?labelSelector={}", metric.name, encoded(self.selector));
        let path = self.custom_path("custom.metrics.k8s.io/v1beta2", metric, &rest);
        let wrong = |e: String| {
            format!(
                "unable to get metric {}: unable to fetch metrics from custom metrics API: {e}",
                metric.name
            )
        };
        let Some(list) = read(plan, self.ask, path).map_err(wrong)? else { return Ok(None) };
        if items(list).is_empty() {
            return Err(wrong("no metrics returned from custom metrics API".into()));
        }
        let mut samples = BTreeMap::new();
        for item in items(list) {
            let name = item["describedObject"]["name"].as_str().unwrap_or_default();
            if let Some(sample) = quantity(&item["value"]).and_then(|value| sample(item, value)) {
                samples.insert(name.to_owned(), sample);
            }
        }
        let wanted = target.average_value.as_ref().map_or(0, milli);
        let proposal = self.calculate(samples, "", "", Target::Average(wanted))?;
        let value = Some(text(proposal.average, Format::DecimalSi));
        Ok(Some((
            proposal.replicas,
            MetricValueStatus { average_value: value, ..MetricValueStatus::default() },
        )))
    }

    /// One metric's say; `None` while something must be asked.
    pub(super) fn metric(&self, plan: &mut Plan, spec: &MetricSpec) -> Result<Option<Say>, Silence> {
        let mut status = MetricStatus { type_: spec.type_.clone(), ..MetricStatus::default() };
        let said = match spec.type_.as_str() {
            "Resource" | "ContainerResource" => self.say_resource(plan, spec, &mut status),
            "Pods" => self.say_pods(plan, spec, &mut status),
            "Object" => self.say_object(plan, spec, &mut status),
            _ => self.say_external(plan, spec, &mut status),
        }?;
        Ok(said.map(|(replicas, name)| Say { replicas, name, status }))
    }

    fn say_resource(&self, plan: &mut Plan, spec: &MetricSpec, status: &mut MetricStatus) -> Said {
        let of_pod = spec.resource.as_ref().map(|r| (&r.name, "", &r.target));
        let of_container =
            spec.container_resource.as_ref().map(|r| (&r.name, r.container.as_str(), &r.target));
        let Some((resource, container, target)) = of_pod.or(of_container) else { return Ok(None) };
        let wrong = if container.is_empty() {
            silence("FailedGetResourceMetric", format!("failed to get {resource} resource metric value"))
        } else {
            let prefix = format!("failed to get {container} container metric value");
            silence("FailedGetContainerResourceMetric", prefix)
        };
        let found = self.resource(plan, resource, container, target).map_err(wrong)?;
        let Some((replicas, name, current)) = found else { return Ok(None) };
        if container.is_empty() {
            status.resource = Some(ResourceMetricStatus { name: resource.clone(), current });
        } else {
            let (name, container) = (resource.clone(), container.to_owned());
            status.container_resource = Some(ContainerResourceMetricStatus { name, container, current });
        }
        Ok(Some((replicas, name)))
    }

    fn say_pods(&self, plan: &mut Plan, spec: &MetricSpec, status: &mut MetricStatus) -> Said {
        let Some(source) = &spec.pods else { return Ok(None) };
        let wrong = silence("FailedGetPodsMetric", "failed to get pods metric value".into());
        let found = self.pods_metric(plan, &source.metric, &source.target).map_err(wrong)?;
        let Some((replicas, current)) = found else { return Ok(None) };
        status.pods = Some(PodsMetricStatus { metric: source.metric.clone(), current });
        Ok(Some((replicas, format!("pods metric {}", source.metric.name))))
    }

    fn say_object(&self, plan: &mut Plan, spec: &MetricSpec, status: &mut MetricStatus) -> Said {
        let Some(source) = &spec.object else { return Ok(None) };
        let wrong = silence("FailedGetObjectMetric", "failed to get object metric value".into());
        let Some((replicas, current)) = self.object_metric(plan, source).map_err(wrong)? else {
            return Ok(None);
        };
        let described_object = source.described_object.clone();
        let name = format!("{} metric {}", described_object.kind, source.metric.name);
        status.object = Some(ObjectMetricStatus { current, described_object, metric: source.metric.clone() });
        Ok(Some((replicas, name)))
    }

    fn say_external(&self, plan: &mut Plan, spec: &MetricSpec, status: &mut MetricStatus) -> Said {
        let Some(source) = &spec.external else { return Ok(None) };
        let metric = &source.metric;
        let prefix = format!("failed to get {} external metric value", metric.name);
        let wrong = silence("FailedGetExternalMetric", prefix);
        let path = self.custom_path("external.metrics.k8s.io/v1beta1", metric, &metric.name);
        let found = read(plan, self.ask, path).and_then(|list| {
            let Some(list) = list else { return Ok(None) };
            let values = items(list).iter().filter_map(|i| quantity(&i["value"]));
            if items(list).is_empty() {
                return Err("no metrics returned from external metrics API".into());
            }
            self.by_total(values.fold(0, i64::saturating_add), &source.target).map(Some)
        });
        let Some((replicas, current)) = found.map_err(wrong)? else { return Ok(None) };
        status.external = Some(ExternalMetricStatus { current, metric: metric.clone() });
        Ok(Some((replicas, format!("external metric {}", metric.name))))
    }

    fn object_metric(
        &self,
        plan: &mut Plan,
        source: &k8s_openapi::api::autoscaling::v2::ObjectMetricSource,
    ) -> Outcome<(i32, MetricValueStatus)> {
        let object = &source.described_object;
        let group = object.api_version.as_deref().and_then(|v| v.split_once('/')).map(|(group, _)| group);
        let plural = super::target::plural_guess(&object.kind);
        let resource = group.map_or_else(|| plural.clone(), |group| format!("{plural}.{group}"));
        let rest = format!("{resource}/{}/{}", object.name, source.metric.name);
        let path = self.custom_path("custom.metrics.k8s.io/v1beta2", &source.metric, &rest);
        let wrong = |e: String| {
            let (metric, kind) = (&source.metric.name, &object.kind);
            format!("unable to get metric {metric}: {e} on {kind} {}/{}", self.namespace(), object.name)
        };
        let Some(answer) = read(plan, self.ask, path).map_err(wrong)? else { return Ok(None) };
        let first = items(answer).first().unwrap_or(answer);
        let total = quantity(&first["value"]).ok_or_else(|| wrong("no metrics returned".into()))?;
        self.by_total(total, &source.target).map(Some)
    }
}
