"""Settings of writers in the configurations of indexing.

The functions take and return configurations as JSON. They change nothing that is stored; CONFIG_PUT does.
"""

from __future__ import annotations

from typing import Any

from stellar.language.conversions import to_boolean, to_integer, to_optional_string
from stellar.language.library import stellar
from stellar.language.runtime import describe
from stellar.pipeline.config.metron_json import print_json, read_indexing_json
from stellar.pipeline.functions.arguments import read_argument, require_map, require_text


@stellar("INDEXING_SET_BATCH")
def set_batch(config: str | None, writer: object, size: object = 1, timeout: object = 0) -> str:
    """Set the batch size and the time-out of a writer.

    config: The configuration of a sensor's indexing, as JSON
    writer: The writer: elasticsearch, solr or hdfs
    size: The number of documents in a batch; 1 by default
    timeout: The seconds after which an incomplete batch is written; 0 by default, which is the default of the system
    returns: The configuration with the settings, as JSON

        '"batchSize" : 5' in INDEXING_SET_BATCH('{}', 'hdfs', 5)  // true
        '"batchTimeout" : 10' in INDEXING_SET_BATCH('{}', 'hdfs', 5, 10)  // true
        INDEXING_SET_BATCH('{}', 'hdfs', 0)  // error
        INDEXING_SET_BATCH('{}', null)  // error
    """
    function = "INDEXING_SET_BATCH"
    documents, seconds = to_integer(size), to_integer(timeout)
    if documents is None or documents < 1:
        raise ValueError(f"{function} expected an integer of 1 or more as size, got {describe(size)}")
    if seconds is None:
        raise ValueError(f"{function} expected an integer as timeout, got {describe(timeout)}")
    return _set(function, config, writer, batchSize=documents, batchTimeout=seconds)


@stellar("INDEXING_SET_ENABLED")
def set_enabled(config: str | None, writer: object, enabled: object = True) -> str:
    """Enable or disable a writer.

    config: The configuration of a sensor's indexing, as JSON
    writer: The writer: elasticsearch, solr or hdfs
    enabled: True by default
    returns: The configuration with the setting, as JSON

        '"enabled" : true' in INDEXING_SET_ENABLED('{}', 'hdfs')  // true
        '"enabled" : false' in INDEXING_SET_ENABLED('{}', 'hdfs', 'no')  // true
        INDEXING_SET_ENABLED('{}', 'hdfs', 'perhaps')  // error
    """
    value = to_boolean(enabled)
    if value is None:
        raise ValueError(f"INDEXING_SET_ENABLED expected a boolean as enabled, got {describe(enabled)}")
    return _set("INDEXING_SET_ENABLED", config, writer, enabled=value)


@stellar("INDEXING_SET_INDEX")
def set_index(config: str | None, writer: object, index: object) -> str:
    """Set the index or collection of a writer.

    config: The configuration of a sensor's indexing, as JSON
    writer: The writer: elasticsearch, solr or hdfs
    index: The name of the index
    returns: The configuration with the setting, as JSON

        '"index" : "squid"' in INDEXING_SET_INDEX('{}', 'elasticsearch', 'squid')  // true
        INDEXING_SET_INDEX('{}', 'elasticsearch', null)  // error
        INDEXING_SET_INDEX('', 'elasticsearch', 'squid')  // error
    """
    name = to_optional_string(index)
    if name is None:
        raise ValueError("INDEXING_SET_INDEX expected a string as index, got null")
    return _set("INDEXING_SET_INDEX", config, writer, index=name)


def _set(function: str, config: str | None, writer: object, **settings: Any) -> str:
    """Return the configuration with settings of a writer, which is created if it is missing."""
    indexing = read_argument(function, read_indexing_json, require_text(function, config))
    name = to_optional_string(writer)
    if name is None:
        raise ValueError(f"{function} expected the name of a writer, such as 'hdfs', got null")
    require_map(function, indexing.setdefault(name, {}), name).update(settings)
    return print_json(indexing)
