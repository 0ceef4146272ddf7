//! Horizontal pod autoscalers: targets as large as their metrics ask for.
//!
//! # Upstream
//! `pkg/controller/podautoscaler`
//!
//! # Differs
//! Pods that several autoscalers select are not noticed (upstream: `AmbiguousSelector`).

mod behavior;
mod metrics;
mod target;
/// The selector of a scale, or the condition's message and the event that say why there is none.
fn selector_of(text: &str) -> Result<LabelSelector, (String, &'static str, String)> {
    if text.is_empty() {
        let message = "the HPA target's scale is missing a selector";
        return Err((message.into(), "SelectorRequired", "selector is required".into()));
    }
    LabelSelector::parse(text).map_err(|error| {
        let message =
            format!("couldn't convert selector into a corresponding internal selector object: {error}");
        (message.clone(), "InvalidSelector", message)
    })
}

#[cfg(test)]
mod tests;
mod usage;

use std::sync::Arc;
use std::time::Duration;

use client::{Key, Patch, Resource};
use k8s_openapi::api::autoscaling::v2::{
    HPAScalingRules, HorizontalPodAutoscaler, HorizontalPodAutoscalerCondition,
    HorizontalPodAutoscalerStatus, MetricStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use meta::selector::LabelSelector;
use reconcile::{Ask, Controller, Error, Event, Kind, Op, Permit, Plan, Pod, Watch};
use serde_json::json;

use behavior::{Decision, History, Sizes};
use metrics::{Scope, Silence};
use target::Scale;
use usage::Tolerance;

/// How often metrics are looked at.
const PERIOD: i64 = 15;
const TOLERANCE: f64 = 0.1;

/// The controller.
#[derive(Debug)]
pub(crate) struct Autoscalers;

/// One round for one autoscaler.
struct Round<'a> {
    ask: &'a Ask<'a>,
    old: &'a HorizontalPodAutoscaler,
    next: HorizontalPodAutoscaler,
    history: History,
    plan: Plan,
}

impl Controller for Autoscalers {
    fn name(&self) -> &'static str {
        "horizontal-pod-autoscaler-controller"
    }

    fn component(&self) -> &'static str {
        "horizontal-pod-autoscaler"
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::root::<HorizontalPodAutoscaler>(), Watch::read::<Pod>()]
    }

    fn writes(&self) -> Vec<Permit> {
        let any = |group: &'static str, subresource: &'static str, verbs: &'static str| Permit {
            resource: Resource {
                group: group.into(),
                version: "*".into(),
                plural: "*".into(),
                kind: "*".into(),
                namespaced: true,
            },
            subresource,
            verbs,
        };
        vec![
            Permit::sub::<HorizontalPodAutoscaler>("status", "patch"),
            any("*", "scale", "get patch update"),
            any("metrics.k8s.io", "", "get list"),
            any("custom.metrics.k8s.io", "", "get list"),
            any("external.metrics.k8s.io", "", "get list"),
        ]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let Some(autoscaler) = ask.view.get::<HorizontalPodAutoscaler>(ask.key).filter(|a| !a.deleting())
        else {
            return Ok(Plan::nothing());
        };
        let history = ask.remembered::<History>().cloned().unwrap_or_default();
        let mut plan = Plan::nothing();
        if let Some(last) = history.last {
            let left = last.as_second() + PERIOD - ask.now.as_second();
            if left > 0 && ask.failures.is_empty() {
                plan.again(Duration::from_secs(u64::try_from(left).unwrap_or(1)));
                return Ok(plan);
            }
        }
        let next = HorizontalPodAutoscaler::clone(autoscaler);
        let mut round = Round { ask, old: autoscaler, next, history, plan };
        round.history.last = Some(ask.now);
        round.run()?;
        let mut plan = round.plan;
        if plan.needs.is_empty() {
            plan.remember(round.history);
            plan.again(Duration::from_secs(PERIOD.unsigned_abs()));
        }
        Ok(plan)
    }
}

