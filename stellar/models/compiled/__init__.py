"""Compilation of forms to Python functions of one record."""
