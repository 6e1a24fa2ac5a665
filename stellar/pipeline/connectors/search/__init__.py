"""OpenSearch and Elasticsearch as targets: bulk requests, whose failures are error documents or waited for.

target      the targets `opensearch:URL,...` and `elasticsearch:URL,...`
settings    the hosts, credentials and certificates, by Metron's global settings
client      the clients, loaded when the first is opened, and their errors with fixes
documents   the form of documents: index, identifier, names of fields
bulk        one request, and the documents in it that failed
output      batches of documents, repeated until the server has acknowledged them
"""
