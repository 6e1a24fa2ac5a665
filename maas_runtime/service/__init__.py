"""The service: reads requests from the queue, records the desired state and reconciles running instances with it."""
