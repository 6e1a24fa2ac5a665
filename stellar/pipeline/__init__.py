"""Records through a pipeline that is configured the Metron way.

configuration → build → Pipeline; a Pipeline turns a raw line into records, and into documents of what went wrong

records     what flows: Record, Drop, Rejected, Report, and the error document
config      Metron's own JSON, checked                check       all that is to be said of a configuration
build       configuration → stages, by tables of names
parsers     raw text → records
fields      field transformations            filters     which records go on
validation  which records are valid          enrichment  fields worked out from others
triage      threat scores                    run         the loop from source to sink, with its counts
"""
