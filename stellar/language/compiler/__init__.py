"""Syntax tree to Python: one function for each expression, built as Python's `ast`, never as source text.

link         the function `(record, context)` of a tree     codegen     a rule for each node
operators    the operators and the limits of inlining       analysis    properties known from the tree alone
source_map   Stellar spans as Python positions, and back    pyast       constructors of Python nodes
"""
