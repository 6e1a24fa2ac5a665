"""The definitions of profiles, as `profiler.json` has them, with compiled expressions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stellar.language.conversions import to_string
from stellar.language.errors import StellarError
from stellar.language.expression import Expression, compile
from stellar.language.library import Library
from stellar.language.runtime import describe
from stellar.util.abbreviate import quote
from stellar.util.suggestions import suggest_name

Path = tuple[str | int, ...]
# Called with the source of an expression and its path
Compile = Callable[[str, Path], Expression]
Assignments = tuple[tuple[str, Expression], ...]

_KEYS = ("profile", "foreach", "onlyif", "groupBy", "init", "update", "result", "expires")


class InvalidDefinition(ValueError):
    """An invalid definition.

    path: of the value in the definitions, such as `("profiles", 0, "foreach")`
    reason: the message without the path
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{format_path(path)}: {reason}" if path else reason)
        self.path = path
        self.reason = reason


def format_path(path: Path) -> str:
    """Return a path as a string, such as `profiles[0].foreach`."""
    shown = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return shown.removeprefix(".")


@dataclass(frozen=True)
class ProfileDefinition:
    """A profile: a value of each entity in each period.

    name: the name of the profile
    foreach: returns the entity that a message belongs to
    result: returns the value at the end of a period
    onlyif: returns True for messages that count; None if all of them do
    init: variables at the start of a period
    update: variables at each message
    group_by: return the groups of a value
    triage: return the fields of the message that is sent at the end of a period
    expires: the number of days for which values are stored; None for ever
    """

    name: str
    foreach: Expression
    result: Expression
    onlyif: Expression | None = None
    init: Assignments = ()
    update: Assignments = ()
    group_by: tuple[Expression, ...] = ()
    triage: Assignments = ()
    expires: int | None = None


@dataclass(frozen=True)
class ProfilerDefinition:
    """All profiles, and the field with the time of a message; None for the time at which it is processed."""

    profiles: tuple[ProfileDefinition, ...] = ()
    timestamp_field: str | None = None

    def expressions(self) -> Iterator[Expression]:
        """Yield the expressions of all profiles."""
        for each in self.profiles:
            yield from (each.foreach, each.result, *each.group_by)
            yield from () if each.onlyif is None else (each.onlyif,)
            yield from (expression for _, expression in (*each.init, *each.update, *each.triage))


def compile_with(library: Library) -> Compile:
    """Return a function that compiles expressions with the functions of a library.

    It raises InvalidDefinition for an invalid expression.
    """

    def compile_at(source: str, path: Path) -> Expression:
        try:
            return compile(source, library=library)
        except StellarError as error:
            raise InvalidDefinition(path, str(error)) from error

    return compile_at


def read_definitions(document: object, compile_at: Compile) -> ProfilerDefinition:
    """Return the definitions of a JSON object.

    Raises InvalidDefinition for invalid definitions, and the errors of `compile_at`.
    """
    members = _require(document, dict, "a map with profiles", ())
    _check_keys(members, ("profiles", "timestampField"), ())
    profiles = _require(members.get("profiles", []), list, "a list of profiles", ("profiles",))
    timestamp_field = members.get("timestampField")
    if timestamp_field is not None:
        _require(timestamp_field, str, "the name of a field", ("timestampField",))
    found = [_read_profile(profile, ("profiles", index), compile_at) for index, profile in enumerate(profiles)]
    _check_names(found)
    return ProfilerDefinition(tuple(found), timestamp_field)


def _check_names(profiles: Iterable[ProfileDefinition]) -> None:
    seen: dict[str, int] = {}
    for index, profile in enumerate(profiles):
        if (first := seen.setdefault(profile.name, index)) != index:
            path = ("profiles", index, "profile")
            raise InvalidDefinition(
                path, f"profiles[{first}] has the name {quote(profile.name)}, too; use another name"
            )


def _read_profile(document: object, path: Path, compile_at: Compile) -> ProfileDefinition:
    members = _require(document, dict, "a map", path)
    _check_keys(members, _KEYS, path)
    for key, purpose in (("profile", "the name"), ("foreach", "the entity"), ("result", "the value")):
        if members.get(key) is None:
            raise InvalidDefinition(path, f"missing key {quote(key)}: {purpose} of the profile")
    if not (name := _require(members["profile"], str, "the name of the profile", (*path, "profile"))):
        raise InvalidDefinition((*path, "profile"), "the name is empty")
    onlyif = members.get("onlyif")
    result, triage = _read_result(members["result"], (*path, "result"), compile_at)
    return ProfileDefinition(
        name,
        _read_expression(members["foreach"], (*path, "foreach"), compile_at),
        result,
        None if onlyif is None else _read_expression(onlyif, (*path, "onlyif"), compile_at),
        _read_assignments(members.get("init"), (*path, "init"), compile_at),
        _read_assignments(members.get("update"), (*path, "update"), compile_at),
        _read_groups(members.get("groupBy"), (*path, "groupBy"), compile_at),
        triage,
        _read_expiry(members.get("expires"), (*path, "expires")),
    )


def _read_result(value: object, path: Path, compile_at: Compile) -> tuple[Expression, Assignments]:
    if not isinstance(value, dict):
        return _read_expression(value, path, compile_at), ()
    _check_keys(value, ("profile", "triage"), path)
    if value.get("profile") is None:
        raise InvalidDefinition(path, "missing key 'profile': the expression of the value")
    return (
        _read_expression(value["profile"], (*path, "profile"), compile_at),
        _read_assignments(value.get("triage"), (*path, "triage"), compile_at),
    )


def _read_assignments(value: object, path: Path, compile_at: Compile) -> Assignments:
    members = _require({} if value is None else value, dict, "a map from names to expressions", path)
    return tuple((name, _read_expression(item, (*path, name), compile_at)) for name, item in members.items())


def _read_groups(value: object, path: Path, compile_at: Compile) -> tuple[Expression, ...]:
    groups = _require([] if value is None else value, list, "a list of expressions", path)
    return tuple(_read_expression(item, (*path, index), compile_at) for index, item in enumerate(groups))


def _read_expression(value: object, path: Path, compile_at: Compile) -> Expression:
    """Compile an expression, which may be written as a number or a boolean, as in `"count": 0`."""
    if isinstance(value, bool | int | float):
        value = to_string(value)
    return compile_at(_require(value, str, "an expression", path), path)


def _read_expiry(value: object, path: Path) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidDefinition(path, f"expected a number of days, 1 or more, got {describe(value)}")
    return value


def _require(value: object, kind: type, expected: str, path: Path) -> Any:
    if not isinstance(value, kind):
        raise InvalidDefinition(path, f"expected {expected}, got {describe(value)}")
    return value


def _check_keys(members: Mapping[str, object], known: Iterable[str], path: Path) -> None:
    for key in members:
        if key not in known:
            raise InvalidDefinition(path, f"unknown key {quote(key)}; {suggest_name(key, known)}")
