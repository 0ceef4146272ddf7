//! Patches that need the table.

mod strategic;

pub use strategic::{StrategicError, strategic};
