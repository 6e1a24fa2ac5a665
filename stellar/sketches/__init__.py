"""Mergeable summaries of many numbers."""
