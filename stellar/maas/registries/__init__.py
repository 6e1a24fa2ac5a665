"""Registries of models: in a directory, in ZooKeeper, and how one is opened."""
