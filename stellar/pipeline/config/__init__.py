"""The configuration files of a pipeline: schema, locations, the expressions in them."""
