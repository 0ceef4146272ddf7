//! The Kubernetes API: HTTP in, store out.

fn main() {}
