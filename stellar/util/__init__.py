"""General helpers, which import nothing else of the project."""
