//! Transactions: compares first, then one list of operations, all at one revision.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use bytes::Bytes;
use etcd::rpc::compare::{CompareResult, CompareTarget, TargetUnion};
use etcd::rpc::request_op::Request as Op;
use etcd::rpc::{Compare, RequestOp, TxnRequest};

use crate::draft::Draft;
use crate::{Found, Refusal, ReplyOp, index};

/// # Upstream
/// `go.etcd.io/etcd/server/v3/embed/config.go` `DefaultMaxTxnOps`
const MAX_OPS: usize = 128;

/// A transaction whose compares were decided.
struct Chosen<'t> {
    succeeded: bool,
    ops: Vec<(&'t RequestOp, Option<Chosen<'t>>)>,
}

impl Draft<'_> {
    pub(crate) fn txn(&mut self, txn: &TxnRequest) -> Result<ReplyOp, Refusal> {
        check(txn)?;
        // every compare, nested ones too, sees the state before the transaction
        let chosen = self.choose(txn);
        self.check_chosen(&chosen)?;
        self.run(&chosen)
    }

    fn choose<'t>(&self, txn: &'t TxnRequest) -> Chosen<'t> {
        let succeeded = txn.compare.iter().all(|compare| self.compare(compare));
        let ops = if succeeded { &txn.success } else { &txn.failure };
        let inner = |op: &'t RequestOp| match &op.request {
            Some(Op::RequestTxn(txn)) => Some(self.choose(txn)),
            _ => None,
        };
        Chosen { succeeded, ops: ops.iter().map(|op| (op, inner(op))).collect() }
    }

    /// Whatever can refuse an operation does so before the first one runs: a transaction happens whole or not.
    fn check_chosen(&self, chosen: &Chosen<'_>) -> Result<(), Refusal> {
        for (op, inner) in &chosen.ops {
            match (&op.request, inner) {
                (_, Some(inner)) => self.check_chosen(inner)?,
                (Some(Op::RequestPut(put)), _) => self.check_put(put)?,
                (Some(Op::RequestDeleteRange(delete)), _) => self.check_delete(delete)?,
                (Some(Op::RequestRange(range)), _) => self.check_range(range)?,
                _ => return Err(Refusal::EmptyOp),
            }
        }
        Ok(())
    }

    fn run(&mut self, chosen: &Chosen<'_>) -> Result<ReplyOp, Refusal> {
        let mut ops = Vec::with_capacity(chosen.ops.len());
        for (op, inner) in &chosen.ops {
            ops.push(match (&op.request, inner) {
                (_, Some(inner)) => self.run(inner)?,
                (Some(Op::RequestPut(put)), _) => self.put(put),
                (Some(Op::RequestDeleteRange(delete)), _) => self.delete(delete),
                (Some(Op::RequestRange(range)), _) => {
                    ReplyOp::Range { answer: self.range(range), request: range.clone() }
                }
                _ => return Err(Refusal::EmptyOp),
            });
        }
        Ok(ReplyOp::Txn { succeeded: chosen.succeeded, ops })
    }

    /// # Upstream
    /// `go.etcd.io/etcd/server/v3/etcdserver/txn/txn.go` `applyCompare`: of a range, every key must satisfy; a range
    /// without keys is as one key that does not exist, except by value, which then fails.
    fn compare(&self, compare: &Compare) -> bool {
        let found = match &compare.range_end[..] {
            [] => self.newest(&compare.key).into_iter().collect(),
            end => self.scan(&compare.key, end),
        };
        if found.is_empty() {
            return compare.target() != CompareTarget::Value && self.compare_key(compare, None);
        }
        found.iter().all(|found| self.compare_key(compare, Some(found)))
    }

    fn compare_key(&self, compare: &Compare, found: Option<&Found>) -> bool {
        let version = found.map(|found| found.version).unwrap_or_default();
        let number = |wanted: Option<i64>, is: i64| is.cmp(&wanted.unwrap_or(0));
        let ordering = match (compare.target(), &compare.target_union) {
            (CompareTarget::Version, union) => {
                let wanted = union.as_ref().and_then(|u| match u {
                    TargetUnion::Version(v) => Some(*v),
                    _ => None,
                });
                number(wanted, version.version)
            }
            (CompareTarget::Create, Some(TargetUnion::CreateRevision(v))) => {
                number(Some(*v), version.create_revision)
            }
            (CompareTarget::Create, _) => number(None, version.create_revision),
            (CompareTarget::Mod, Some(TargetUnion::ModRevision(v))) => number(Some(*v), version.revision()),
            (CompareTarget::Mod, _) => number(None, version.revision()),
            (CompareTarget::Lease, Some(TargetUnion::Lease(v))) => number(Some(*v), version.lease),
            (CompareTarget::Lease, _) => number(None, version.lease),
            (CompareTarget::Value, union) => {
                let wanted = match union {
                    Some(TargetUnion::Value(v)) => v.clone(),
                    _ => Bytes::new(),
                };
                found.map(|found| self.value(found)).unwrap_or_default().cmp(&wanted)
            }
        };
        match compare.result() {
            CompareResult::Equal => ordering == Ordering::Equal,
            CompareResult::NotEqual => ordering != Ordering::Equal,
            CompareResult::Greater => ordering == Ordering::Greater,
            CompareResult::Less => ordering == Ordering::Less,
        }
    }
}

/// What can be refused without looking at the store.
///
/// # Upstream
/// `go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc/key.go` `checkTxnRequest`, `checkIntervals`
fn check(txn: &TxnRequest) -> Result<(), Refusal> {
    if txn.compare.len().max(txn.success.len()).max(txn.failure.len()) > MAX_OPS {
        return Err(Refusal::TooManyOps);
    }
    if txn.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(Refusal::EmptyKey);
    }
    writes(&txn.success)?;
    writes(&txn.failure)?;
    Ok(())
}

/// The keys put and the ranges deleted by a list of operations; refused when one key is written twice.
type Writes<'t> = (BTreeSet<&'t [u8]>, Vec<(&'t [u8], &'t [u8])>);

fn writes(ops: &[RequestOp]) -> Result<Writes<'_>, Refusal> {
    let (mut puts, mut deletes): Writes<'_> = (BTreeSet::new(), Vec::new());
    for op in ops {
        match &op.request {
            Some(Op::RequestDeleteRange(d)) => deletes.push((&d.key, &d.range_end)),
            Some(Op::RequestTxn(inner)) => {
                check(inner)?;
                for (inner_puts, inner_deletes) in [writes(&inner.success)?, writes(&inner.failure)?] {
                    if !inner_puts.is_disjoint(&puts) {
                        return Err(Refusal::DuplicateKey);
                    }
                    overlap(&inner_puts, &deletes)?;
                    overlap(&puts, &inner_deletes)?;
                    puts.extend(inner_puts);
                    deletes.extend(inner_deletes);
                }
            }
            Some(Op::RequestPut(put)) if !puts.insert(&put.key) => return Err(Refusal::DuplicateKey),
            _ => {}
        }
    }
    overlap(&puts, &deletes)?;
    Ok((puts, deletes))
}

fn overlap(puts: &BTreeSet<&[u8]>, deletes: &[(&[u8], &[u8])]) -> Result<(), Refusal> {
    let hit = deletes.iter().any(|(key, end)| puts.iter().any(|put| index::holds(key, end, put)));
    if hit { Err(Refusal::DuplicateKey) } else { Ok(()) }
}
