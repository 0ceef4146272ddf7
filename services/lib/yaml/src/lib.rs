//! YAML as Go reads it: the 1.1 scalars of `sigs.k8s.io/yaml`, documents, and a plain writer.
//!
//! Values are `serde_json::Value`: configuration and manifests on their way to an API, never cached objects.

mod read;
mod scalar;
mod write;

pub use read::{Error, documents, parse};
pub use scalar::resolve;
pub use write::to_string;
