"""The configuration files of a pipeline: schema, source locations, the expressions in them.

loading               the files of a directory, older spellings
schema                the JSON files as pydantic models
locations             source locations, the errors that name them, JSON with comments
compile               expressions compiled for a stage
embedded_expressions  the expressions in a file, with spans, for editors and the formatter
json_positions        a JSON parser that records spans and accepts incomplete JSON
"""

from __future__ import annotations

from stellar.util.lazy_exports import export_lazily

TYPE_CHECKING = False

if TYPE_CHECKING:
    from stellar.pipeline.config.loading import SensorConfig as SensorConfig
    from stellar.pipeline.config.loading import load as load
    from stellar.pipeline.config.loading import load_config as load_config

__getattr__, __dir__, __all__ = export_lazily(__name__, {".loading": ("SensorConfig", "load", "load_config")})
