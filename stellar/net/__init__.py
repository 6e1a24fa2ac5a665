"""Network access for models, REST functions and Hadoop: deadlines, name resolution, HTTP/1.1, circuit breakers."""
