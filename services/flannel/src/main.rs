//! The pod network of one node.

fn main() {}
