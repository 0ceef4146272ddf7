//! Assigns pods to nodes.

fn main() {}
