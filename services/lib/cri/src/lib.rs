//! The container runtime interface, v1, and the node's plugin interfaces: generated messages, a client, a small server.
//!
//! The client speaks gRPC itself, over one HTTP/2 connection on a unix socket: a length-prefixed message each way and
//! a status in the trailers is all CRI needs of it. The messages come from `generator/`, never from a build script.

mod authority;
mod gate;
mod grpc;
pub mod plugin;
mod runtime;
mod serve;

#[allow(missing_docs, unreachable_pub, clippy::all)]
#[rustfmt::skip]
pub mod v1;

pub use grpc::{Code, Connection, Error, Stream};
pub use runtime::{BOUNDS, Count, Runtime};
pub use serve::{Answer, Refusal, answer, serve};
