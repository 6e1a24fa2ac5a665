"""Validated configurations in the cache of a program.

pydantic and the models take more time than anything else at the start of a command. So what became of a valid
configuration is stored as plain data, by a digest of what was validated, and a later process neither imports pydantic
nor validates again. Its objects have the fields of the models, and create the model for all other attributes. Invalid
configurations are not stored.
"""

from __future__ import annotations

import hashlib
import marshal
import os
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

from stellar.util.file_digests import digest_files, find_package_file
from stellar.util.program_cache import current_cache

if TYPE_CHECKING:
    from pydantic import BaseModel

# Strings and integers of a class of their own, and other values that are not of JSON, are not stored
_FORMAT_WITHOUT_REFERENCES = 2


def validate_once(name: str, value: dict[str, Any], validate: Callable[[type[BaseModel]], BaseModel]) -> Any:
    """Return a valid configuration: from the cache, or as `validate` returns it.

    name: the name of the model
    value: the configuration as JSON
    validate: validates it by the model of this name; raises an error if it is invalid
    """
    pack = current_cache()
    key = None if pack is None else _make_key(name, value)
    if pack is not None and key is not None and (stored := pack.get(key)) is not None:
        return _restore(stored)
    from stellar.pipeline.config import schema

    model = validate(getattr(schema, name))
    if pack is not None and key is not None:
        pack.put(key, _describe(model))
    return model


def _make_key(name: str, value: dict[str, Any]) -> str | None:
    """Return the key of a configuration in the cache; None if it cannot be cached."""
    try:
        content = marshal.dumps(value, _FORMAT_WITHOUT_REFERENCES)
    except ValueError:
        return None
    return f"{_schema_fingerprint()}{name}{hashlib.sha256(content).hexdigest()}"


@cache
def _schema_fingerprint() -> str:
    """Return a digest of the source of the models and of the version of pydantic."""
    schema = os.path.join(os.path.dirname(__file__), "schema.py")
    return digest_files([schema, *find_package_file("pydantic", "version.py")])


# -- Models as plain data ---------------------------------------------------------------------------------------------


def _describe(value: Any) -> Any:
    """Return a value as plain data. A model becomes a tuple of its name, fields, given fields and undeclared keys."""
    if isinstance(value, list):
        return [_describe(each) for each in value]
    if isinstance(value, dict):
        return {key: _describe(each) for key, each in value.items()}
    fields_set = getattr(value, "model_fields_set", None)
    if fields_set is None:
        return value
    fields = {name: _describe(getattr(value, name)) for name in type(value).model_fields}
    return (type(value).__name__, fields, frozenset(fields_set), value.model_extra)


def _restore(value: Any) -> Any:
    """Return the value of plain data, which is copied."""
    if isinstance(value, list):
        return [_restore(each) for each in value]
    if isinstance(value, dict):
        return {key: _restore(each) for key, each in value.items()}
    return StoredModel(*value) if isinstance(value, tuple) else value


class StoredModel:
    """A stand-in for a model, with its fields; other attributes are those of the model, which is created for them.

    name: the name of the model
    fields: its fields, as plain data
    fields_set: the names of those that the configuration has
    extra: keys that are not declared, if the model allows them
    """

    def __init__(
        self, name: str, fields: dict[str, Any], fields_set: frozenset[str], extra: dict[str, Any] | None
    ) -> None:
        attributes = self.__dict__
        attributes.update(_restore(fields))
        attributes["_stored"] = name, fields, fields_set, extra
        attributes["model_extra"] = _restore(extra)
        attributes["model_fields_set"] = set(fields_set)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # a protocol, such as that of copies
            raise AttributeError(name)
        return getattr(create_model(self), name)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"the configuration is immutable; use model_copy to change {name}")

    def __eq__(self, other: object) -> bool:
        return bool(create_model(self) == create_model(other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(create_model(self))

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of a global configuration, without creating the model if that is not necessary."""
        if self._stored[0] == "GlobalConfig" and not self.parser_groups:
            return dict(self.model_extra or {})
        settings: dict[str, Any] = create_model(self).settings
        return settings


def create_model(value: Any) -> Any:
    """Return the model that an object stands for; any other value, with the models in it, as it is."""
    if isinstance(value, list):
        return [create_model(each) for each in value]
    if isinstance(value, dict):
        return {key: create_model(each) for key, each in value.items()}
    if not isinstance(value, StoredModel):
        return value
    from stellar.pipeline.config import schema

    name, fields, fields_set, extra = value._stored
    values = {field: create_model(getattr(value, field)) for field in fields}
    return getattr(schema, name).model_construct(_fields_set=set(fields_set), **values, **(extra or {}))
