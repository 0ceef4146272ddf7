//! Tasks of the repository: build, up, test, conformance.

fn main() {}
