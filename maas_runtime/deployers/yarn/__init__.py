"""Models and the service itself on YARN."""
