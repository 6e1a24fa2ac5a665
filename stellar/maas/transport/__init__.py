"""How a request reaches an instance of a model."""
