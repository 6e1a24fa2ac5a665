"""Java's semantics for functions and pipelines: regular expressions, Grok, dates, time zones."""
