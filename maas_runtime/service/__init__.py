"""The service: requests from the queue become the desired state, and the desired state becomes instances."""
