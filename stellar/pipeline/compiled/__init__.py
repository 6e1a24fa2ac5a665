"""The compiled form of a pipeline: its stages as one generated Python function over one record.

The stages themselves are the slow form, which explains each step. The function has the same outcomes and reports, but
changes the record in place: no stage copies it, and the values of expressions are assigned directly. Stages without a
compiled form, such as those of other packages, are called.

    def run_stages(record, raw, text, metadata):
        stage = "transform"
        try:
            record["source.type"] = "squid"
            value_1 = expression_1(record, context_1)
            …
            stage = "triage"
            record = stage_7(record)
        except (Drop, Forward) as error:
            return error
        except Invalid as error:
            return reject_invalid(record, stage, error, metadata)
        except Exception as error:
            return reject(raw, stage, error)
        return record

A record that fails after it was changed gets an error document of the raw message, which no stage changes. Invalid
records are shown themselves, so a stage that raises Invalid must do it before it changes the record.
"""

from __future__ import annotations

from stellar.pipeline.compiled.pipelines import compile_stages
from stellar.pipeline.compiled.processors import make_processor

__all__ = ["compile_stages", "make_processor"]
