"""The server side of Model as a Service: it deploys models and keeps them running."""
