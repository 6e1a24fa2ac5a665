"""Functions and keywords in Markdown, as editors and notebooks show them."""

from __future__ import annotations

from collections.abc import Iterator

from stellar.language.library import Function, Parameter

KEYWORDS = {
    "and": "`a and b`: true if both are. `and` and `or` have one precedence, and group from the right.",
    "or": "`a or b`: true if one of them is. `and` and `or` have one precedence, and group from the right.",
    "not": "`not(a)`: true if `a` is not.",
    "in": "`a in b`: whether a list, set or map has it as item or key, or a text as a part.",
    "not in": "`a not in b`: whether a list, set or map does not have it, or a text does not contain it.",
    "if": "`if condition then value else value`: one of two values. Both are needed.",
    "then": "`if condition then value else value`: one of two values. Both are needed.",
    "else": "`if condition then value else value`: one of two values. Both are needed.",
    "match": "`match { condition => value, default => value }`: the value of the first condition that holds.",
    "default": "`match { condition => value, default => value }`: the value if no condition holds.",
    "exists": "`exists(field)`: whether the field has a value other than null.",
    "true": "`true`: the truth value.",
    "false": "`false`: the truth value.",
    "null": "`null`: no value; it is what a field has that is not there.",
    "nan": "`NaN`: not a number; it equals nothing, not even itself.",
}


def keyword(word: str) -> str | None:
    """What a keyword means, in one line; None for what is no keyword."""
    return KEYWORDS.get(word.lower())


def function(known: Function) -> str:
    """All that the help of a function says."""
    return "\n\n".join(_paragraphs(known))


def _paragraphs(known: Function) -> Iterator[str]:
    yield _code(known.usage)
    yield from without_usage(known)


def without_usage(known: Function) -> Iterator[str]:
    """The paragraphs of a function's help but for how it is called."""
    said = known.help
    yield said.summary
    if said.details:
        yield said.details
    if known.parameters:
        yield "\n".join(f"- `{each.name}`: {parameter(each)}" for each in known.parameters)
    if said.returns:
        yield f"Returns: {said.returns}"
    if said.examples:
        yield _code(said.examples)


def parameter(known: Parameter) -> str:
    """What a parameter is, and of which kind its values are."""
    return f"{known.description} ({known.kind.noun})"


def marks(known: Function) -> list[str]:
    """The parameters as the usage of their function shows them, such as `default?`."""
    inner = known.usage[len(known.name) + 1 : -1]
    return inner.split(", ") if inner else []


def expression(source: str, name: str) -> str:
    """How a variable gets its value."""
    return _code(f"{name} := {source}")


def _code(text: str) -> str:
    return f"```stellar\n{text}\n```"
