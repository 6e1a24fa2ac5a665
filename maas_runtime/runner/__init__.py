"""The program beside each model: it starts it, waits until it is ready, registers it, and ends it."""
