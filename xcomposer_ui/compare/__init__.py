"""One question under every strategy: measured side by side, and how far each is from full precision. Plain Python."""
