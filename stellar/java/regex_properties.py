r"""The properties of Java's `\p{…}`, as members of a class of the `regex` package.

Names are matched as in Java: those of POSIX and of Unicode's categories exactly, those of scripts, blocks and binary
properties in any case. The characters of a property are those of the version of Unicode that the package has.
"""

from __future__ import annotations

import re

_IGNORABLE = r"\x00-\x08\x0e-\x1b\x7f-\x9f\p{Cf}"
_POSIX = {
    "Lower": "a-z",
    "Upper": "A-Z",
    "Alpha": "a-zA-Z",
    "Digit": "0-9",
    "Alnum": "a-zA-Z0-9",
    "Punct": r"!-/:-@\[-`\{-~",
    "Graph": "!-~",
    "Print": r"\ -~",
    "Blank": r"\ \t",
    "Cntrl": r"\x00-\x1f\x7f",
    "XDigit": "0-9a-fA-F",
    "Space": r"\ \t\n\x0b\f\r",
}
_GENERAL_CATEGORIES = (
    *("L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn", "Mc", "Me", "N", "Nd", "Nl", "No"),
    *("P", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S", "Sm", "Sc", "Sk", "So"),
    *("Z", "Zs", "Zl", "Zp", "C", "Cc", "Cf", "Cn", "Co", "Cs"),
)
_CATEGORIES = {
    **{name: rf"\p{{{name}}}" for name in _GENERAL_CATEGORIES},
    "LC": r"\p{Lu}\p{Ll}\p{Lt}",
    "LD": r"\p{L}\p{Nd}",
    "L1": r"\x00-\xff",
    "ASCII": r"\x00-\x7f",
    "all": r"\x00-\U0010ffff",
}
_JAVA = {
    "LowerCase": r"\p{Lowercase}",
    "UpperCase": r"\p{Uppercase}",
    "TitleCase": r"\p{Lt}",
    "Alphabetic": r"\p{Alphabetic}",
    "Ideographic": r"\p{Ideographic}",
    "Letter": r"\p{L}",
    "Digit": r"\p{Nd}",
    "LetterOrDigit": r"\p{L}\p{Nd}",
    "Defined": r"\P{Cn}",
    "ISOControl": r"\p{Cc}",
    "SpaceChar": r"\p{Z}",
    "Whitespace": r"\t-\r\x1c-\ \u1680\u2000-\u2006\u2008-\u200a\u2028\u2029\u205f\u3000",
    "Mirrored": r"\p{Bidi_Mirrored}",
    "IdentifierIgnorable": _IGNORABLE,
    "JavaIdentifierStart": r"\p{L}\p{Nl}\p{Sc}\p{Pc}",
    "JavaIdentifierPart": r"\p{L}\p{Nl}\p{Sc}\p{Pc}\p{Nd}\p{Mc}\p{Mn}" + _IGNORABLE,
    "UnicodeIdentifierStart": r"\p{ID_Start}",
    "UnicodeIdentifierPart": r"\p{ID_Continue}" + _IGNORABLE,
}
# Names in lowercase, without underscores where Java accepts both forms
_BINARY = {
    "alphabetic": r"\p{Alphabetic}",
    "letter": r"\p{L}",
    "ideographic": r"\p{Ideographic}",
    "lowercase": r"\p{Lowercase}",
    "uppercase": r"\p{Uppercase}",
    "titlecase": r"\p{Lt}",
    "control": r"\p{Cc}",
    "punctuation": r"\p{P}",
    "assigned": r"\P{Cn}",
    "noncharactercodepoint": r"\p{Noncharacter_Code_Point}",
    "hexdigit": r"\p{Nd}a-fA-F\uff21-\uff26\uff41-\uff46",
    "whitespace": r"\p{White_Space}",
    "joincontrol": r"\p{Join_Control}",
    # The forms of POSIX that follow Unicode
    "alpha": r"\p{Alphabetic}",
    "lower": r"\p{Lowercase}",
    "upper": r"\p{Uppercase}",
    "space": r"\p{White_Space}",
    "digit": r"\p{Nd}",
    "alnum": r"\p{Alphabetic}\p{Nd}",
    "punct": r"\p{P}",
    "cntrl": r"\p{Cc}",
    "xdigit": r"\p{Nd}a-fA-F\uff21-\uff26\uff41-\uff46",
    "blank": r"\p{Zs}\t",
    "graph": r"\p{graph}",
    "print": r"\p{print}",
    "word": r"\p{word}",
}
_WITH_UNDERSCORES = {"hex_digit", "white_space", "join_control", "noncharacter_code_point"}
# Without regard to case, the letters of each case are those of all cases
_CASES = {
    **dict.fromkeys(("a-z", "A-Z"), "a-zA-Z"),
    **dict.fromkeys((r"\p{Lu}", r"\p{Ll}", r"\p{Lt}"), _CATEGORIES["LC"]),
    **dict.fromkeys((r"\p{Lowercase}", r"\p{Uppercase}"), r"\p{Lowercase}\p{Uppercase}\p{Lt}"),
}
_SCRIPT = re.compile(r"[A-Za-z]+(?:_[A-Za-z]+)*")
_BLOCK = re.compile(r"[A-Za-z0-9]+(?:[ _-][A-Za-z0-9]+)*")
# Blocks with an older name in Java
_BLOCKS = {"surrogatesarea": "highsurrogates"}
# Aliases of the package that Java does not have
_OTHER_ALIASES = {"script": ("qaac", "qaai"), "block": ("ascii", "punctuation")}
_KEYS = {"sc": "script", "blk": "block", "gc": "general_category"}


def find_property(name: str, *, ignore_case: bool, unicode_classes: bool) -> str | None:
    r"""Return the members of a property; None if Java has no property of that name.

    The package may still not know a script or a block.

    name: the name between the braces of `\p{…}`
    ignore_case: True in the scope of the flag `i`
    unicode_classes: True in the scope of the flag `U`
    """
    members = _find(name, unicode_classes)
    is_titlecase = members == r"\p{Lt}" and name not in _CATEGORIES and not name.endswith("=Lt") and name != "IsLt"
    if ignore_case and members is not None:
        return _CASES[r"\p{Lowercase}"] if is_titlecase else _CASES.get(members, members)
    return members


def _find(name: str, unicode_classes: bool) -> str | None:
    key, equals, value = name.partition("=")
    if equals:
        return _find_value(_KEYS.get(key.lower(), key.lower()), value)
    if name.startswith("In"):
        return _find_value("block", name[2:])
    if name.startswith("Is"):
        return _find_binary(name[2:]) or _find_category(name[2:]) or _find_value("script", name[2:])
    if unicode_classes and name.title() in (*_POSIX, "Xdigit"):
        return _BINARY[name.lower()]
    return _find_category(name)


def _find_value(key: str, value: str) -> str | None:
    if key == "general_category":
        return _find_category(value)
    if value.lower() in _OTHER_ALIASES.get(key, ()):
        return None
    if key == "script" and _SCRIPT.fullmatch(value):
        return rf"\p{{Script={value}}}"
    if key == "block" and _BLOCK.fullmatch(value):
        name = re.sub("[ _-]", "", value).lower()
        return rf"\p{{Block={_BLOCKS.get(name, name)}}}"
    return None


def _find_binary(name: str) -> str | None:
    lower = name.lower()
    return _BINARY.get(lower.replace("_", "") if lower in _WITH_UNDERSCORES else lower)


def _find_category(name: str) -> str | None:
    if name.startswith("java"):
        return _JAVA.get(name[4:])
    return _CATEGORIES.get(name) or _POSIX.get(name)
