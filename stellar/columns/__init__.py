"""Expressions over many records at once, in the columns of Polars. Requires the extra `columns`.

    import stellar.columns

    table = stellar.columns.read_records("access.jsonl")
    alerts = stellar.columns.evaluate(table, "bytes > 100000 and not ENDS_WITH(host, '.example.com')")

records       records in columns, from data frames, Parquet files and JSON lines
json_lines    JSON lines read by Polars, if that loses nothing
translated    columns of an expression, with the rows for which their values hold
translate     expressions as expressions of Polars
functions     functions as expressions of Polars
distinct      calls of functions on one field, for its distinct values
evaluation    evaluation of columns, of the remaining rows one by one, and the comparison of a sample
"""

from stellar.util.lazy_exports import export_lazily

TYPE_CHECKING = False

if TYPE_CHECKING:
    from stellar.columns.evaluation import ColumnResult as ColumnResult
    from stellar.columns.evaluation import evaluate as evaluate
    from stellar.columns.evaluation import evaluate_all as evaluate_all
    from stellar.columns.records import RecordColumns as RecordColumns
    from stellar.columns.records import read_records as read_records

__getattr__, __dir__, __all__ = export_lazily(
    __name__,
    {
        ".evaluation": ("ColumnResult", "evaluate", "evaluate_all"),
        ".records": ("RecordColumns", "read_records"),
    },
)
