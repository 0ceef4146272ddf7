//! How fast a target may change its size: recommendations held for a while, and rates of change.
//!
//! # Upstream
//! `pkg/controller/podautoscaler/horizontal.go`: `normalizeDesiredReplicas…`, `convertDesiredReplicas…`

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::HPAScalingRules;

/// How long the highest recommendation holds without rules of the user's, in seconds.
const DOWNSCALE_WINDOW: i32 = 300;
const UP_FACTOR: f64 = 2.0;
const UP_LEAST: f64 = 4.0;

/// What an autoscaler remembers between its rounds.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    /// When it last looked.
    pub(super) last: Option<Timestamp>,
    recommendations: Vec<(i32, Timestamp)>,
    ups: Vec<(i32, Timestamp)>,
    downs: Vec<(i32, Timestamp)>,
}

/// The sizes a decision is made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) current: i32,
    pub(super) desired: i32,
    pub(super) least: i32,
    pub(super) most: i32,
}

/// A decision with the two conditions that explain it, as reason and message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) replicas: i32,
    pub(super) able: (&'static str, &'static str),
    pub(super) limit: (&'static str, &'static str),
    pub(super) limited: bool,
}

const READY: (&str, &str) = ("ReadyForNewScale", "recommended size matches current size");
const DOWN_STABILIZED: (&str, &str) = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
);
const UP_STABILIZED: (&str, &str) = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
);
const WITHIN: (&str, &str) = ("DesiredWithinRange", "the desired count is within the acceptable range");
const TOO_FAST_UP: (&str, &str) =
    ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate");
const TOO_FAST_DOWN: (&str, &str) =
    ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate");
const TOO_MANY: (&str, &str) =
    ("TooManyReplicas", "the desired replica count is more than the maximum replica count");
const TOO_FEW: (&str, &str) =
    ("TooFewReplicas", "the desired replica count is less than the minimum replica count");

fn since(now: Timestamp, at: Timestamp) -> i64 {
    now.as_second() - at.as_second()
}

fn change(events: &[(i32, Timestamp)], seconds: i32, now: Timestamp) -> i32 {
    events.iter().filter(|(_, at)| since(now, *at) < i64::from(seconds)).map(|(count, _)| count).sum()
}

impl History {
    /// Begins with the size that is there.
    pub(super) fn begin(&mut self, current: i32, now: Timestamp) {
        if self.recommendations.is_empty() {
            self.recommendations.push((current, now));
        }
    }

    /// Notes a change of size.
    pub(super) fn scaled(&mut self, from: i32, to: i32, now: Timestamp) {
        if to > from {
            self.ups.push((to - from, now));
        } else {
            self.downs.push((from - to, now));
        }
    }

    /// Forgets what no rule looks back to.
    fn prune(&mut self, now: Timestamp, window: i32, periods: i32) {
        self.recommendations.retain(|(_, at)| since(now, *at) <= i64::from(window));
        self.ups.retain(|(_, at)| since(now, *at) <= i64::from(periods));
        self.downs.retain(|(_, at)| since(now, *at) <= i64::from(periods));
    }

    /// Decides without rules of the user's.
    pub(super) fn decide(&mut self, sizes: Sizes, now: Timestamp) -> Decision {
        self.prune(now, DOWNSCALE_WINDOW, 0);
        let highest = self.recommendations.iter().map(|(count, _)| *count).max().unwrap_or(0);
        let stable = sizes.desired.max(highest);
        self.recommendations.push((sizes.desired, now));
        let able = if stable == sizes.desired { READY } else { DOWN_STABILIZED };
        let fastest = (UP_FACTOR * f64::from(sizes.current)).max(UP_LEAST) as i32;
        let (most, why) = if sizes.most > fastest { (fastest, TOO_FAST_UP) } else { (sizes.most, TOO_MANY) };
        let (replicas, limit) = if stable < sizes.least {
            (sizes.least, TOO_FEW)
        } else if stable > most {
            (most, why)
        } else {
            (stable, WITHIN)
        };
        Decision { replicas, able, limit, limited: replicas != stable }
    }

    /// Decides by the user's rules.
    pub(super) fn decide_by(
        &mut self,
        up: &HPAScalingRules,
        down: &HPAScalingRules,
        sizes: Sizes,
        now: Timestamp,
    ) -> Decision {
        let up_window = up.stabilization_window_seconds.unwrap_or(0);
        let down_window = down.stabilization_window_seconds.unwrap_or(DOWNSCALE_WINDOW);
        let periods =
            [up, down].into_iter().flat_map(|r| r.policies.iter().flatten()).map(|p| p.period_seconds);
        self.prune(now, up_window.max(down_window), periods.max().unwrap_or(0));
        let within = |window: i32| {
            let fresh = move |r: &&(i32, Timestamp)| since(now, r.1) < i64::from(window);
            self.recommendations.iter().filter(fresh).map(|(count, _)| *count)
        };
        let lowest = within(up_window).min().unwrap_or(sizes.desired).min(sizes.desired);
        let highest = within(down_window).max().unwrap_or(sizes.desired).max(sizes.desired);
        let stable = sizes.current.max(lowest).min(highest);
        self.recommendations.push((sizes.desired, now));
        let able = match stable == sizes.desired {
            true => READY,
            false if sizes.desired >= sizes.current => UP_STABILIZED,
            false => DOWN_STABILIZED,
        };
        let (replicas, limit) = self.rate(up, down, Sizes { desired: stable, ..sizes }, now);
        Decision { replicas, able, limit, limited: replicas != stable }
    }

    fn rate(
        &self,
        up: &HPAScalingRules,
        down: &HPAScalingRules,
        sizes: Sizes,
        now: Timestamp,
    ) -> (i32, (&'static str, &'static str)) {
        let Sizes { current, desired, least, most } = sizes;
        if desired > current {
            let limit = self.limit(up, current, now, true).max(current);
            let (most, why) = if most > limit { (limit, TOO_FAST_UP) } else { (most, TOO_MANY) };
            if desired > most {
                return (most, why);
            }
        } else if desired < current {
            let limit = self.limit(down, current, now, false).min(current);
            let (least, why) = if least < limit { (limit, TOO_FAST_DOWN) } else { (least, TOO_FEW) };
            if desired < least {
                return (least, why);
            }
        }
        (desired, WITHIN)
    }

    /// The size the policies allow at most (or at least, going down).
    fn limit(&self, rules: &HPAScalingRules, current: i32, now: Timestamp, up: bool) -> i32 {
        let select = rules.select_policy.as_deref().unwrap_or("Max");
        if select == "Disabled" {
            return current;
        }
        let proposals = rules.policies.iter().flatten().map(|policy| {
            let (added, removed) = (
                change(&self.ups, policy.period_seconds, now),
                change(&self.downs, policy.period_seconds, now),
            );
            let start = current - added + removed;
            let share = f64::from(policy.value) / 100.0;
            match (policy.type_.as_str(), up) {
                ("Pods", true) => start + policy.value,
                ("Pods", false) => start - policy.value,
                (_, true) => (f64::from(start) * (1.0 + share)).ceil() as i32,
                (_, false) => (f64::from(start) * (1.0 - share)) as i32,
            }
        });
        // the greatest change: the highest size going up, the lowest going down
        if (select == "Min") == up {
            proposals.min().unwrap_or(i32::MAX)
        } else {
            proposals.max().unwrap_or(i32::MIN)
        }
    }
}
