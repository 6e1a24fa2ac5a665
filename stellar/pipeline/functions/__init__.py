"""Functions that read, change and try out configurations of the pipeline.

They are part of the shell's library, which knows the names of these modules and imports them on first use.
"""
