//! What decides: one file per plugin of upstream, under upstream's names.

pub mod balanced_allocation;
pub mod default_preemption;
pub mod image_locality;
pub mod inter_pod_affinity;
pub mod node_affinity;
pub mod node_ports;
pub mod node_resources;
pub mod node_unschedulable;
pub mod node_volume_limits;
pub mod pod_topology_spread;
pub mod taint_toleration;
pub mod volume_binding;
pub mod volume_restrictions;
pub mod volume_zone;

mod cause;

pub use cause::{Cause, VolumeConflict};

/// The most a node gets from one plugin.
pub const MAX_SCORE: i64 = 100;

macro_rules! plugins {
    ($($plugin:ident = $name:literal),* $(,)?) => {
        /// A plugin.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Plugin { $(
            #[doc = $name]
            $plugin
        ),* }

        impl Plugin {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$plugin),*];

            /// Upstream's name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$plugin => $name),* }
            }
        }
    };
}

plugins! {
    SchedulingGates = "SchedulingGates",
    PrioritySort = "PrioritySort",
    NodeUnschedulable = "NodeUnschedulable",
    NodeName = "NodeName",
    TaintToleration = "TaintToleration",
    NodeAffinity = "NodeAffinity",
    NodePorts = "NodePorts",
    NodeResourcesFit = "NodeResourcesFit",
    VolumeRestrictions = "VolumeRestrictions",
    NodeVolumeLimits = "NodeVolumeLimits",
    VolumeBinding = "VolumeBinding",
    VolumeZone = "VolumeZone",
    PodTopologySpread = "PodTopologySpread",
    InterPodAffinity = "InterPodAffinity",
    DynamicResources = "DynamicResources",
    DefaultPreemption = "DefaultPreemption",
    BalancedAllocation = "NodeResourcesBalancedAllocation",
    ImageLocality = "ImageLocality",
    DefaultBinder = "DefaultBinder",
}

impl Plugin {
    /// The plugin of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|p| p.name() == name)
    }
}

/// Some plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PluginSet(u32);

impl PluginSet {
    /// With one more.
    pub fn insert(&mut self, plugin: Plugin) {
        self.0 |= 1 << plugin as u8;
    }

    /// Without one.
    pub fn remove(&mut self, plugin: Plugin) {
        self.0 &= !(1 << plugin as u8);
    }

    /// Whether a plugin is in it.
    pub fn has(self, plugin: Plugin) -> bool {
        self.0 & (1 << plugin as u8) != 0
    }

    /// Whether none is.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those in it.
    pub fn iter(self) -> impl Iterator<Item = Plugin> {
        Plugin::ALL.iter().copied().filter(move |p| self.has(*p))
    }
}

impl FromIterator<Plugin> for PluginSet {
    fn from_iter<I: IntoIterator<Item = Plugin>>(plugins: I) -> Self {
        let mut set = Self::default();
        plugins.into_iter().for_each(|p| set.insert(p));
        set
    }
}

/// Scores made 0 to 100 by the highest, or turned round.
///
/// # Upstream
/// `pkg/scheduler/framework/plugins/helper/normalize_score.go` `DefaultNormalizeScore`
pub fn normalize(score: i64, highest: i64, reverse: bool) -> i64 {
    let scaled = if highest == 0 { 0 } else { MAX_SCORE * score / highest };
    if reverse { MAX_SCORE - scaled } else { scaled }
}
