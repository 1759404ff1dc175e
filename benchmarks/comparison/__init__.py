"""The grid of `benchmarks/compare.py`, by subject."""
