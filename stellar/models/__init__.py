"""Models as data: one form for all formats, its readers, and its evaluation."""
