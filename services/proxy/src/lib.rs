//! Services as nftables.
//!
//! Observe, plan, apply: caches of Services, EndpointSlices and this Node; [`plan::plan`] says what a Service asks of
//! the node (pure); [`program::Program`] brings the differences into the kernel in atomic batches. The tables are a few
//! named maps ([`layout`]): a change costs what changed, whatever the number of Services.
//!
//! Fail-static: nothing is taken away when the proxy stops, and a start compares what it finds with what it wants.

mod app;
pub mod elements;
mod health;
pub mod layout;
mod metrics;
pub mod model;
pub mod network;
pub mod plan;
pub mod policy;
pub mod program;
pub mod ranges;
mod settings;
mod stale;

pub use app::run;
pub use settings::Settings;
