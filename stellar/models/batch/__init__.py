"""Compilation of the form of a model to operations on columns of numpy: the second compiler, for batches of records.

Each array is a field, or a result, of all records. Arithmetic and its order are those of the complete evaluation, and
functions such as `exp` are those of the module `math`, so results are equal bit by bit. NaN marks a record that the
operations do not cover, as one with a missing value: the complete evaluation scores it. Requires the extra `batch`.
"""
