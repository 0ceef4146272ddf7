//! Pods: what is wanted, what is there, what to do about it, what to tell of it.

pub mod admission;
pub mod apply;
pub mod backoff;
pub mod facts;
pub mod kill;
pub mod manifests;
pub mod memory;
pub mod observed;
pub mod phase;
pub mod plan;
pub mod report;
pub mod resize;
pub mod start;
pub mod status;
pub mod worker;
pub mod workers;
