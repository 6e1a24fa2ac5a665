"""Java's semantics, for functions and pipelines alike: regular expressions, Grok, dates, time zones."""
