//! HTTP: the request chain, and responses.

pub mod chain;
pub mod limits;
pub mod response;
pub mod websocket;
