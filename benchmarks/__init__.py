"""Ratios against named peers; `python -m benchmarks` runs and saves them."""
