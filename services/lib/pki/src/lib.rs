//! Certificate authorities, certificates, kubeconfigs and join tokens, laid out as in k3s.
//!
//! Files are made when missing and kept when there: an authority for its ten years, a leaf until it is about to
//! expire or no longer says what it should. Keys are never changed under a certificate.

mod authority;
mod files;
mod keys;
mod kubeconfig;
mod leaf;
mod password;
pub mod signer;
mod token;

pub use authority::Authority;
pub use files::{write_private, write_public};
pub use keys::{new_key, read_key, request};
pub use kubeconfig::{kubeconfig, kubeconfig_of_files};
pub use leaf::{Facts, Leaf, Usage, facts};
pub use password::{hash_password, is_password};
pub use token::{Token, authority_hash, random_hex};

use std::path::PathBuf;

/// Why a certificate or token cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file cannot be read or written.
    #[error("{action} {path}")]
    File {
        /// `reading`, `writing`, `making`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A key or certificate cannot be made or used.
    #[error("certificate {name}")]
    Certificate {
        /// Which.
        name: String,
        /// Why.
        source: rcgen::Error,
    },
    /// A file holds nothing that can be used.
    #[error("{name}: malformed file")]
    Malformed {
        /// Which.
        name: String,
    },
    /// No randomness.
    #[error("reading random numbers")]
    Random,
}
