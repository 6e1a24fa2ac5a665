"""The form of a model: immutable, independent of its format, with the source element and line of each object."""
