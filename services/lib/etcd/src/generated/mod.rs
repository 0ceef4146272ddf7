//! Written by `generator/`.

#[allow(clippy::all, clippy::too_many_lines, unreachable_pub, reason = "generated")]
#[rustfmt::skip]
pub mod etcdserverpb;
#[allow(clippy::all, clippy::too_many_lines, unreachable_pub, reason = "generated")]
#[rustfmt::skip]
pub mod mvccpb;
