//! Runs the pods of one node through CRI.

fn main() {}
