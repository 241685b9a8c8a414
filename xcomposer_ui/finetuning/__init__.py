"""What precision does to learning: recipes, a fine-tuning's request, its result, the verdicts, and reports."""
