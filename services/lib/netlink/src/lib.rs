//! The kernel's network objects: links, routes, neighbours, nftables, conntrack.
//!
//! Routes and links go through `rtnetlink`. nftables and conntrack are encoded here, straight into one buffer per
//! transaction: ten thousand map elements are a few megabytes in one `sendmsg`, with no object per attribute. These
//! calls are synchronous because the kernel answers within the system call.

mod attr;
pub mod conntrack;
mod error;
pub mod nft;
pub mod route;
mod socket;

pub use error::Error;
