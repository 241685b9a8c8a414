"""Loads models, applies strategies, measures. torch is imported here, gradio never."""
