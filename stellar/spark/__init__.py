"""Pipelines and expressions on data frames of Apache Spark. Requires the extra `spark`.

    import stellar.spark

    pipeline = stellar.spark.read_pipeline("config", "squid")
    documents, errors = stellar.spark.transform(spark.read.text("access.log"), pipeline)

shipping      a pipeline as it is sent to executors: the JSON of its configuration, and settings
executor      in the Python processes of executors: lines in, documents and errors out, in batches of Arrow
pipelines     data frames of lines to data frames of documents and errors, with counts
profiling     profiles in the processes of executors: messages in, values out
profiles      profiles as aggregates
evaluation    in the processes of executors: rows in, values and errors of expressions out
expression_models  models that expressions call
expressions   typed columns of expressions, and functions for SQL
transformer   scores of a model as columns of data frames of Spark and pandas
tasks         the functions that Spark sends to executors
"""

from stellar.util.lazy_exports import export_lazily

TYPE_CHECKING = False

if TYPE_CHECKING:
    from stellar.spark.expressions import evaluate as evaluate
    from stellar.spark.expressions import make_udf as make_udf
    from stellar.spark.pipelines import StreamCounts as StreamCounts
    from stellar.spark.pipelines import Transformed as Transformed
    from stellar.spark.pipelines import transform as transform
    from stellar.spark.profiles import compute_profiles as compute_profiles
    from stellar.spark.profiles import store_profiles as store_profiles
    from stellar.spark.shipping import ShippedPipeline as ShippedPipeline
    from stellar.spark.shipping import read_pipeline as read_pipeline
    from stellar.spark.transformer import Transformer as Transformer
    from stellar.spark.transformer import TransformerBuilder as TransformerBuilder

__getattr__, __dir__, __all__ = export_lazily(
    __name__,
    {
        ".expressions": ("evaluate", "make_udf"),
        ".pipelines": ("StreamCounts", "Transformed", "transform"),
        ".profiles": ("compute_profiles", "store_profiles"),
        ".shipping": ("ShippedPipeline", "read_pipeline"),
        ".transformer": ("Transformer", "TransformerBuilder"),
    },
)
