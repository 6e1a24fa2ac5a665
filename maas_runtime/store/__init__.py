"""Stores of models: where deployed files are kept."""
