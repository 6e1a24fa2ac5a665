"""YARN: instances of models, and the service itself, as YARN services."""
