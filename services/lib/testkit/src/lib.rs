//! For tests only: temporary stores, servers and clocks.

mod store;

pub use store::{Store, store, store_over};
