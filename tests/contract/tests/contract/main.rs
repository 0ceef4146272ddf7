//! The store's contract: one suite, which real etcd passes first, then ours in memory and on SQLite.
//!
//! Each check works under a prefix of its own, since real etcd is shared by all of them.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test through and through")]

mod compaction;
mod fixture;
mod lease;
mod range;
mod txn;
mod watch;

use fixture::Fixture;

/// Runs every check on one implementation.
macro_rules! checks {
    ($($module:ident :: $name:ident),+ $(,)?) => {
        mod etcd {
            $(#[test] fn $name() { super::Fixture::etcd(|f| super::$module::$name(f)); })+
        }
        mod memory {
            $(#[test] fn $name() { super::Fixture::memory(|f| super::$module::$name(f)); })+
        }
        mod sqlite {
            $(#[test] fn $name() { super::Fixture::sqlite(|f| super::$module::$name(f)); })+
        }
    };
}

checks! {
    range::pages_counts_and_revisions,
    range::orders_and_filters,
    range::bad_reads,
    txn::kubernetes_writes,
    txn::one_revision_for_all,
    txn::compares,
    txn::bad_transactions,
    watch::replays_and_follows,
    watch::sees_whole_revisions,
    watch::filters_and_cancels,
    watch::progress_is_a_promise,
    watch::compacted_start,
    watch::prefix_and_single_key,
    compaction::history_ends_there,
    compaction::deleted_keys_go,
    lease::keys_end_with_it,
    lease::expires,
    lease::bad_leases,
}
