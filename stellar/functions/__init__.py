"""The functions that expressions can call, one module or package per family.

LIBRARY         functions that are available everywhere
SHELL_LIBRARY   those, and functions for the shell only: files, the environment, tables

Other distributions add functions through entry points of the group `stellar.functions`; each names a module, a function
or a Library.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from importlib import import_module
from types import ModuleType

from stellar.language.library import Function, Library
from stellar.util.cached_properties import cached_property

# Function names by family, so that a module is imported only when one of its functions is used
FAMILIES = {
    "strings": """
        TO_UPPER TO_LOWER TRIM STARTS_WITH ENDS_WITH APPEND_IF_MISSING PREPEND_IF_MISSING CHOMP CHOP COUNT_MATCHES
        FILL_LEFT FILL_RIGHT GET GET_FIRST GET_LAST JOIN SPLIT STRING_ENTROPY SUBSTRING
    """,
    "regexps": "REGEXP_MATCH REGEXP_GROUP_VAL REGEXP_REPLACE",
    "fuzzy": "FUZZY_LANGS FUZZY_SCORE",
    "formats": "FORMAT",
    "conversion": "TO_STRING TO_INTEGER TO_LONG TO_DOUBLE TO_FLOAT",
    "encoding": "GET_SUPPORTED_ENCODINGS ENCODE DECODE IS_ENCODING",
    "hashing": "GET_HASHES_AVAILABLE HASH TLSH_DIST",
    "jsons": "TO_JSON_OBJECT TO_JSON_MAP TO_JSON_LIST",
    "math": "ABS CEILING FLOOR ROUND EXP LN LOG2 LOG10 SQRT SIN COS TAN IS_NAN BIN MAX MIN",
    "dates": """
        NOW TO_EPOCH_TIMESTAMP IS_DATE DATE_FORMAT DAY_OF_WEEK DAY_OF_MONTH DAY_OF_YEAR WEEK_OF_MONTH WEEK_OF_YEAR
        MONTH YEAR
    """,
    "collections": """
        IS_EMPTY LENGTH LIST_ADD SET_INIT SET_ADD SET_REMOVE SET_MERGE MULTISET_INIT MULTISET_ADD MULTISET_REMOVE
        MULTISET_MERGE MULTISET_TO_SET MAP_GET MAP_EXISTS MAP_PUT MAP_MERGE ZIP ZIP_LONGEST
    """,
    "functional": "MAP FILTER REDUCE",
    "network": """
        IN_SUBNET DOMAIN_REMOVE_SUBDOMAINS DOMAIN_REMOVE_TLD DOMAIN_TO_TLD DOMAIN_TYPOSQUAT URL_TO_HOST URL_TO_PATH
        URL_TO_PORT URL_TO_PROTOCOL PROTOCOL_TO_NAME
    """,
    "byte_patterns": "BYTEARRAY_MATCHER",
    "validation": "IS_DOMAIN IS_EMAIL IS_URL IS_INTEGER IS_IP",
    "statistics": """
        STATS_INIT STATS_ADD STATS_MERGE STATS_BIN STATS_PERCENTILE STATS_COUNT STATS_SUM STATS_MEAN STATS_MAX
        STATS_MIN STATS_VARIANCE STATS_SD STATS_QUADRATIC_MEAN STATS_SUM_LOGS STATS_SUM_SQUARES
        STATS_POPULATION_VARIANCE STATS_GEOMETRIC_MEAN STATS_KURTOSIS STATS_SKEWNESS IT_ENTROPY
    """,
    "outliers": "OUTLIER_MAD_STATE_MERGE OUTLIER_MAD_ADD OUTLIER_MAD_SCORE",
    "geo": "GEO_GET ASN_GET",
    "geohash": """
        GEOHASH_FROM_LATLONG GEOHASH_FROM_LOC GEOHASH_TO_LATLONG GEOHASH_DIST GEOHASH_MAX_DIST GEOHASH_CENTROID
    """,
    "enrichments": "ENRICHMENT_GET ENRICHMENT_EXISTS OBJECT_GET ENRICHMENT_OBJECT_GET",
    "cardinality": "HLLP_INIT HLLP_ADD HLLP_CARDINALITY HLLP_MERGE",
    "bloom": "BLOOM_INIT BLOOM_ADD BLOOM_EXISTS BLOOM_MERGE",
    "sampling": "SAMPLE_INIT SAMPLE_ADD SAMPLE_GET SAMPLE_MERGE",
    "profiles": "PROFILE_FIXED PROFILE_WINDOW PROFILE_GET PROFILE_VERBOSE",
    "maas": "MAAS_GET_ENDPOINT MAAS_MODEL_APPLY",
    "rest": "REST_GET REST_POST",
}
SHELL_FAMILIES = {
    "files": "LOCAL_LS LOCAL_RM LOCAL_WRITE LOCAL_READ LOCAL_READ_LINES",
    "hdfs": "HDFS_LS HDFS_RM HDFS_WRITE HDFS_READ HDFS_READ_LINES",
    "system": "SYSTEM_ENV_GET SYSTEM_PROPERTY_GET",
    "grok": "GROK_EVAL GROK_PREDICT",
    "profiler": "PROFILER_INIT PROFILER_APPLY PROFILER_FLUSH",
    "shell": "SHELL_MAP2TABLE SHELL_LIST_VARS SHELL_VARS2MAP SHELL_GET_EXPRESSION SHELL_EDIT",
}
# Functions of the shell that read and run configurations of the pipeline, by module. They belong to the pipeline,
# which is above this package. So their modules are only named here, as `stellar.language` names the default library
PIPELINE_FAMILIES = {
    "stellar.pipeline.functions.configurations": "CONFIG_GET CONFIG_PUT",
    "stellar.pipeline.functions.transformations": """
        PARSER_STELLAR_TRANSFORM_ADD PARSER_STELLAR_TRANSFORM_REMOVE PARSER_STELLAR_TRANSFORM_PRINT
        ENRICHMENT_STELLAR_TRANSFORM_ADD ENRICHMENT_STELLAR_TRANSFORM_REMOVE ENRICHMENT_STELLAR_TRANSFORM_PRINT
    """,
    "stellar.pipeline.functions.indexing": "INDEXING_SET_BATCH INDEXING_SET_ENABLED INDEXING_SET_INDEX",
    "stellar.pipeline.functions.parsers": "PARSER_INIT PARSER_PARSE PARSER_CONFIG",
    "stellar.pipeline.functions.triage": """
        THREAT_TRIAGE_INIT THREAT_TRIAGE_SCORE THREAT_TRIAGE_CONFIG THREAT_TRIAGE_PRINT THREAT_TRIAGE_ADD
        THREAT_TRIAGE_REMOVE THREAT_TRIAGE_SET_AGGREGATOR
    """,
    "stellar.pipeline.functions.kafka": "KAFKA_GET KAFKA_TAIL KAFKA_FIND KAFKA_SEEK KAFKA_PUT KAFKA_PROPS",
}
GROUP = "stellar.functions"


def import_family(name: str) -> ModuleType:
    """Return the module of a family, given by its name in this package or by its full name."""
    return import_module(name if "." in name else f"{__name__}.{name}")


class LazyLibrary(Library):
    """Functions by family, and those that other distributions install.

    A family is imported when one of its functions is first looked up. Scanning entry points takes longer than compiling
    an expression, so it is deferred until an unknown name or the complete list is requested.
    """

    def __init__(self, name: str, families: Mapping[str, str]) -> None:
        self.name = name
        self._family_of = {function: family for family, names in families.items() for function in names.split()}
        self._loaded: dict[str, Function] = {}

    def __getitem__(self, name: str) -> Function:
        if (function := self._loaded.get(name)) is not None:
            return function
        if (family := self._family_of.get(name)) is None:
            return self._installed[name]
        function = self._loaded[name] = Library.of(import_family(family)).functions[name]
        return function

    def __contains__(self, name: object) -> bool:
        return name in self._family_of or name in self._installed

    def __iter__(self) -> Iterator[str]:
        yield from self._family_of
        yield from self._installed

    def __len__(self) -> int:
        return len(self._family_of) + len(self._installed)

    def hint(self, name: str) -> str | None:
        if any(name in names.split() for names in (*SHELL_FAMILIES.values(), *PIPELINE_FAMILIES.values())):
            return "available only in the shell, and in a pipeline whose configuration selects the shell's library"
        return super().hint(name)

    @cached_property
    def functions(self) -> dict[str, Function]:
        return {name: self[name] for name in self}

    @cached_property
    def _installed(self) -> dict[str, Function]:
        return {name: function for name, function in _load_entry_points() if self._is_free(name, function)}

    def _is_free(self, name: str, function: Function) -> bool:
        if name in self._family_of:
            path = f"{function.implementation.__module__}.{function.implementation.__qualname__}"
            warnings.warn(f"{path} ignored: {name} is a built-in function", RuntimeWarning, stacklevel=2)
        return name not in self._family_of


def _load_entry_points() -> Iterator[tuple[str, Function]]:
    from importlib.metadata import entry_points  # takes as long to import as the whole language

    for entry_point in entry_points(group=GROUP):
        try:
            library = Library.of(entry_point.load())
        except Exception as error:  # noqa: BLE001 - a third-party module can raise anything
            plugin = f"{entry_point.name} = {entry_point.value}"
            warnings.warn(f"cannot load the Stellar functions {plugin}: {error}", RuntimeWarning, stacklevel=2)
            continue
        yield from library.items()


LIBRARY = LazyLibrary("stellar.functions:LIBRARY", FAMILIES)
SHELL_LIBRARY = LazyLibrary("stellar.functions:SHELL_LIBRARY", {**FAMILIES, **SHELL_FAMILIES, **PIPELINE_FAMILIES})
