"""From the source of an expression to its value.

source → parser → nodes → resolver → compiler → a Python function of a record and a context

source       spans, lines and columns          errors       the exceptions users see
tables       LALR tables, generated            parser       source → nodes
diagnostics  syntax errors explained           nodes        the abstract syntax tree
resolver     names checked against a library   library      declarations of functions
compiler     nodes → Python's `ast`            runtime      operators, on the slow path
conversions  between Stellar's types           context      services passed to functions
expression   compile and evaluate              evaluate_many, asynchronous  streams of records
"""
