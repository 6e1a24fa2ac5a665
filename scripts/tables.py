"""Makes stellar/language/tables.py, the parser's tables, from stellar/grammar.lark: `python -m scripts.tables`."""

from __future__ import annotations

import pprint
from pathlib import Path
from typing import Any

from lark import Lark
from lark.grammar import Rule
from lark.parsers.lalr_analysis import Shift

PACKAGE = Path(__file__).parent.parent / "stellar"

HEADER = '''"""The parser's tables, generated from grammar.lark by `python -m scripts.tables`. Do not edit.

TERMINALS: (name, regular expression), in the order of matching
ACTIONS: for each state, the action at a symbol: n >= 0 goes to state n, n < 0 reduces by rule ~n
RULES: (derived symbol, number of symbols, name of the node or None, indices of its arguments)
"""

# fmt: off
'''


def build() -> str:
    """Return the source of stellar/language/tables.py. Lark's strict mode refuses a grammar with any conflict."""
    lark = Lark(
        (PACKAGE / "grammar.lark").read_text(), parser="lalr", lexer="basic", strict=True, maybe_placeholders=False
    )
    table = lark.parser.parser._parse_table  # type: ignore[union-attr]
    rules = list(dict.fromkeys(lark.rules))
    numbers = {rule: number for number, rule in enumerate(rules)}
    start, end = table.start_states["start"], table.end_states["start"]
    renumbered = numbered(table.states, start)
    states = list(renumbered)

    def action(kind: Any, target: Any) -> int:
        return renumbered[target] if kind is Shift else ~numbers[target]

    actions = [{symbol: action(*what) for symbol, what in sorted(table.states[state].items())} for state in states]
    ignored = set(lark.lexer_conf.ignore)
    terminals = [
        (terminal.name, terminal.pattern.to_regexp())
        for terminal in sorted(lark.lexer_conf.terminals, key=lambda t: (-t.priority, -len(t.pattern.value), t.name))
        if terminal.name not in ignored
    ]
    skipped = [t.pattern.to_regexp() for t in lark.lexer_conf.terminals if t.name in ignored]
    parts = {
        "TERMINALS": terminals,
        "SKIPPED": skipped,
        "ACTIONS": actions,
        "END_STATE": renumbered[end],
        "RULES": [describe(rule) for rule in rules],
    }
    return (
        HEADER
        + "\n".join(f"{name} = {pprint.pformat(value, width=118, compact=True)}" for name, value in parts.items())
        + "\n"
    )


def numbered(states: dict[Any, Any], start: Any) -> dict[Any, int]:
    """The states in the order in which they are reached, the start state first; Lark's own order is by chance."""
    reached = [start]
    for state in reached:
        targets = (target for _, (kind, target) in sorted(states[state].items()) if kind is Shift)
        reached.extend(target for target in dict.fromkeys(targets) if target not in reached)
    return {state: number for number, state in enumerate(reached)}


def describe(rule: Rule) -> tuple[str, int, str | None, tuple[int, ...]]:
    kept = tuple(
        index
        for index, symbol in enumerate(rule.expansion)
        if not (symbol.is_term and (symbol.filter_out or symbol.name.startswith("_")))
    )
    return str(rule.origin.name), len(rule.expansion), rule.alias, kept


if __name__ == "__main__":
    (PACKAGE / "language" / "tables.py").write_text(build())
