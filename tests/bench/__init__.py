"""Benches: ours beside upstream's in one run."""
