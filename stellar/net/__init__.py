"""The network layer, shared by models, REST functions and Hadoop.

http             requests over pooled connections
http11           HTTP/1.1 on one connection
connection_pool  idle keep-alive connections
name_resolution  DNS look-ups that end by a deadline
limits           concurrency limits and load balancing
breaker          circuit breakers
allowed_hosts    the allow-list of hosts
credentials      Authorization headers and TLS settings
hadoop           WebHDFS, Kerberos and Hadoop's configuration files
"""
