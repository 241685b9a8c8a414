"""Memory planning before a run: records, cards and advice. `backends.planning` does the dry runs."""