impl Round<'_> {
    fn run(&mut self) -> Result<(), Error> {
        let reference = &self.old.spec.scale_target_ref;
        let scale = match target::scale(&mut self.plan, self.ask, self.old.namespace(), reference) {
            Ok(None) => return Ok(()),
            Ok(Some(scale)) => scale,
            Err((error, _)) => {
                let message =
                    format!("the HPA controller was unable to get the target's current scale: {error}");
                self.plan.events.push(Event::warning(self.old, "FailedGetScale", error));
                self.condition("AbleToScale", "False", "FailedGetScale", message);
                return self.write();
            }
        };
        let message = "the HPA controller was able to get the target's current scale";
        self.condition("AbleToScale", "True", "SucceededGetScale", message.into());
        let current = scale.spec_replicas();
        self.history.begin(current, self.ask.now);
        let (least, most) = (self.old.spec.min_replicas.unwrap_or(1), self.old.spec.max_replicas);
        if current == 0 {
            let message = "scaling is disabled since the replica count of the target is zero";
            self.condition("ScalingActive", "False", "ScalingDisabled", message.into());
            return self.settle(current, current, None, false);
        }
        if current > most {
            let reason = "Current number of replicas above Spec.MaxReplicas";
            return self.rescale(&scale, current, most, reason, None);
        }
        if current < least {
            let reason = "Current number of replicas below Spec.MinReplicas";
            return self.rescale(&scale, current, least, reason, None);
        }
        let Some((proposed, metric, statuses)) = self.measure(&scale)? else { return Ok(()) };
        let reason = match proposed.cmp(&current) {
            std::cmp::Ordering::Greater => format!("{metric} above target"),
            _ => "All metrics below target".into(),
        };
        let sizes = Sizes { current, desired: proposed, least, most };
        let decision = self.decide(sizes);
        self.condition("AbleToScale", "True", decision.able.0, decision.able.1.into());
        let limited = if decision.limited { "True" } else { "False" };
        self.condition("ScalingLimited", limited, decision.limit.0, decision.limit.1.into());
        if decision.replicas == current {
            return self.settle(current, current, Some(statuses), false);
        }
        self.rescale(&scale, current, decision.replicas, &reason, Some(statuses))
    }

    fn decide(&mut self, sizes: Sizes) -> Decision {
        let none = HPAScalingRules::default();
        match &self.old.spec.behavior {
            None => self.history.decide(sizes, self.ask.now),
            Some(rules) => {
                let (up, down) = (rules.scale_up.as_ref(), rules.scale_down.as_ref());
                self.history.decide_by(up.unwrap_or(&none), down.unwrap_or(&none), sizes, self.ask.now)
            }
        }
    }

    fn tolerance(&self) -> Tolerance {
        let behavior = self.old.spec.behavior.as_ref();
        let of = |rules: Option<&HPAScalingRules>| {
            let text = rules.and_then(|r| r.tolerance.as_ref());
            // validated by the server
            text.and_then(|q| meta::quantity::Quantity::parse(&q.0).ok()).map_or(TOLERANCE, |q| q.as_f64())
        };
        Tolerance {
            down: of(behavior.and_then(|b| b.scale_down.as_ref())),
            up: of(behavior.and_then(|b| b.scale_up.as_ref())),
        }
    }

    /// The size the metrics ask for, and which of them does; `None` when the round has ended or waits.
    fn measure(&mut self, scale: &Scale<'_>) -> Result<Option<(i32, String, Vec<MetricStatus>)>, Error> {
        let text = scale.selector();
        let selector = match selector_of(text) {
            Ok(selector) => selector,
            Err((message, reason, event)) => {
                self.condition("ScalingActive", "False", "InvalidSelector", message);
                return self.give_up(scale, reason, event);
            }
        };
        let mine = |p: &&Arc<Pod>| selector.matches(|name| p.label(name));
        let pods: Vec<_> = self.ask.view.list::<Pod>(self.old.namespace()).filter(mine).collect();
        let scope = Scope {
            ask: self.ask,
            autoscaler: self.old,
            selector: text,
            pods: &pods,
            spec_replicas: scale.spec_replicas(),
            status_replicas: scale.status_replicas(),
            tolerance: self.tolerance(),
        };
        let specs = self.old.spec.metrics.as_deref().unwrap_or_default();
        let (mut best, mut statuses, mut silences) = (None::<(i32, String)>, Vec::new(), Vec::new());
        for spec in specs {
            match scope.metric(&mut self.plan, spec) {
                Ok(None) => {}
                Ok(Some(say)) => {
                    if best.as_ref().is_none_or(|(most, _)| say.replicas > *most) {
                        best = Some((say.replicas, say.name));
                    }
                    statuses.push(say.status);
                }
                Err(silence) => silences.push(silence),
            }
        }
        if !self.plan.needs.is_empty() {
            return Ok(None);
        }
        let bad = silences.len();
        for silence in &silences {
            self.plan.events.push(Event::warning(self.old, silence.reason, silence.event.clone()));
        }
        let shrinks = best.as_ref().is_some_and(|(count, _)| *count < scale.spec_replicas());
        match (best, silences.into_iter().next()) {
            (Some((count, name)), first) if first.is_none() || !shrinks => {
                let message =
                    format!("the HPA was able to successfully calculate a replica count from {name}");
                self.condition("ScalingActive", "True", "ValidMetricFound", message);
                Ok(Some((count, name, statuses)))
            }
            (_, first) => {
                let nothing =
                    Silence { reason: "InvalidMetricSourceType", event: String::new(), error: String::new() };
                let Silence { reason, event, error } = first.unwrap_or(nothing);
                let message = format!("the HPA was unable to compute the replica count: {event}");
                self.condition("ScalingActive", "False", reason, message);
                let total = specs.len();
                let message =
                    format!("invalid metrics ({bad} invalid out of {total}), first error is: {error}");
                self.give_up(scale, "FailedComputeMetricsReplicas", message)
            }
        }
    }

    /// Ends the round with an event and the sizes as they are.
    fn give_up<T>(
        &mut self,
        scale: &Scale<'_>,
        reason: &'static str,
        message: String,
    ) -> Result<Option<T>, Error> {
        if reason != "FailedComputeMetricsReplicas" {
            self.plan.events.push(Event::warning(self.old, reason, message.clone()));
        }
        self.plan.events.push(Event::warning(self.old, "FailedComputeMetricsReplicas", message));
        let desired = self.old.status.as_ref().map_or(0, |s| s.desired_replicas);
        self.settle(scale.spec_replicas(), desired, None, false)?;
        Ok(None)
    }

    fn rescale(
        &mut self,
        scale: &Scale<'_>,
        from: i32,
        to: i32,
        reason: &str,
        statuses: Option<Vec<MetricStatus>>,
    ) -> Result<(), Error> {
        let failed = self.ask.failures.iter().find(|f| f.resource == scale.resource);
        if let Some(failure) = failed {
            let message =
                format!("the HPA controller was unable to update the target scale: {}", failure.message);
            self.condition("AbleToScale", "False", "FailedUpdateScale", message);
            let desired = self.old.status.as_ref().map_or(0, |s| s.desired_replicas);
            return self.settle(from, desired, statuses, false);
        }
        let name = self.old.spec.scale_target_ref.name.clone();
        let patch = json!({"metadata": {"resourceVersion": scale.value["metadata"]["resourceVersion"]},
            "spec": {"replicas": to}});
        let op = Op::Patch { subresource: "scale", patch: Patch::Merge(patch) };
        let message = format!("New size: {to}; reason: {reason}");
        let failed = format!("New size: {to}; reason: {reason}; error: {{error}}");
        let write = self.plan.write(scale.resource.clone(), Key::new(self.old.namespace(), name), op);
        write.events(
            Event::normal(self.old, "SuccessfulRescale", message),
            Event::warning(self.old, "FailedRescale", failed),
        );
        let message = format!("the HPA controller was able to update the target scale to {to}");
        self.condition("AbleToScale", "True", "SucceededRescale", message);
        self.history.scaled(from, to, self.ask.now);
        self.settle(from, to, statuses, true)
    }

    fn settle(
        &mut self,
        current: i32,
        desired: i32,
        statuses: Option<Vec<MetricStatus>>,
        rescaled: bool,
    ) -> Result<(), Error> {
        let before = self.next.status.take().unwrap_or_default();
        self.next.status = Some(HorizontalPodAutoscalerStatus {
            current_replicas: Some(current),
            desired_replicas: desired,
            last_scale_time: if rescaled { Some(Time(self.ask.now)) } else { before.last_scale_time },
            current_metrics: statuses,
            conditions: before.conditions,
            observed_generation: before.observed_generation,
        });
        self.write()
    }

    fn write(&mut self) -> Result<(), Error> {
        self.plan.update_status(self.old, &self.next)?;
        Ok(())
    }

    fn condition(&mut self, kind: &str, status: &str, reason: &str, message: String) {
        let conditions = self.next.status.get_or_insert_default().conditions.get_or_insert_default();
        let new = HorizontalPodAutoscalerCondition {
            type_: kind.into(),
            status: status.into(),
            reason: Some(reason.into()),
            message: Some(message),
            last_transition_time: Some(Time(self.ask.now)),
        };
        match conditions.iter_mut().find(|c| c.type_ == kind) {
            Some(known) => {
                let since = known.last_transition_time.take().filter(|_| known.status == status);
                *known = HorizontalPodAutoscalerCondition {
                    last_transition_time: since.or(new.last_transition_time.clone()),
                    ..new
                };
            }
            None => conditions.push(new),
        }
    }
}
