//! Figures beside the Go originals, in one run.
