"""The stages of a pipeline, each a callable of a record."""
