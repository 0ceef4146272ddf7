//! The command people type: k3s-rs.

fn main() {}
