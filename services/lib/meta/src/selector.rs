//! Label and field selectors.
//!
//! # Upstream
//! `k8s.io/apimachinery/pkg/labels/selector.go`, `pkg/fields/selector.go`, `pkg/apis/meta/v1/helpers.go`

mod field;
mod label;
mod parse;

pub use field::{FieldSelector, FieldTerm};
pub use label::{LabelSelector, Operator, Requirement};

/// A selector that cannot be read, with upstream's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(pub String);
