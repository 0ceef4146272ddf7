//! NetworkPolicy as nftables.
//!
//! A pod that policies select is *isolated*: an element leads its address to the chain of just these policies, and what
//! no policy lets through is refused. Who may come is in sets shared by all policies (`rule number . address`), so a pod
//! that comes or goes changes elements, never rules; a policy that changes makes its own chain anew.
//!
//! Where: the `forward` hook of the address families, after Services have been resolved, so policies see pods' own
//! addresses. Two pods of one node talk over the bridge, whose frames come by this hook because the bridge hands them to
//! the firewall (`net.bridge.bridge-nf-call-iptables`); Services need that too, since answers between such pods must be
//! translated back. Tables of the bridge family would not do: they have no connection tracking unless one more module is
//! loaded, and do not see what is routed. Traffic between a node and its own pods takes other hooks and is let through,
//! as the API demands.
//!
//! Answers and related packets always pass; a policy decides about new connections. Pods in the host's network have the
//! node's address: they are neither isolated nor found by selectors.
//!
//! Pods and namespaces are watched only while there is a policy.

mod app;
pub mod layout;
pub mod model;
pub mod plan;
pub mod state;

pub use app::Kernel;
pub(crate) use app::run;
