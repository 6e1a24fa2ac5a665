"""What the original does otherwise than we do; docs/compatibility.md describes each under its number."""

from __future__ import annotations

from enum import Enum


class Difference(Enum):
    """One difference: its row in docs/compatibility.md, and what it is, in a line."""

    def __init__(self, row: str, description: str) -> None:
        self.row = row
        self.description = description

    @property
    def label(self) -> str:
        """What stands in the table of the counts."""
        return f"{self.row} {self.description}"


class Trait(Difference):
    """What Metron does to an accepted text; each can be switched on in metron_machine.py."""

    WRAPPING = "1", "integers wrap around at 32 and 64 bits"
    BINARY32 = "2", "`f` numbers are rounded to binary32"
    DISTINCT_TYPES = "3", "Integer, Long and Float are types of their own as members, keys and arguments"
    ELSE_ENDS_EARLY = "4 D3", "an else branch ends at the first conditional within it"
    CONDITION_LEAKS = "4 D4", "a condition that is neither true nor false stays among the values"
    LITERAL_CHECK = "4 D5", "a literal `true` as the check of a match is false"
    NESTED_MATCH = "4 D6", "a match ends where the first match within it ends"
    BARE_COMMENT = "4 D9", "a bare `//` takes the next line with it"
    LAMBDA_EXTENT = "4 D12", "the body of a lambda ends early"
    SKIPS_TO_THE_END = "4 D15", "a decided `and`/`or` on the left of a decided one skips the rest of the text"
    UTF16 = "6", "texts count UTF-16 units"
    CHARACTERS = "6", "the characters that `MAP` goes through are no texts"
    HASH_ORDER = "7", "map literals have the order of a hash table"
    PARAMETERS_ARE_VARIABLES = "9", "the parameters of lambdas count as variables"
    HASHED_OBJECTS = "11", "`HASH` of anything but a text hashes its Java serialisation"
    GARBLED_DIGESTS = "11", "`HASH` reads its own digits in the charset of the text"
    HASH_SPELLING = "11", "`HASH` knows `SHA-1` alone, or `SHA` alone, by the version of Java"
    DATES_ARE_LONG = "12", "`DATE_FORMAT` takes a Long as a date, and no Integer"
    BLOOM_ARGUMENTS = "13", "`BLOOM_INIT` reads each argument only if there is another behind it"
    OBJECTS = "17", "statistics and sketches equal themselves alone, and print a class name"
    NARROW_CLASSES = "18", "functions refuse a value of another class that would do as well"
    VALIDATED_BY_RUNNING = "8, 10", "validation runs the text with every variable null"


class Form(Difference):
    """What we accept in addition; each can be switched on in metron_grammar.py."""

    WIDE_NUMBER = "1", "a whole number of any size"
    EXPONENT_NAME = "4 D7", "`e1` as a name"
    BARE_COMMENT_AT_THE_END = "4 D9", "`//` with nothing behind it, and the line after it"
    MINUS = "5", "`3 -1` and `-x`"
    PREFIX_NOT = "5", "`not x`"
    BARE_ARGUMENT = "5", "`and`, `or`, `in` and `match` unparenthesised as an argument or element"
    ANY_OPERAND = "5", "any parenthesised expression, text or list as an operand"


NUMBERS = frozenset({Trait.WRAPPING, Trait.BINARY32, Trait.DISTINCT_TYPES, Trait.DATES_ARE_LONG})
EVERY_TRAIT = frozenset(Trait)
