"""Evaluation of forms for one record."""
