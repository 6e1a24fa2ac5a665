"""The client side of Model as a Service; it knows nothing of the language."""
