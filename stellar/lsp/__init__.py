"""The language server: what editors ask of Stellar texts, in `.stellar` files and in Metron's configurations.

server      answers the protocol
documents   what the answers are, without the protocol
"""
