"""Comparison of all strategies on one question: measurements, and the divergence of each from full precision."""
