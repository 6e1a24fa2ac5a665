"""Sources of raw messages and sinks of documents."""
