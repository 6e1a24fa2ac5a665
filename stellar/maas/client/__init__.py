"""Calls of models: cache, batches, choice of an instance, hedging, shadows, failures."""
