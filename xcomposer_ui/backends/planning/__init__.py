"""Predicts memory before a run: dry runs of a model built from its configuration alone, on tensors without storage."""
