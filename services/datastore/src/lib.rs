//! The etcd v3 API over SQLite.
//!
//! The engine, the gRPC services and what they promise are in `mvcc`; here is what keeps its batches durable
//! ([`sqlite`]) and what a process around it needs. The socket is served by one thread, writes are made durable by
//! another, values that are not in memory are read by a third.
//!
//! Invariants: one process has the database (SQLite's own lock, taken exclusively); nothing is acknowledged before
//! `fdatasync` of the WAL returned.

pub mod kine;
mod serve;
mod settings;
pub mod sqlite;

pub use serve::run;
pub use settings::Settings;
