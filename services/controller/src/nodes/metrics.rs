//! What is measured of nodes and of the pods that have to go.
//!
//! # Upstream
//! `pkg/controller/nodelifecycle/metrics.go`, `pkg/controller/tainteviction/metrics/metrics.go`

use reconcile::{Form, Metric};

pub(super) static ZONE_HEALTH: Metric = Metric {
    name: "node_collector_zone_health",
    help: "Gauge measuring percentage of healthy nodes per zone",
    label: "zone",
    form: Form::Gauge,
};

pub(super) static ZONE_SIZE: Metric = Metric {
    name: "node_collector_zone_size",
    help: "Gauge measuring number of registered Nodes per zones",
    label: "zone",
    form: Form::Gauge,
};

pub(super) static UNHEALTHY: Metric = Metric {
    name: "node_collector_unhealthy_nodes_in_zone",
    help: "Gauge measuring number of not Ready Nodes per zones",
    label: "zone",
    form: Form::Gauge,
};

pub(super) static EVICTIONS: Metric = Metric {
    name: "node_collector_evictions",
    help: "Number of Node evictions that happened since current instance of NodeController started",
    label: "zone",
    form: Form::Counter,
};

/// Of zones.
pub(super) static ZONES: [&Metric; 4] = [&ZONE_HEALTH, &ZONE_SIZE, &UNHEALTHY, &EVICTIONS];

pub(super) static UPDATE: Metric = Metric {
    name: "node_collector_update_node_health_duration_seconds",
    help: "Duration in seconds for NodeController to update the health of a single node",
    label: "",
    form: Form::Histogram(&[0.001, 0.004, 0.016, 0.064, 0.256, 1.024, 4.096, 16.384]),
};

/// Seconds from the time a pod had to go to its deletion.
pub(crate) const DELETION_BUCKETS: [f64; 12] =
    [0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0, 120.0, 180.0, 240.0];

pub(super) static DELETIONS: Metric = Metric {
    name: "taint_eviction_controller_pod_deletions",
    help: "Total number of Pods deleted by TaintEvictionController since its start",
    label: "",
    form: Form::Counter,
};

pub(super) static DELETION_SECONDS: Metric = Metric {
    name: "taint_eviction_controller_pod_deletion_duration_seconds",
    help: "Latency, in seconds, between the time when a taint effect has been activated for the Pod and its deletion via TaintEvictionController",
    label: "",
    form: Form::Histogram(&DELETION_BUCKETS),
};
