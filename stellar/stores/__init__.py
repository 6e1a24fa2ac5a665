"""Stores of maps by table, column family, type and indicator: enrichments, threat intelligence, profiles.

base        the interface, its rows and its error
sqlite      in one file
redis       in a server, for several workers
opening     the store that a setting names
intervals   networks and ranges of addresses and integers
"""
