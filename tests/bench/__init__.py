"""Ours beside upstream's, in one run on one machine: `python3 tests/bench/TOPIC.py`."""
