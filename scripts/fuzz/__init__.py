"""A fuzzer of the language and its functions, of pipelines, and of model files.

inputs  generated expressions and records      values  odd values
worker  evaluation, and what counts as a fault   __main__  the command, which runs workers
pipelines  both forms of a configuration          models  mutated model files; mutations  of files and records
"""
