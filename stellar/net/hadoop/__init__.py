"""Clients for Hadoop: files in HDFS by WebHDFS, Kerberos authentication, and its configuration files."""
