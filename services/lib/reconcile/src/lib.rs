//! The plan/apply runtime: caches, queues, retries, expectations, leader checks, once for every loop.
//!
//! A [`Controller`] states which kinds it watches and writes and has one pure function, `plan`, from a [`View`] of the
//! shared caches to a [`Plan`] of writes. The [`Runtime`] does everything else.
//!
//! Invariants: a key is planned by one task at a time; it is planned again only when the caches show what its last plan
//! wrote, and after asking for what the API server may have written without an answer; a controller never writes what
//! it did not declare.

mod apply;
mod controller;
mod events;
mod expect;
pub mod kit;
mod lease;
mod measure;
mod memory;
mod metrics;
mod name;
mod plan;
mod queue;
mod runtime;
mod selector;

pub use controller::{Answer, Ask, Controller, Error, Permit, Refusal, Watch};
pub use events::{Event, Involved, Level, Recorder};
pub use lease::{Election, lead};
pub use measure::{Form, Metric, Sample};
pub use metrics::Metrics;
pub use objects::{
    Body, Caches, Container, ContainerStatus, Kind, Owners, Pod, View, Volume, Word, owners, word,
};
pub use plan::{Effect, EffectResult, Failure, Memory, Need, Op, Plan, Write, merge_diff};
pub use queue::Queue;
pub use runtime::Runtime;
pub use selector::{matches, selects};
