"""The language: from the source of an expression to its value.

source → parser → nodes → resolver → compiler → a Python function of a record and a context

source       spans, lines and columns          errors       exceptions
tables       LALR tables, generated            parser       source → nodes
diagnostics  messages and hints for errors     nodes        the abstract syntax tree
resolver     variables, functions, calls       library      declarations of functions
compiler     nodes → Python's `ast`            runtime      operators, on the slow path
conversions  between Stellar's types           context      services passed to functions
expression   compile and evaluate              evaluate_many, asynchronous  streams of records
"""
