"""The alerts page: `stellar-pipeline alerts` lists the documents of a pipeline that are alerts.

queries.py         what a user looks for, and the interface of sources
sqlite_source.py   documents in a SQLite file
search_source.py   documents in OpenSearch or Elasticsearch
notes.py           annotations and states of alerts, stored beside the documents
contents.py        the fields of a document, and the reasons of its score
display.py         hostile values in harmless HTML
explanations.py    the rules of threat triage, with their values for a document
access.py          tokens, reverse proxies, sessions, forgery protection, headers
listing.py         lists of alerts with their states
pages.py           the pages and forms, as a Starlette application
server.py          the server
command.py         the command and its options
"""
