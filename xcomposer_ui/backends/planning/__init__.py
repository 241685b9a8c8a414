"""Memory before a run: the model is built from its configuration alone and rehearsed on tensors without storage."""
