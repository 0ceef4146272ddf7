//! Why a node will not do.

use super::Plugin;

/// Why a node will not do. The words for [`Cause::Resources`] are in `node_resources`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// It is cordoned.
    Unschedulable,
    /// A taint is not tolerated.
    Taint,
    /// The profile's added affinity does not hold.
    EnforcedAffinity,
    /// The pod's node affinity or selector does not hold.
    NodeAffinity,
    /// A host port is taken.
    Ports,
    /// Something does not fit; `true` when it would not even on the empty node.
    Resources(bool),
    /// A disk is in use.
    Disk,
    /// A claim for one pod only is in use.
    ReadWriteOncePod,
    /// It has as many volumes as it takes.
    VolumeLimit,
    /// Its volumes cannot be had there.
    Volumes(VolumeConflict),
    /// Its volumes are in another zone.
    Zone,
    /// It lacks a label that spreading needs.
    SpreadLabel,
    /// Pods would be spread too unevenly.
    Spread,
    /// Pods it wants near are not.
    Affinity,
    /// Pods it does not want near are.
    AntiAffinity,
    /// Pods there do not want it near.
    ExistingAntiAffinity,
}

/// What is wrong with volumes; more than one may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct VolumeConflict {
    /// A bound volume cannot be reached from the node.
    pub node: bool,
    /// No volume to bind, and none can be made for the node.
    pub bind: bool,
    /// No room for a volume.
    pub space: bool,
    /// A bound volume does not exist.
    pub missing: bool,
}

impl Cause {
    /// Whose verdict it is.
    pub fn plugin(self) -> Plugin {
        match self {
            Self::Unschedulable => Plugin::NodeUnschedulable,
            Self::Taint => Plugin::TaintToleration,
            Self::EnforcedAffinity | Self::NodeAffinity => Plugin::NodeAffinity,
            Self::Ports => Plugin::NodePorts,
            Self::Resources(_) => Plugin::NodeResourcesFit,
            Self::Disk | Self::ReadWriteOncePod => Plugin::VolumeRestrictions,
            Self::VolumeLimit => Plugin::NodeVolumeLimits,
            Self::Volumes(_) => Plugin::VolumeBinding,
            Self::Zone => Plugin::VolumeZone,
            Self::SpreadLabel | Self::Spread => Plugin::PodTopologySpread,
            Self::Affinity | Self::AntiAffinity | Self::ExistingAntiAffinity => Plugin::InterPodAffinity,
        }
    }

    /// Whether displacing pods cannot help.
    pub fn is_unresolvable(self) -> bool {
        match self {
            Self::Resources(unresolvable) => unresolvable,
            Self::Unschedulable
            | Self::Taint
            | Self::EnforcedAffinity
            | Self::NodeAffinity
            | Self::Volumes(_)
            | Self::Zone
            | Self::SpreadLabel
            | Self::Affinity => true,
            _ => false,
        }
    }

    /// Upstream's words.
    pub fn reasons(self) -> Vec<&'static str> {
        let one = match self {
            Self::Unschedulable => "node(s) were unschedulable",
            Self::Taint => "node(s) had untolerated taint(s)",
            Self::EnforcedAffinity => "node(s) didn't match scheduler-enforced node affinity",
            Self::NodeAffinity => "node(s) didn't match Pod's node affinity/selector",
            Self::Ports => "node(s) didn't have free ports for the requested pod ports",
            Self::Resources(_) => return Vec::new(),
            Self::Disk => "node(s) had no available disk",
            Self::ReadWriteOncePod => {
                "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod"
            }
            Self::VolumeLimit => "node(s) exceed max volume count",
            Self::Volumes(conflict) => return conflict.reasons(),
            Self::Zone => "node(s) had no available volume zone",
            Self::SpreadLabel => {
                "node(s) didn't match pod topology spread constraints (missing required label)"
            }
            Self::Spread => "node(s) didn't match pod topology spread constraints",
            Self::Affinity => "node(s) didn't match pod affinity rules",
            Self::AntiAffinity => "node(s) didn't match pod anti-affinity rules",
            Self::ExistingAntiAffinity => "node(s) didn't satisfy existing pods anti-affinity rules",
        };
        vec![one]
    }
}

impl VolumeConflict {
    /// Whether nothing is wrong.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }

    fn reasons(self) -> Vec<&'static str> {
        [
            (self.node, "node(s) didn't match PersistentVolume's node affinity"),
            (self.bind, "node(s) didn't find available persistent volumes to bind"),
            (self.space, "node(s) did not have enough free storage"),
            (self.missing, "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"),
        ]
        .into_iter()
        .filter_map(|(is, text)| is.then_some(text))
        .collect()
    }
}
