//! The revisioned key-value engine: a pure core over one seam, `trait Log`.
//!
//! ```text
//! gRPC services → Engine: queue → State::plan (pure) → Log::append (durable) → State::publish → replies, watchers
//! ```
//!
//! [`State`] is the whole store but the values: every key's versions down to the compacted revision, the order of
//! changes, leases. [`State::plan`] turns a batch of requests into rows and replies without changing anything; the
//! [`Engine`] appends the rows to the [`Log`], and only when they are durable publishes them to readers, watchers and
//! clients. Whatever queued during one append is the next batch.
//!
//! Invariants:
//! - nothing is visible to anybody before it is durable;
//! - a log that failed once is not used again: it is opened anew and the state rebuilt from it;
//! - a value is stored once, in the log; the state knows where.

mod cache;
mod draft;
mod engine;
pub mod grpc;
mod index;
mod log;
mod memory;
mod reply;
mod request;
mod state;
mod txn;
mod writer;

pub use engine::{Engine, Options, StartError};
pub use index::{Change, Found, Version};
pub use log::{Batch, Head, LeaseChange, Log, LogError, Opener, Reader, Record, Row, SizeBytes};
pub use memory::MemoryLog;
pub use reply::{Refusal, Reply, ReplyOp};
pub use request::{Request, needs};
pub use state::{Answer, Plan, State};
