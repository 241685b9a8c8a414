"""The lesson: floating-point formats, steps as data, their experiments, and the results kept for every visitor."""
