//! The Kubernetes API: HTTP in, store out.
//!
//! A request is one visible chain ([`http::chain`]): request info, authentication, impersonation, authorization,
//! then a verb ([`verbs`]) with its admission, then encoding ([`encode`]). Reads come from the watch cache
//! ([`store`]) as bytes; what is served is a snapshot ([`registry`]) that is swapped whole.

pub mod admission;
pub mod aggregate;
pub mod alloc;
pub mod audit;
pub mod auth;
pub mod codec;
pub mod encode;
pub mod endpoints;
pub mod errors;
pub mod flow;
pub mod http;
pub mod registry;
pub mod request;
pub mod run;
pub mod selector;
pub mod server;
pub mod settings;
pub mod start;
pub mod store;
pub mod sub;
pub mod supervisor;
pub mod tls;
pub mod verbs;

pub use run::run;
pub use settings::Settings;
