"""Calls of models: result cache, batches, choice of an instance, hedging, shadows, failures."""
