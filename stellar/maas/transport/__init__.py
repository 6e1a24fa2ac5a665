"""Transports: connections, requests and credentials for instances of models."""
