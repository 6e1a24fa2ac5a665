"""Loaders: files of indicators become rows of an enrichment store, or one summary.

The modules, in the order of the data:

sources       files, directories, URLs and standard input, as streams of lines
rows          the rows that an extractor yields, and the lines that it rejects
csv_rows      an extractor of separated values, with or without a header
json_rows     an extractor of JSON objects
stix          an extractor of STIX 1.x documents
whois         an extractor of WHOIS exports
extractors    the table of extractors, and the options that they have in common
transforms    the expressions that change and filter rows, and update the state of a summary
building      the extractor and the expressions of a file, with all errors
load          the loop from sources to a store
batches       rows that several processes extract and transform
summarize     the loop from sources to a summary
"""
