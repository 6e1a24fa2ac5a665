"""What the original does otherwise than we do, trait by trait; docs/compatibility.md has a row for each."""

from __future__ import annotations

from enum import Enum


class Trait(Enum):
    """One way in which an answer of Metron's can differ from ours."""

    WRAPPING = "integers of 32 and 64 bits that wrap around"
    BINARY32 = "`f` literals and what is calculated with them are binary32"
    DISTINCT_TYPES = "Integer, Long and Float are types of their own as members and keys"
    UTF16 = "texts count UTF-16 units"
    CHARACTERS = "the characters of a text are no texts"
    HASH_ORDER = "map literals have the order of a hash table"
    MAP_CLASSES = "some functions take only one of several classes of maps"
    ELSE_ENDS_EARLY = "the skipping of an else branch ends at the first conditional within (D3)"
    CONDITION_LEAKS = "a condition that is neither true nor false stays among the values (D4)"
    LITERAL_CHECK = "a literal `true` as the check of a match is false (D5)"
    NESTED_MATCH = "a match ends at the end of the first match within (D6)"
    BARE_COMMENT = "a bare `//` takes the next line with it (D9)"
    LAMBDA_EXTENT = "the body of a lambda ends early (D12)"
    SKIPS_TO_THE_END = "two `and`/`or` decided by the same value skip the rest of the text"
    VALIDATED_BY_RUNNING = "validation runs the text with every variable null"
    PARAMETERS_ARE_VARIABLES = "the parameters of lambdas count as variables"


NUMBERS = frozenset({Trait.WRAPPING, Trait.BINARY32, Trait.DISTINCT_TYPES})
EVERY_TRAIT = frozenset(Trait)
