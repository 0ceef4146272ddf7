//! One contract suite for every store: etcd first, then ours; and what its slow judges share: writers that remember
//! what was acknowledged to them.

mod bench;
mod ledger;
mod writers;

pub use bench::{Figures, creates, fan_out, process_usage, ranges};
pub use ledger::{Entry, Ledger};
pub use writers::{verify, write_until_lost};
