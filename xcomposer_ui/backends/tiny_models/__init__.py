"""Small real twins of image-text models: the same configuration with fewer and narrower layers, and real tensors."""
