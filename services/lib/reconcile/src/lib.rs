//! The plan/apply runtime: caches, queues, retries, expectations, leader checks, once for every loop.
//!
//! A [`Controller`] states which kinds it watches and writes and has one pure function, `plan`, from a [`View`] of the
//! shared caches to a [`Plan`] of writes. The [`Runtime`] does everything else.
//!
//! Invariants: a key is planned by one task at a time; it is planned again only when the caches show what its last plan
//! wrote; a controller never writes what it did not declare.

mod apply;
mod caches;
mod controller;
mod events;
mod expect;
mod kind;
pub mod kit;
mod lease;
mod plan;
mod queue;
mod runtime;
mod selector;
mod view;

pub use caches::Caches;
pub use controller::{Ask, Controller, Error, Permit, Watch};
pub use events::{Event, Involved, Level, Recorder};
pub use kind::Kind;
pub use lease::{Election, lead};
pub use plan::{Effect, EffectResult, Failure, Op, Plan, Write, merge_diff};
pub use queue::Queue;
pub use runtime::{Metrics, Runtime};
pub use selector::{matches, selects};
pub use view::View;
