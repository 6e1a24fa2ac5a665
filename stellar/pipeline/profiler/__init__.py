"""The profiler: values of entities in each period, by the definitions of `profiler.json`.

loading   the definitions in a configuration directory, with their locations in errors
output    messages for threat triage, and error documents
settings  of the profiler in the global configuration
in_run    the profiler inside a run of a pipeline
cli       the command stellar-profiler
"""
