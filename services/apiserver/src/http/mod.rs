//! HTTP: the request chain, and responses.

pub mod chain;
pub mod response;
