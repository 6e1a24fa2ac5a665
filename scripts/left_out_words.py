"""The words that docstrings, comments, messages and docs leave out, and what to write instead.

A space in a pattern matches any whitespace, so a phrase is found across a line break. Case is ignored, except in
`(?-i:…)`. Words with an ordinary sense too (`place`, `part`, `keep`, `answer`) are matched only in the other one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

DOCSTRINGS, COMMENTS, MESSAGES, DOCS = "docstrings", "comments", "messages", "docs"
STRINGS, TEST_NAMES = "other strings", "test names"
KINDS = (DOCSTRINGS, COMMENTS, MESSAGES, DOCS, STRINGS, TEST_NAMES)


@dataclass(frozen=True)
class LeftOutWord:
    """A word to avoid.

    name: label in listings
    pattern: regular expression of the word and its inflected forms
    instead: what to write
    kinds: the kinds of prose in which it counts
    """

    name: str
    pattern: str
    instead: str
    kinds: tuple[str, ...] = KINDS

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """The compiled pattern."""
        return re.compile(self.pattern.replace(" ", r"\s+"), re.IGNORECASE)


_IS = r"(?:is|are|was|were|be|been|being)"
_ORDINARY_TEXT = r"(?<!plain\s)(?<!help\s)(?<!full\s)(?<!alt\s)(?<!rich\s)"
_TEXT_NOUN = r"(?:files?|editors?|mode|formats?|fields?|protocols?|tables?|streams?|wrapping|encodings?|nodes?)"
_DOCUMENT = r"(?:pages?|files?|documents?|documentation|docs|errors?|licen[cs]e|messages?)"
_CACHED = r"(?:results?|responses?|values?|look-?ups?|patterns?|cop(?:y|ies)|items?|entr(?:y|ies)|expressions?)"
_ENDPOINT = r"(?:models?|instances?|servers?|endpoints?|services?|registr(?:y|ies)|replicas?)"
_PROXY = (
    r"(?:reverse |load |HTTP )?(?:prox(?:y|ies)|balancers?|firewalls?|gateways?|flags?|ingress|NAT|VPN|interfaces?)"
)

LEFT_OUT = (
    # The first line of a docstring
    LeftOutWord(
        "first line",
        r"\A\s*(?:What|Whether|Who|Whoever|Whom|Whose|Of|How|Where|Wherever|Like|When|Why|Which)\b",
        "name the thing or the effect: 'Return …', 'A pool of …'",
        (DOCSTRINGS,),
    ),
    # Types and values
    LeftOutWord("texts", r"\btexts\b", "strings; sources; messages"),
    LeftOutWord(
        "text",
        rf"{_ORDINARY_TEXT}\btext\b(?![/-])(?! {_TEXT_NOUN}\b)(?! (?:of|in) (?:the |this |an? |its )?{_DOCUMENT}\b)",
        "string; source; message",
    ),
    LeftOutWord("whole number", r"\bwhole numbers?\b", "integer"),
    LeftOutWord("blank", r"\bblanks?\b(?![- ]lines?\b)", "space; whitespace; empty"),
    LeftOutWord("capitals", r"\bcapitals\b|\bcapital letters?\b", "uppercase"),
    LeftOutWord("small letters", r"\bsmall letters?\b", "lowercase"),
    LeftOutWord("truth", r"\btruths\b|\ba truth\b|\bor truth\b", "boolean; truth value"),
    # Nouns that name nothing
    LeftOutWord("thing", r"\bthings?\b", "name it: record, field, value, option"),
    LeftOutWord(
        "place",
        r"(?<!\bin\s)(?<!\btake\s)(?<!\btakes\s)(?<!\btook\s)(?<!\btaking\s)(?<!\btaken\s)(?<!\bdecimal\s)(?<!\bto\s)"
        r"(?<!\bfirst\s)\bplaces?\b(?! (?:after|of) (?:the )?(?:decimal|point))",
        "location; position; offset; field; module",
    ),
    LeftOutWord(
        "part",
        r"(?<!\bin\s)(?<!\btake\s)(?<!\btakes\s)(?<!\btaking\s)(?<!\bmost\s)(?<!\bno\s)(?<!integer\s)(?<!integral\s)"
        r"(?<!fractional\s)(?<!fraction\s)(?<!imaginary\s)(?<!real\s)(?<!host\s)(?<!local\s)\bparts?\b(?! of\b)(?!-)",
        "record, field, value, key, expression, argument, component",
    ),
    # Reporting
    LeftOutWord("tell", r"\b(?:tell|tells|telling|told)\b", "return, report, log; distinguish"),
    LeftOutWord("say", r"(?<!,\s)\b(?:say|says|saying|said|unsaid)\b", "report, raise, log, warn, specify, document"),
    LeftOutWord("speak of", r"\b(?:speak|speaks|speaking|spoke|spoken) (?:of|to|with)\b", "name, describe; connect to"),
    LeftOutWord("silent", r"\bsilent about\b|\b(?:is|are|was|were|keeps?|stays?) silent\b", "report nothing; ignore"),
    LeftOutWord("complain", r"\bcomplain(?:s|ed|ing|ts?)?\b", "report; error, warning"),
    # Repair
    LeftOutWord("mend", r"\bmend(?:s|ed|ing)?\b", "fix; suggestion"),
    LeftOutWord("anew", r"\banew\b|\bafresh\b", "again; replace, regenerate"),
    LeftOutWord("clear away", r"\b(?:clear|clears|cleared|clearing|tidy|tidied|tidies) away\b", "remove, clean up"),
    LeftOutWord("make good", r"\b(?:make|makes|made|making) good\b", "fix, replace"),
    # Order and being
    LeftOutWord(
        "behind",
        r"(?<!lag\s)(?<!lags\s)(?<!lagging\s)(?<!fall\s)(?<!falls\s)(?<!falling\s)"
        rf"\bbehind\b(?! (?:the scenes|(?:an? |the )?{_PROXY})\b)",
        "after; in; under",
    ),
    LeftOutWord("stand", r"\b(?:stand|stands|standing|stood)\b(?! (?:for|in for|up|out|by)\b)(?!-)", "is, appears"),
    LeftOutWord(
        "lie",
        r"\b(?:lie|lies|lay|lain|lying) (?:in|at|on|under|below|above|between|before|after|within|inside|outside|"
        r"beyond|beside|next|there|here|behind|open|further|apart)\b|\bwhere (?:\w+ ){1,4}(?:lie|lies|lay)\b",
        "is, is located",
    ),
    LeftOutWord(
        "no such", r"\bthere (?:is|are|was|were|be) no such\b|\bis there no such\b", "X does not exist; unknown X"
    ),
    LeftOutWord(
        "is none", rf"\b(?:{_IS}|has|have|had|names?|gives?|gave|as) (?-i:none)\b(?! of\b)", "invalid; missing; empty"
    ),
    LeftOutWord(
        "is no X",
        rf"(?<!there\s)\b{_IS} no (?!longer\b|more\b|less\b|later\b|earlier\b|fewer\b|greater\b|larger\b|smaller\b|"
        r"matter\b|different\b|better\b|worse\b|such\b)\w+",
        "is not X; invalid X; expected X, got Y",
    ),
    LeftOutWord("to be had", r"\b(?:to|can|could|cannot|can't|couldn't)(?: not)? be had\b", "available; not available"),
    LeftOutWord(
        "what is no", r"\bwhat (?:is|are|was) (?:no|none|not)\b|\bwhat else\b", "name it: 'invalid values', 'the rest'"
    ),
    LeftOutWord("what can't", r"\bwhat (?:can't|cannot|could not|couldn't)\b", "name it: 'an unreadable file'"),
    LeftOutWord(
        "what is",
        r"\b(?:of|for|by|with|from|at|as|in|than|besides) what\b|\bwhat (?:is|are|was|were)\b",
        "name it: 'the values', 'the error', 'missing nodes'",
        (DOCSTRINGS, COMMENTS, MESSAGES),
    ),
    LeftOutWord("to blame", r"\bto blame\b", "that causes; invalid"),
    # Persons
    LeftOutWord("whoever", r"\b(?:whoever|whomever|whosoever)\b", "the caller, the user, the operator"),
    LeftOutWord("somebody", r"\b(?:some|no|any|every)body\b", "the caller, the user; no one; another process"),
    LeftOutWord("he", r"\b(?:he|him|himself|his|she|hers)\b", "they; it; the user"),
    LeftOutWord(
        "who names", r"\bwho (?:names?|gives?|asks?|calls?|says?)\b|\b(?:of|for|to|by|from|with) who\b", "the caller"
    ),
    # Requests
    LeftOutWord(
        "ask",
        r"\b(?:ask|asks|asked|asking)\b(?! (?:the (?:user|operator|reader|maintainers?)\b|you\b|for (?:a |the )?"
        r"(?:password|confirmation|permission|help)\b|(?:before|again before)\b))",
        "request, call, query",
    ),
    LeftOutWord(
        "answer",
        r"(?<!question\sand\s)(?<!questions\sand\s)\b(?:un)?answer(?:s|ed|ing|able)?\b",
        "response, result; respond, return",
    ),
    LeftOutWord(
        "address",
        rf"\b{_ENDPOINT}(?:'s|s')? address(?:es)?\b|"
        rf"\baddress(?:es)? of (?:an? |the |its |each |every |all |some )?{_ENDPOINT}\b",
        "endpoint, URL",
    ),
    # Resilience
    LeftOutWord("patience", r"\b(?:im)?patien(?:ce|t|tly)\b", "time-out, deadline"),
    LeftOutWord(
        "tries",
        r"\b(?:of|many|more|two|three|four|several|few|fewer|all|between|after|the|its|further|first|last|next|\d+|no|"
        r"most|these|those|number of) tries\b|\b(?:a|each|every|one|first|second|last|next|another|per|more) try\b"
        r"(?! (?:block|statement|clause)\b)(?![:/])",
        "attempts, retries",
    ),
    LeftOutWord("strike", r"\b(?:strike|strikes|striking|struck)\b", "failure; circuit breaker"),
    LeftOutWord("seat", r"\bseats?\b|\bseated\b", "slot; concurrency limit"),
    LeftOutWord(
        "looks",
        r"\blooks\b(?! (?:up|like|for|as if)\b)|\b(?:look|looked|looking) (?:whether|after|if)\b|"
        r"\b(?:a|each|every|one|first|last|next|per|another|between) looks?\b(?!-|\s+up)",
        "checks; health check, probe",
    ),
    LeftOutWord("see to", r"\b(?:see|sees|saw|seen|seeing) to (?:it|that|this)\b|\bsees to\b", "ensures"),
    LeftOutWord("wish", r"\bwish(?:es|ed|ing)?\b", "request; desired state"),
    LeftOutWord("want", r"\bwants\b|\b(?:un)?wanted\b|\bwhat (?:\w+ ){1,2}want\b", "desired; expected; requested"),
    LeftOutWord("unwell", r"\bunwell\b|\bnot well\b|\bis well\b|\bare well\b", "unhealthy; healthy"),
    LeftOutWord("at hand", r"\bat hand\b", "available"),
    LeftOutWord("give way", r"\b(?:give|gives|gave|given|giving) way\b", "yield"),
    LeftOutWord("garbled", r"\bgarbled?\b", "malformed"),
    # Caching
    LeftOutWord("remember", r"\bremember(?:s|ed|ing)?\b", "cache, memoize, store, record"),
    LeftOutWord(
        "keep",
        rf"\bkeep(?:s|ing)? (?!up\b)(?:\w+ ){{0,3}}?(?:{_CACHED}|what)\b|"
        rf"\b{_CACHED} (?:{_IS} |to be )?kept\b|\b(?:which|that|what) {_IS} kept\b(?! (?:alive|open|apart|from|up)\b)|"
        r"\bkept (?:for|until|in memory|in the cache|as long|here|there|once|by)\b",
        "cache, memoize, store, retain",
    ),
    # Archaisms
    LeftOutWord(
        "thereof",
        r"\b(?:thereof|therein|wherein|whereof|whereby|hitherto|henceforth|lest|save that|thrice)\b",
        "plain words",
    ),
    LeftOutWord("seldom", r"\bseldom\b", "rarely"),
)
