"""Compiler of syntax trees to Python functions, built as Python's `ast`, never as source.

link         a tree to a function `(record, context)`   codegen     one method for each kind of node
builder      names, guards and branches of the code     analysis    properties known from the tree alone
operators    the operators and the limits of inlining   pyast       constructors of Python nodes
source_map   Stellar spans to Python positions, and back
choices      `if`, `? :` and `match`
fuse         many predicates to one function             rule_index  rules by the values that they test
"""
