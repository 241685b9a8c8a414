"""Records in, escaped HTML out: small pure functions, one per part of the page."""
