"""A fuzzer of the language and its functions.

inputs  generated expressions and records      values  odd values
worker  evaluation, and what counts as a fault   __main__  the command, which runs workers
"""
