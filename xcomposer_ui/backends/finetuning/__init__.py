"""Fine-tunes a copy of the embedded model under each recipe, with PyTorch's own autocast, GradScaler and optimizers."""
