"""The differences from Metron, which docs/compatibility.md describes under their numbers."""

from __future__ import annotations

from enum import Enum


class Difference(Enum):
    """A difference: its section in docs/compatibility.md and a description in one line."""

    def __init__(self, row: str, description: str) -> None:
        self.row = row
        self.description = description

    @property
    def label(self) -> str:
        """The label in the table of the counts."""
        return f"{self.row} {self.description}"


class Trait(Difference):
    """A behaviour of Metron for a valid expression; metron_machine.py can switch each one on."""

    WRAPPING = "1", "integers wrap around at 32 and 64 bits"
    BINARY32 = "2", "`f` numbers are rounded to binary32"
    DISTINCT_TYPES = "3", "Integer, Long and Float are types of their own as members, keys and arguments"
    ELSE_ENDS_EARLY = "4 D3", "an else branch ends at the first conditional within it"
    CONDITION_LEAKS = "4 D4", "a condition that is neither true nor false stays among the values"
    LITERAL_CHECK = "4 D5", "a literal `true` as the check of a match is false"
    NESTED_MATCH = "4 D6", "a match ends where the first match within it ends"
    BARE_COMMENT = "4 D9", "a bare `//` includes the next line"
    LAMBDA_EXTENT = "4 D12", "the body of a lambda ends early"
    SKIPS_TO_THE_END = "4 D15", "a decided `and`/`or` on the left of a decided one skips the rest of the source"
    UTF16 = "6", "strings count UTF-16 units"
    CHARACTERS = "6", "the characters that `MAP` reads are not strings"
    HASH_ORDER = "7", "map literals have the order of a hash table"
    PARAMETERS_ARE_VARIABLES = "9", "the parameters of lambdas count as variables"
    HASHED_OBJECTS = "11", "`HASH` of other values than strings hashes their Java serialisation"
    DECODED_DIGESTS = "11", "`HASH` decodes its own digits in the charset of the string"
    HASH_SPELLING = "11", "`HASH` accepts only `SHA-1`, or only `SHA`, by the version of Java"
    DATES_ARE_LONG = "12", "`DATE_FORMAT` accepts a Long as a date, but not an Integer"
    BLOOM_ARGUMENTS = "13", "`BLOOM_INIT` reads an argument only if another one follows"
    OBJECTS = "17", "statistics and sketches equal only themselves, and print a class name"
    NARROW_CLASSES = "18", "functions reject values of an equivalent class"
    IPV4_ONLY = "19", "`IN_SUBNET` fails for IPv6 addresses and subnets"
    TRAILING_DOT = "20", "a trailing dot of a domain counts as the end of an empty label"
    EVERY_OCCURRENCE = "21", "`DOMAIN_TYPOSQUAT` replaces any number of occurrences of a letter at once"
    SYSTEM_V_ZONES = "23", "zones such as `SystemV/EST5EDT` exist"
    VALIDATED_BY_RUNNING = "8, 10", "validation evaluates the expression with every variable null"


class Form(Difference):
    """A form that we accept in addition; metron_grammar.py can switch each one on."""

    WIDE_NUMBER = "1", "an integer of any size"
    EXPONENT_NAME = "4 D7", "`e1` as a name"
    BARE_COMMENT_AT_THE_END = "4 D9", "`//` at the end of a line, and the line after it"
    MINUS = "5", "`3 -1` and `-x`"
    PREFIX_NOT = "5", "`not x`"
    BARE_ARGUMENT = "5", "`and`, `or`, `in` and `match` unparenthesised as an argument or element"
    ANY_OPERAND = "5", "any parenthesised expression, string or list as an operand"


NUMBERS = frozenset({Trait.WRAPPING, Trait.BINARY32, Trait.DISTINCT_TYPES, Trait.DATES_ARE_LONG})
EVERY_TRAIT = frozenset(Trait)
