"""A language server for `.stellar` files and for expressions in Metron's configurations.

server      the Language Server Protocol
documents   analysis of documents, without the protocol
"""
