//! What is kept of objects: projections made once from the wire, shared from then on.

mod class;
mod images;
mod known;
mod manifest;
mod node;
mod owners;
mod pod;
mod resources;
mod selector;
mod storage;
mod volumes;

pub(crate) use class::{AffinityTerm, Class, SpreadConstraint};
pub(crate) use images::image_hash;
pub(crate) use node::{Node, Taint};
pub(crate) use owners::{Budget, Namespace, Selecting, Service};
pub(crate) use pod::Pod;
pub(crate) use resources::Demand;
pub(crate) use selector::{Labels, NodeSelector, Requirement, Selector, WeightedNodeTerm};
pub(crate) use storage::{Attachment, Capacity, Claim, CsiNode, Driver, StorageClass, Volume};
pub(crate) use volumes::VolumeUse;
