"""Documentation of functions and keywords as Markdown, for editors and notebooks."""

from __future__ import annotations

from collections.abc import Iterator

from stellar.language.library import Function, Parameter

KEYWORDS = {
    "and": "`a and b`: true if both are. `and` and `or` have one precedence, and group from the right.",
    "or": "`a or b`: true if one of them is. `and` and `or` have one precedence, and group from the right.",
    "not": "`not(a)`: true if `a` is false.",
    "in": "`a in b`: true if a list or set has the item, a map the key, or a string the substring.",
    "not in": "`a not in b`: true unless a list or set has the item, a map the key, or a string the substring.",
    "if": "`if condition then value else value`: one of two values. Both are needed.",
    "then": "`if condition then value else value`: one of two values. Both are needed.",
    "else": "`if condition then value else value`: one of two values. Both are needed.",
    "match": "`match { condition => value, default => value }`: the value of the first true condition.",
    "default": "`match { condition => value, default => value }`: the value if no condition is true.",
    "exists": "`exists(field)`: true if the field has a value other than null.",
    "true": "`true`: the boolean.",
    "false": "`false`: the boolean.",
    "null": "`null`: no value; a missing field is null.",
    "nan": "`NaN`: not a number; it equals nothing, not even itself.",
}


def describe_keyword(word: str) -> str | None:
    """Return the documentation of a keyword, one line; None for other words."""
    return KEYWORDS.get(word.lower())


def describe_function(function: Function) -> str:
    """Return the usage and the help of a function."""
    return f"{_code(function.usage)}\n\n{describe_without_usage(function)}"


def describe_without_usage(function: Function) -> str:
    """Return the help of a function without its usage."""
    return "\n\n".join(_paragraphs(function))


def _paragraphs(function: Function) -> Iterator[str]:
    text = function.help
    yield text.summary
    if text.details:
        yield text.details
    if function.parameters:
        yield "\n".join(f"- `{each.name}`: {describe_parameter(each)}" for each in function.parameters)
    if text.returns:
        yield f"Returns: {text.returns}"
    if text.examples:
        yield _code(text.examples)


def describe_parameter(parameter: Parameter) -> str:
    """Return the description and the type of a parameter."""
    return f"{parameter.description} ({parameter.kind.noun})"


def list_parameters(function: Function) -> list[str]:
    """Return the parameters in the notation of the function's usage, such as `default?`."""
    inner = function.usage[len(function.name) + 1 : -1]
    return inner.split(", ") if inner else []


def describe_assignment(source: str, name: str) -> str:
    """Return the assignment that sets a variable."""
    return _code(f"{name} := {source}")


def _code(source: str) -> str:
    return f"```stellar\n{source}\n```"
