//! Service account tokens: JSON web tokens signed with the cluster's service account key.

mod claims;
mod keys;

pub use claims::{Claims, Issue, Private, Reference, audiences, issue};
pub use keys::{KeyError, PublicKeys, SigningKey};
