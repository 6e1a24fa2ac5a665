"""Hadoop from outside, by its REST interfaces: what its configuration says, files in HDFS, and Kerberos.

It knows nothing of the language, nor of models.
"""
