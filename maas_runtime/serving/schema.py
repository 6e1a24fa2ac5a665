"""JSON Schema of the records and results of a model, and the OpenAPI document of its server."""

from __future__ import annotations

from typing import Any

from maas_runtime.serving.tasks import MAX_ROWS
from stellar.models.evaluation.model import find_lists
from stellar.models.forms.bodies import AssociationForm
from stellar.models.forms.fields import DataField, FieldType, MiningField, ValueRange
from stellar.models.scoring import ScoringModel
from stellar.models.signature import describe_outputs
from stellar.models.values import find_conversion, to_string
from stellar.util.version import VERSION

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]

_LIMITS: dict[str, Schema] = {
    "integer": {"minimum": -(2**31), "maximum": 2**31 - 1},
    "date": {"format": "date"},
}
_TYPES = {"string": "string", "integer": "integer", "float": "number", "double": "number", "boolean": "boolean"}


def make_record_schema(model: ScoringModel) -> Schema:
    """Return the JSON Schema of a record."""
    uses = {field.name: field for field in model.document.model.fields}
    lists = find_lists(model.document)
    fields = model.inputs()
    return {
        "type": "object",
        "properties": {each.name: _describe_input(each, uses[each.name], each.name in lists) for each in fields},
        "required": [each.name for each in fields if uses[each.name].missing == "returnInvalid"],
        "additionalProperties": False,
    }


def _describe_input(data: DataField, use: MiningField, is_list: bool) -> Schema:
    schema = _type_of(data.type.data, is_nullable=use.missing != "returnInvalid")
    if use.invalid == "returnInvalid":  # else other values are accepted, too
        schema |= _limit(data)
    if "enum" in schema and use.missing != "returnInvalid":
        schema["enum"].append(None)
    if use.missing_replacement is not None:
        schema["default"] = _to_json(use.missing_replacement, data.type)
    return {"anyOf": [schema, {"type": "array", "items": schema}]} if is_list else schema


def _type_of(data_type: str, *, is_nullable: bool) -> Schema:
    name = _TYPES.get(data_type, "string")
    schema: Schema = {"type": [name, "null"] if is_nullable else name}
    return schema | _LIMITS.get(data_type, {})


def _limit(data: DataField) -> Schema:
    """Return the limits of a value: those that are listed, or an interval."""
    listed = [_to_json(each.value, data.type) for each in data.values if each.role in ("valid", "missing")]
    if any(each.role == "valid" for each in data.values) and not data.ranges:
        return {"enum": listed}
    if data.values or len(data.ranges) != 1 or data.type.operation != "continuous":
        return {}
    return _describe_interval(data.ranges[0])


def _describe_interval(interval: ValueRange) -> Schema:
    limits: Schema = {}
    if interval.low is not None:
        limits["exclusiveMinimum" if interval.is_low_open else "minimum"] = interval.low
    if interval.high is not None:
        limits["exclusiveMaximum" if interval.is_high_open else "maximum"] = interval.high
    return limits


def _to_json(string: str, kind: FieldType) -> Any:
    """Return a value of the document as a record has it."""
    if kind.data not in _TYPES:
        return string
    convert = find_conversion(kind.data)
    assert convert is not None
    try:
        value = convert(string)
    except ValueError:  # a missing value that is not of the type, such as N/A
        return string
    if kind.data in ("float", "double"):
        return float(value)
    return value if kind.data in ("integer", "boolean") else to_string(value)


def make_result_schema(model: ScoringModel) -> Schema:
    """Return the JSON Schema of a result. A record with surprises may get fewer of its fields."""
    form = model.document.model
    is_association = isinstance(form.body, AssociationForm)
    lists = {each.name for each in form.outputs if each.is_multi_valued or is_association}
    properties = {
        each.name: {} if each.type is None or each.name in lists else _type_of(each.type, is_nullable=True)
        for each in describe_outputs(model)
    }
    return {"type": "object", "properties": properties}


def describe_model(model: ScoringModel, name: str, kind: str, digest: str) -> Schema:
    """Return what `/schema` responds with.

    name: of the model file
    digest: SHA-256 of the file
    """
    return {
        "$schema": DIALECT,
        "model": {"file": name, "kind": kind, "sha256": digest, "function": model.document.model.function},
        "inputs": make_record_schema(model),
        "outputs": make_result_schema(model),
    }


# -- OpenAPI ----------------------------------------------------------------------------------------------------------


def describe_interface(model: ScoringModel, name: str) -> Schema:
    """Return the OpenAPI document of the server of a model.

    name: of the model file
    """
    inputs = make_record_schema(model)
    return {
        "openapi": "3.1.0",
        "info": {"title": name, "version": VERSION},
        "paths": {
            "/apply": {"get": _describe_query(inputs), "post": _describe_post(_refer("Record"), _refer("Result"))},
            "/batch": {"post": _describe_batch()},
            "/schema": _describe_get("JSON Schema of the inputs and outputs"),
            "/health": _describe_get("The model can be called"),
            "/metrics": _describe_get("Metrics in the format of Prometheus", "text/plain"),
        },
        "components": {
            "schemas": {"Record": inputs, "Result": make_result_schema(model), "Error": _ERROR},
        },
    }


_ERROR: Schema = {
    "type": "object",
    "properties": {"error": {"type": "string"}, "status": {"type": "integer"}},
    "required": ["error"],
}
_PREFER: Schema = {
    "name": "Prefer",
    "in": "header",
    "schema": {"type": "string"},
    "description": "handling=strict: status 400, 422 or 503 instead of 200 for a record without a result",
}


def _refer(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _describe_query(inputs: Schema) -> Schema:
    parameters = [
        {"name": name, "in": "query", "required": name in inputs["required"], "schema": schema}
        for name, schema in inputs["properties"].items()
    ]
    result = {"anyOf": [_refer("Result"), _refer("Error")]}
    return {"operationId": "applyQuery", "parameters": [*parameters, _PREFER], "responses": _respond(result)}


def _describe_post(record: Schema, result: Schema) -> Schema:
    body = {"required": True, "content": {"application/json": {"schema": record}}}
    return {"operationId": "applyObject", "requestBody": body, "responses": _respond(result)}


def _describe_batch() -> Schema:
    rows = {"type": "array", "maxItems": MAX_ROWS, "items": _refer("Record")}
    results = {"type": "array", "items": {"anyOf": [_refer("Result"), _refer("Error")]}}
    return {**_describe_post(rows, results), "operationId": "applyBatch", "parameters": [_PREFER]}


def _respond(result: Schema) -> Schema:
    errors = {
        "400": "An unknown or repeated name, a value of another type, or invalid JSON",
        "422": "The model declines the record",
        "503": "Too many requests are waiting; try again after Retry-After",
    }
    failed = {
        status: {"description": text, "content": {"application/json": {"schema": _refer("Error")}}}
        for status, text in errors.items()
    }
    succeeded = {"description": "The result", "content": {"application/json": {"schema": result}}}
    return {"200": succeeded, **failed}


def _describe_get(text: str, content_type: str = "application/json") -> Schema:
    return {"get": {"responses": {"200": {"description": text, "content": {content_type: {}}}}}}
