//! Reading a request: what it asks for, its options and the answers it accepts.

pub mod accept;
pub mod info;
pub mod options;

pub use info::RequestInfo;
