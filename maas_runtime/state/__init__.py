"""State shared by services and commands, in a directory or in ZooKeeper."""
