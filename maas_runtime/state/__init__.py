"""The state that services share: in a directory or in ZooKeeper."""
