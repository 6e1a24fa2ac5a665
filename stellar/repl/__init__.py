"""Sessions that the shell, the notebook and editors share: lines, commands, values and options."""
