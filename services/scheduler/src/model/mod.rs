//! What is kept of objects: projections made once from the wire, shared from then on.

mod class;
mod images;
mod node;
mod owners;
mod pod;
mod resources;
mod selector;
mod storage;

pub use class::{AffinityTerm, Class, OwnerRef, Port, SpreadConstraint, Toleration, WeightedTerm};
pub use images::image_hash;
pub use node::{Node, Taint};
pub use owners::{Budget, Namespace, Selecting, Service};
pub use pod::{Condition, Disk, Pod, VolumeUse};
pub use resources::{Demand, Resources};
pub use selector::{
    Labels, NodeSelector, NodeSelectorTerm, NodeTerm, Requirement, Selector, WeightedNodeTerm,
};
pub use storage::{
    Attachment, Capacity, Claim, ClaimRef, CsiNode, Driver, StorageClass, TopologyTerm, Volume,
};
