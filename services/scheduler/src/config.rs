//! `KubeSchedulerConfiguration` (kubescheduler.config.k8s.io/v1), and the profiles made of it.
//!
//! # Upstream
//! `pkg/scheduler/apis/config/v1/{defaults,default_plugins}.go`, `pkg/scheduler/apis/config/validation`

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::plugins::{
    Plugin, PluginSet, balanced_allocation, inter_pod_affinity, node_affinity, node_resources,
    pod_topology_spread,
};

/// The configuration as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Configuration {
    api_version: String,
    kind: String,
    parallelism: Option<u32>,
    leader_election: Option<Value>,
    client_connection: Option<Value>,
    enable_profiling: Option<bool>,
    enable_contention_profiling: Option<bool>,
    delay_cache_until_active: Option<bool>,
    percentage_of_nodes_to_score: Option<i64>,
    pod_initial_backoff_seconds: Option<u64>,
    pod_max_backoff_seconds: Option<u64>,
    profiles: Vec<ProfileSpec>,
    extenders: Vec<Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ProfileSpec {
    scheduler_name: Option<String>,
    percentage_of_nodes_to_score: Option<i64>,
    plugins: Plugins,
    plugin_config: Vec<PluginConfig>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Plugins {
    multi_point: Set,
    pre_enqueue: Set,
    queue_sort: Set,
    pre_filter: Set,
    filter: Set,
    post_filter: Set,
    pre_score: Set,
    score: Set,
    reserve: Set,
    permit: Set,
    pre_bind: Set,
    bind: Set,
    post_bind: Set,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Set {
    enabled: Vec<Named>,
    disabled: Vec<Named>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Named {
    name: String,
    weight: Option<i64>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct PluginConfig {
    name: String,
    #[serde(default)]
    args: Value,
}

/// The arguments of preemption.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PreemptionArgs {
    /// Of the nodes that could do, at least this part is looked at.
    pub min_candidate_nodes_percentage: i64,
    /// And at least so many.
    pub min_candidate_nodes_absolute: i64,
}

impl Default for PreemptionArgs {
    fn default() -> Self {
        Self { min_candidate_nodes_percentage: 10, min_candidate_nodes_absolute: 100 }
    }
}

/// How pods of one scheduler name are placed.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The scheduler name.
    pub name: String,
    /// Plugins that may refuse a node.
    pub filters: PluginSet,
    /// Weights of plugins that score; 0 for those that do not.
    pub weights: [i64; Plugin::ALL.len()],
    /// Whether lower priorities are displaced.
    pub preempts: bool,
    /// How many nodes are looked at, in percent; 0 for a share that falls with their number.
    pub percentage: i64,
    /// Arguments.
    pub node_affinity: node_affinity::Args,
    /// Arguments.
    pub resources: node_resources::Args,
    /// Arguments.
    pub balanced: balanced_allocation::Args,
    /// Arguments.
    pub spread: pod_topology_spread::Args,
    /// Arguments.
    pub pod_affinity: inter_pod_affinity::Args,
    /// Arguments.
    pub preemption: PreemptionArgs,
    /// How long volumes may take.
    pub bind_timeout: Duration,
}

/// Everything a configuration says that matters here.
#[derive(Debug, Clone)]
pub struct Rules {
    /// At least one.
    pub profiles: Vec<Profile>,
    /// The first time a pod is put back.
    pub initial_backoff: Duration,
    /// The longest.
    pub max_backoff: Duration,
}

const FILTERS: [Plugin; 12] = [
    Plugin::NodeUnschedulable,
    Plugin::NodeName,
    Plugin::TaintToleration,
    Plugin::NodeAffinity,
    Plugin::NodePorts,
    Plugin::NodeResourcesFit,
    Plugin::VolumeRestrictions,
    Plugin::NodeVolumeLimits,
    Plugin::VolumeBinding,
    Plugin::VolumeZone,
    Plugin::PodTopologySpread,
    Plugin::InterPodAffinity,
];

const WEIGHTS: [(Plugin, i64); 7] = [
    (Plugin::TaintToleration, 3),
    (Plugin::NodeAffinity, 2),
    (Plugin::NodeResourcesFit, 1),
    (Plugin::PodTopologySpread, 2),
    (Plugin::InterPodAffinity, 2),
    (Plugin::BalancedAllocation, 1),
    (Plugin::ImageLocality, 1),
];

impl Default for Profile {
    fn default() -> Self {
        let mut weights = [0; Plugin::ALL.len()];
        for (plugin, weight) in WEIGHTS {
            weights[plugin as usize] = weight;
        }
        Self {
            name: "default-scheduler".into(),
            filters: FILTERS.into_iter().collect(),
            weights,
            preempts: true,
            percentage: 0,
            node_affinity: node_affinity::Args::default(),
            resources: node_resources::Args::default(),
            balanced: balanced_allocation::Args::default(),
            spread: pod_topology_spread::Args::default(),
            pod_affinity: inter_pod_affinity::Args::default(),
            preemption: PreemptionArgs::default(),
            bind_timeout: Duration::from_secs(600),
        }
    }
}

impl Profile {
    /// What a plugin's score counts.
    pub fn weight(&self, plugin: Plugin) -> i64 {
        self.weights[plugin as usize]
    }

    fn of(spec: ProfileSpec) -> anyhow::Result<Self> {
        let mut profile = Self::default();
        if let Some(name) = spec.scheduler_name {
            profile.name = name;
        }
        let plugins = spec.plugins;
        for point in [&plugins.multi_point, &plugins.filter] {
            profile.change_filters(point)?;
        }
        for point in [&plugins.multi_point, &plugins.score] {
            profile.change_weights(point)?;
        }
        for point in [&plugins.multi_point, &plugins.post_filter] {
            let named = |list: &[Named]| {
                list.iter().any(|n| n.name == "*" || n.name == Plugin::DefaultPreemption.name())
            };
            profile.preempts &= !named(&point.disabled);
            profile.preempts |= named(&point.enabled);
        }
        let others = [
            plugins.pre_enqueue,
            plugins.queue_sort,
            plugins.pre_filter,
            plugins.pre_score,
            plugins.reserve,
            plugins.permit,
            plugins.pre_bind,
            plugins.bind,
            plugins.post_bind,
        ];
        for named in others.iter().flat_map(|set| &set.enabled) {
            plugin(&named.name)?;
        }
        for config in spec.plugin_config {
            profile.configure(&config).with_context(|| format!("arguments of plugin {:?}", config.name))?;
        }
        Ok(profile)
    }

    fn change_filters(&mut self, point: &Set) -> anyhow::Result<()> {
        for named in &point.disabled {
            if named.name == "*" {
                self.filters = PluginSet::default();
            } else if let Some(plugin) = Plugin::named(&named.name) {
                self.filters.remove(plugin);
            }
        }
        for named in &point.enabled {
            let plugin = plugin(&named.name)?;
            if FILTERS.contains(&plugin) {
                self.filters.insert(plugin);
            }
        }
        Ok(())
    }

    fn change_weights(&mut self, point: &Set) -> anyhow::Result<()> {
        for named in &point.disabled {
            if named.name == "*" {
                self.weights = [0; Plugin::ALL.len()];
            } else if let Some(plugin) = Plugin::named(&named.name) {
                self.weights[plugin as usize] = 0;
            }
        }
        for named in &point.enabled {
            let plugin = plugin(&named.name)?;
            if WEIGHTS.iter().any(|(p, _)| *p == plugin) {
                self.weights[plugin as usize] = named.weight.filter(|w| *w != 0).unwrap_or(1);
            }
        }
        Ok(())
    }

    fn configure(&mut self, config: &PluginConfig) -> anyhow::Result<()> {
        match plugin(&config.name)? {
            Plugin::NodeAffinity => self.node_affinity = arguments(config)?,
            Plugin::NodeResourcesFit => {
                self.resources = arguments(config)?;
                let strategy = &self.resources.scoring_strategy;
                ensure!(
                    strategy.kind != node_resources::Kind::RequestedToCapacityRatio
                        || strategy.requested_to_capacity_ratio.as_ref().is_some_and(|r| !r.shape.is_empty()),
                    "requestedToCapacityRatio.shape: at least one point must be specified"
                );
            }
            Plugin::BalancedAllocation => self.balanced = arguments(config)?,
            Plugin::PodTopologySpread => self.spread = arguments(config)?,
            Plugin::InterPodAffinity => self.pod_affinity = arguments(config)?,
            Plugin::DefaultPreemption => self.preemption = arguments(config)?,
            Plugin::VolumeBinding => {
                #[derive(Deserialize, Default)]
                #[serde(rename_all = "camelCase", default)]
                struct Args {
                    bind_timeout_seconds: Option<u64>,
                }
                let args: Args = arguments(config)?;
                self.bind_timeout = Duration::from_secs(args.bind_timeout_seconds.unwrap_or(600));
            }
            _ => {}
        }
        Ok(())
    }
}

fn plugin(name: &str) -> anyhow::Result<Plugin> {
    Plugin::named(name).with_context(|| format!("plugin {name:?} does not exist"))
}

fn arguments<T: DeserializeOwned + Default>(config: &PluginConfig) -> anyhow::Result<T> {
    if config.args.is_null() { Ok(T::default()) } else { Ok(serde_json::from_value(config.args.clone())?) }
}

impl Configuration {
    /// Checks it and makes profiles of it.
    ///
    /// # Errors
    /// What is wrong or not supported.
    pub fn rules(self) -> anyhow::Result<Rules> {
        const VERSION: &str = "kubescheduler.config.k8s.io/v1";
        ensure!(self.api_version.is_empty() || self.api_version == VERSION, "apiVersion is not {VERSION}");
        ensure!(self.kind.is_empty() || self.kind == "KubeSchedulerConfiguration", "kind is {:?}", self.kind);
        ensure!(self.extenders.is_empty(), "extenders are not supported");
        let ignored = [
            ("parallelism", self.parallelism.is_some()),
            ("leaderElection", self.leader_election.is_some()),
            ("clientConnection", self.client_connection.is_some()),
            ("enableProfiling", self.enable_profiling.is_some()),
            ("enableContentionProfiling", self.enable_contention_profiling.is_some()),
            ("delayCacheUntilActive", self.delay_cache_until_active.is_some()),
        ];
        for (field, _) in ignored.into_iter().filter(|(_, given)| *given) {
            tracing::warn!(field, "A field of the scheduler configuration has no effect");
        }
        let (initial, most) =
            (self.pod_initial_backoff_seconds.unwrap_or(1), self.pod_max_backoff_seconds.unwrap_or(10));
        ensure!(initial > 0, "podInitialBackoffSeconds: must be greater than 0");
        ensure!(
            most >= initial,
            "podMaxBackoffSeconds: must be greater than or equal to PodInitialBackoffSeconds"
        );
        let mut profiles = Vec::new();
        let specs = if self.profiles.is_empty() { vec![ProfileSpec::default()] } else { self.profiles };
        for spec in specs {
            let percentage =
                spec.percentage_of_nodes_to_score.or(self.percentage_of_nodes_to_score).unwrap_or(0);
            ensure!((0..=100).contains(&percentage), "percentageOfNodesToScore: not in valid range [0-100]");
            let profile = Profile { percentage, ..Profile::of(spec)? };
            if profiles.iter().any(|p: &Profile| p.name == profile.name) {
                bail!("profiles: duplicate schedulerName {:?}", profile.name);
            }
            profiles.push(profile);
        }
        Ok(Rules {
            profiles,
            initial_backoff: Duration::from_secs(initial),
            max_backoff: Duration::from_secs(most),
        })
    }
}
