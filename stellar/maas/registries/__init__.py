"""Registries of models: in memory, in a directory, in ZooKeeper."""
