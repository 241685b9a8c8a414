"""Tiny versions of image-text models: the same configuration with fewer and narrower layers, on real tensors."""
