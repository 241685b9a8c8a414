"""Following dtypes through a model's run: which module, which operation, which tensors, and where they got theirs."""
