//! The three patches of PATCH: JSON patch, merge patch, strategic merge patch.

mod json;
mod merge;
mod strategic;
#[cfg(test)]
mod tests;

pub use json::{JsonPatchError, json_patch};
pub use merge::{MergePatchError, merge_patch};
pub use strategic::{StrategicError, strategic};
