"""Records through a pipeline that is configured the Metron way."""
