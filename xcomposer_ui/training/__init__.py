"""How the embedded model was made: the world it knows, its questions, its training and its evaluation."""
