"""What the shell, the notebook and editors share."""
