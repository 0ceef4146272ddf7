//! Metrics, under upstream's names.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

/// What the proxy counts.
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    /// Seconds of each change brought to the kernel.
    pub(crate) sync: Histogram,
    /// When the kernel was last in step.
    pub(crate) last: Gauge,
    /// Refused batches.
    pub(crate) failures: Counter,
    /// Elements changed.
    pub(crate) elements: Counter,
}

impl Counts {
    /// Registers them.
    pub(crate) fn register(metrics: &daemon::Metrics) -> Self {
        let counts = Self {
            sync: Histogram::new(exponential_buckets(0.0001, 2.0, 18)),
            last: Gauge::default(),
            failures: Counter::default(),
            elements: Counter::default(),
        };
        let registered = counts.clone();
        metrics.register(|registry| {
            let registry = registry.sub_registry_with_prefix("kubeproxy");
            registry.register(
                "sync_proxy_rules_duration_seconds",
                "SyncProxyRules latency in seconds",
                registered.sync,
            );
            registry.register(
                "sync_proxy_rules_last_timestamp_seconds",
                "The last time proxy rules were successfully synced",
                registered.last,
            );
            registry.register(
                "sync_proxy_rules_nftables_sync_failures",
                "Cumulative proxy nftables sync failures",
                registered.failures,
            );
            registry.register(
                "sync_proxy_rules_nftables_elements",
                "Cumulative nftables elements added and removed",
                registered.elements,
            );
        });
        counts
    }
}

/// What enforcing policies counts.
#[derive(Debug, Clone)]
pub(crate) struct PolicyCounts {
    /// Seconds of each change brought to the kernel.
    pub(crate) sync: Histogram,
    /// Refused batches.
    pub(crate) failures: Counter,
}

impl PolicyCounts {
    /// Registers them.
    pub(crate) fn register(metrics: &daemon::Metrics) -> Self {
        let counts =
            Self { sync: Histogram::new(exponential_buckets(0.0001, 2.0, 18)), failures: Counter::default() };
        let registered = counts.clone();
        metrics.register(|registry| {
            let registry = registry.sub_registry_with_prefix("k3s_rs_network_policy");
            let help = "Latency in seconds of bringing a change of policies or pods to the kernel";
            registry.register("sync_duration_seconds", help, registered.sync);
            registry.register("sync_failures", "Refused changes of policies", registered.failures);
        });
        counts
    }
}
