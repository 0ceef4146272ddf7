//! Tables for the pure parts, with cases of upstream's own tests.

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{HPAScalingPolicy, HPAScalingRules};

use super::behavior::{History, Sizes};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn sizes(current: i32, desired: i32) -> Sizes {
    Sizes { current, desired, least: 2, most: 100 }
}

#[test]
fn defaults_hold_the_highest_recommendation() {
    // (second, current, desired) to (replicas, reason of ScalingLimited)
    let cases = [
        (0, 4, 8, 8, "DesiredWithinRange"),
        (60, 8, 3, 8, "DesiredWithinRange"),
        (301, 8, 3, 3, "DesiredWithinRange"),
        (700, 3, 1, 2, "TooFewReplicas"),
        (1100, 10, 90, 20, "ScaleUpLimit"),
    ];
    let mut history = History::default();
    for (second, current, desired, replicas, reason) in cases {
        let decision = history.decide(sizes(current, desired), at(second));
        assert_eq!((decision.replicas, decision.limit.0), (replicas, reason), "at {second}");
    }
}

fn rules(window: i32, select: &str, policies: &[(&str, i32, i32)]) -> HPAScalingRules {
    let policy = |(kind, value, period): &(&str, i32, i32)| HPAScalingPolicy {
        type_: (*kind).into(),
        value: *value,
        period_seconds: *period,
    };
    HPAScalingRules {
        policies: Some(policies.iter().map(policy).collect()),
        select_policy: Some(select.into()),
        stabilization_window_seconds: Some(window),
        tolerance: None,
    }
}

#[test]
fn rules_limit_the_rate() {
    let up = rules(0, "Max", &[("Pods", 4, 60), ("Percent", 10, 60)]);
    let down = rules(0, "Max", &[("Percent", 20, 60)]);
    let mut history = History::default();
    let first = history.decide_by(&up, &down, sizes(10, 50), at(0));
    assert_eq!((first.replicas, first.limit.0), (14, "ScaleUpLimit"));
    history.scaled(10, 14, at(0));
    // the period's four are used up
    assert_eq!(history.decide_by(&up, &down, sizes(14, 50), at(30)).replicas, 14);
    assert_eq!(history.decide_by(&up, &down, sizes(14, 50), at(61)).replicas, 18);
    let mut history = History::default();
    let decision = history.decide_by(&up, &down, sizes(10, 3), at(200));
    assert_eq!((decision.replicas, decision.limit.0), (8, "ScaleDownLimit"));
    let off = rules(0, "Disabled", &[]);
    assert_eq!(History::default().decide_by(&off, &off, sizes(10, 50), at(0)).replicas, 10);
}
