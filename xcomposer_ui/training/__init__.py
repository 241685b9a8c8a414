"""Training and evaluation of the embedded model: synthetic pictures, questions with answers, recipe, two stages."""
