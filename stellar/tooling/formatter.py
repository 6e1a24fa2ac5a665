"""Stellar as it should look: the same tokens and comments, laid out anew.

The tokens of a text are laid out by its tree: each node makes a part of its own tokens and of its children's parts. So
brackets stay where the author put them, and what a text means can't change.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

from stellar.language import nodes as n
from stellar.language.errors import ParseError
from stellar.language.nodes import outline
from stellar.language.parser import MAX_SOURCE_BYTES, NAME, parse
from stellar.language.source import Span
from stellar.tooling.lexing import BLANK, COMMENT, KEYWORD_OF, pieces
from stellar.tooling.pretty_printer import (
    ANY_WIDTH,
    INDENT,
    Comment,
    Doc,
    Line,
    Several,
    Words,
    group,
    indent,
    join,
    laid_out,
)
from stellar.tooling.statements import Statement, is_comment, statements

WIDTH = 100


def formatted(source: str, width: int = WIDTH, *, column: int = 0, indentation: int = 0) -> str:
    """An expression as it should look; its tree and its comments stay the same.

    width: how long a line may be, where that can be
    column: where the first line begins
    indentation: of all other lines

    Raises ParseError if it is not Stellar, or would be too long when it is formatted.
    """
    text = _formatted_once(source, width, column, indentation)
    # A comment may have come to stand behind another token, where it is laid out a little otherwise
    return _formatted_once(text, width, column, indentation) if "//" in text else text


def _formatted_once(source: str, width: int, column: int, indentation: int) -> str:
    formatter = _Formatter(source)
    doc = formatter.expression()
    text = laid_out(doc, width, column=column, indentation=indentation)
    if len(text.encode(errors="surrogatepass")) > MAX_SOURCE_BYTES:  # as deep brackets may be, which are indented far
        text = laid_out(doc, ANY_WIDTH, column=column, indentation=indentation)
    try:
        again = parse(text)
    except ParseError as error:
        raise ParseError(f"formatted, {error.message}", source, Span(0, 0)) from error
    if outline(again) != outline(formatter.tree):  # not by assert: also with -O no file may be spoilt
        raise AssertionError(f"formatted, it would mean something else: {source}")
    return text


def formatted_file(text: str, width: int = WIDTH) -> str:
    """A file of statements as it should look: each formatted, comments kept, of several blank lines one.

    What is for the shell alone, such as `%define …`, stays as it is. Comments within a statement begin with //. Lines
    end as they did.

    Raises StatementError for a statement that is not Stellar.
    """
    if "\r\n" in text:
        return formatted_file(text.replace("\r\n", "\n"), width).replace("\n", "\r\n")
    lines = text.split("\n")
    before = list(statements(lines))
    found: list[str] = []
    position = 0
    for statement in before:
        begin = statement.line - 1
        own = statement.text.split("\n")
        while not own[-1].strip() or is_comment(own[-1]):  # what comes behind it is no part of it
            own.pop()
        found += [*(line.strip() for line in lines[position:begin]), _formatted_statement(statement, own, width)]
        position = begin + len(own)
    found += [line.strip() for line in lines[position:]]
    kept = [line for index, line in enumerate(found) if line or (index and found[index - 1])]
    after = "\n".join(kept).strip("\n") + "\n" if any(kept) else ""
    if [_meaning(statement) for statement in statements(after.split("\n"))] != [*map(_meaning, before)]:
        raise AssertionError("formatted, the statements of this file would mean something else")
    return after


def _meaning(statement: Statement) -> tuple[str | None, object]:
    """What stays of a statement, however it looks."""
    if statement.is_command or not statement.expression.strip():
        return statement.name, statement.text.split()
    return statement.name, _outline(statement.expression)


def _outline(source: str) -> list[tuple[str, ...]] | None:
    """What a text means; None if it is not Stellar."""
    try:
        return outline(parse(source))
    except ParseError:
        return None


def _formatted_statement(statement: Statement, lines: list[str], width: int) -> str:
    if statement.is_command or not statement.expression.strip():
        return "\n".join(line.rstrip() for line in lines)
    try:
        tree = parse(statement.expression)
    except ParseError as error:
        raise StatementError(statement, error) from error
    head = f"{statement.name} := " if statement.name else ""
    first, *_ = statement.expression.split("\n")
    # A comment of the file within a statement becomes one of the language
    source = "\n".join([first, *(re.sub(r"^\s*#", "//", line) for line in lines[1:])])
    if _outline(source) != outline(tree):  # a text has a line that looks like a comment, and that is read as blanks
        return "\n".join(lines)
    try:
        return _laid_out(head, source, width)
    except ParseError as error:
        raise StatementError(statement, error) from error


def _laid_out(head: str, source: str, width: int) -> str:
    text = formatted(source, width, column=len(head), indentation=INDENT)
    lines = text.split("\n")
    if head or not is_comment(lines[0]):
        return head + text
    # Comments that have come before the first token are the file's own, and the statement begins behind them
    comments = [line.strip() for line in takewhile(is_comment, lines)]
    rest = "\n".join(lines[len(comments) :]).lstrip()
    return "\n".join([*comments, formatted(rest, width, indentation=INDENT)])


class StatementError(ValueError):
    """A statement of a file that is not Stellar.

    statement: the statement
    error: what is wrong with its expression, which has the same places as the statement
    """

    def __init__(self, statement: Statement, error: ParseError) -> None:
        super().__init__(f"line {statement.line}: {error}")
        self.statement = statement
        self.error = error


@dataclass(frozen=True, slots=True)
class _Token:
    """A token, and the comments that stand on lines of their own before it, and behind it on its line."""

    kind: str
    start: int
    end: int
    before: tuple[Comment, ...]
    behind: tuple[Comment, ...]


# What a node is laid out of: its own tokens, and the parts of its children with the brackets around them
_Item = _Token | Doc


class _Formatter:
    """Makes the part of each node, those of its children first."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.tree = parse(source)
        *self.tokens, self.end = _tokens(source)
        self.starts = [token.start for token in self.tokens]
        self.ends = [token.end for token in self.tokens]
        self.made: dict[int, Doc] = {}
        # Which operation or choice a part is, for those that go on with their first or last operand
        self.chains: dict[int, str] = {}

    def expression(self) -> Doc:
        for node in reversed(list(n.walk(self.tree))):  # each after its children
            self.made[id(node)] = self.node(node)
        return join([self.child(self.tree, -1, len(self.tokens))[0], *self.end.before])

    # -- A node's tokens and children ---------------------------------------------------------------------------------

    def items(self, node: n.Expr) -> list[_Item]:
        """The node's own tokens, and its children with the brackets around each, in the order of the text."""
        first, last = self.range(node)
        # A call's brackets are its own
        opening, closing = (first + 1, last) if isinstance(node, n.Call) else (first - 1, last + 1)
        found: list[_Item] = []
        position = first
        for child in n.children(node):
            doc, begin, end = self.child(child, opening, closing)
            found += [*self.tokens[position:begin], doc]
            position = end + 1
        return [*found, *self.tokens[position : last + 1]]

    def range(self, node: n.Expr) -> tuple[int, int]:
        """The first and the last token of a node."""
        return bisect_left(self.starts, node.span.start), bisect_right(self.ends, node.span.end) - 1

    def child(self, node: n.Expr, opening: int, closing: int) -> tuple[Doc, int, int]:
        """The part of a node with the brackets around it, which are between two tokens; the first and last of it."""
        doc = self.made[id(node)]
        first, last = self.range(node)
        while (
            opening < first - 1
            and last + 1 < closing
            and self.tokens[first - 1].kind == "LPAR"
            and self.tokens[last + 1].kind == "RPAR"
        ):
            first, last = first - 1, last + 1
            doc = self.enclosed(self.tokens[first], [doc], self.tokens[last])
        return doc, first, last

    # -- Parts --------------------------------------------------------------------------------------------------------

    def node(self, node: n.Expr) -> Doc:
        items = self.items(node)
        match node:
            case n.Exists():
                return self.unbroken([item for item in items if isinstance(item, _Token)])
            case n.Literal() | n.Variable() | n.Minus():
                return self.joined(items)
            case n.ListLiteral() | n.MapLiteral():
                return self.collection(items)
            case n.Call():
                return join([self.joined(items[:1]), self.collection(items[1:])])
            case n.Negation(operand):
                return self.joined(items, "" if items[1] is not self.made[id(operand)] else " ")
            case n.Lambda():
                return self.joined(items, " ")
            case n.Match():
                return join([self.joined(items[:1]), Words(" "), self.collection(items[1:], " ")])
            case n.Conditional():
                return self.conditional(node, items)
            case n.Arithmetic(operator, left, _):
                return self.arithmetic(_LEVELS[operator], left, items)
        return self.operation(items)

    def word(self, token: _Token) -> Doc:
        """A token as it is written, with its comments."""
        return join([*token.before, Words(self.written(token)), *token.behind])

    def written(self, token: _Token) -> str:
        text = self.source[token.start : token.end]
        if token.kind == "PARAMETERS":
            names = NAME.findall(_COMMENT.sub("", text))
            return f"{names[0]} ->" if len(names) == 1 else f"({', '.join(names)}) ->"
        return _requoted(text) if token.kind == "STRING" else KEYWORD_OF.get(token.kind, text)

    def unbroken(self, tokens: list[_Token]) -> Doc:
        """Tokens between which only comments on lines of their own end lines; other comments go behind the last."""
        if any(token.before for token in tokens[1:]):
            return join([self.word(token) for token in tokens])
        words = Words("".join(self.written(token) for token in tokens))
        return join([*tokens[0].before, words, *(comment for token in tokens for comment in token.behind)])

    def joined(self, items: list[_Item], blank: str = "") -> Doc:
        """Parts on one line, with a blank between or none."""
        parts: list[Doc] = []
        for item in items:
            parts += [Words(blank), item if isinstance(item, Doc) else self.word(item)]
        return join(parts[1:])

    def collection(self, items: list[_Item], blank: str = "") -> Doc:
        """Parts between brackets; each on a line of its own if they do not fit."""
        opening, *inner, closing = items
        assert isinstance(opening, _Token)
        assert isinstance(closing, _Token)
        return self.enclosed(opening, list(self.separated(inner)), closing, blank)

    def enclosed(self, opening: _Token, parts: list[Doc], closing: _Token, blank: str = "") -> Doc:
        if not parts:
            return self.unbroken([opening, closing])
        return group(self.word(opening), indent(Line(blank), *parts), Line(blank), self.word(closing))

    def separated(self, items: list[_Item]) -> Iterator[Doc]:
        """Parts with commas between, where lines may end; `:` and `=>` stand between blanks."""
        for item in items:
            if isinstance(item, Doc):
                yield item
            elif item.kind in _BETWEEN_BLANKS:
                yield from (Words(" "), self.word(item), Words(" "))
            else:
                yield self.word(item)
                if item.kind == "COMMA":
                    yield Line()

    def operation(self, items: list[_Item]) -> Several:
        """Operands with operators between, each at the beginning of a line if they do not fit.

        `a and (b and c)` is one node with three operands, so there may be brackets around some of them.
        """
        parts: list[Doc] = []
        around: list[tuple[_Token, list[Doc]]] = []
        for item in items:
            if isinstance(item, Doc):
                parts.append(item)
            elif item.kind == "LPAR":
                around.append((item, parts))
                parts = []
            elif item.kind == "RPAR":
                (opening, outer), inner = around.pop(), parts
                parts = [*outer, self.enclosed(opening, [_broken_behind_first(inner)], item)]
            else:
                parts += [Line(), self.word(item), Words(" ")]
        return _broken_behind_first(parts)

    def arithmetic(self, level: str, left: n.Expr, items: list[_Item]) -> Doc:
        """An operation, or one more operand of that on the left: `a + b - c` breaks as one."""
        doc = items[0]
        if isinstance(doc, Several) and doc is self.made[id(left)] and self.chains.get(id(doc)) == level:
            rest = self.operation([join([]), *items[1:]]).parts[1]
            assert isinstance(rest, Several)
            doc.add_to_last(rest.parts)
            return doc
        doc = self.operation(items)
        self.chains[id(doc)] = level
        return doc

    def conditional(self, node: n.Conditional, items: list[_Item]) -> Doc:
        """A choice; that behind else is one more branch of it."""
        *branch, word, otherwise = items
        assert isinstance(word, _Token)
        assert isinstance(otherwise, Doc)
        *condition, then_word, then = branch
        assert isinstance(then_word, _Token)
        assert isinstance(then, Doc)
        first = group(self.joined(condition, " "), indent(Line(), self.word(then_word), Words(" "), then))
        rest: list[Doc] = [Line(), self.word(word), Words(" ")]
        if (
            isinstance(otherwise, Several)
            and otherwise is self.made[id(node.otherwise)]
            and self.chains.get(id(otherwise)) == word.kind
        ):
            branch_behind, others = otherwise.parts
            assert isinstance(others, Several)
            rest += [branch_behind, *others.parts]
        else:
            rest.append(otherwise)
        doc = group(first, indent(join(rest)))  # one part, so that a long chain does not copy all behind each branch
        self.chains[id(doc)] = word.kind
        return doc


def _broken_behind_first(parts: list[Doc]) -> Several:
    first, *rest = parts
    return group(first, indent(*rest))


_LEVELS = {"+": "sum", "-": "sum", "*": "product", "/": "quotient"}
_BETWEEN_BLANKS = frozenset({"COLON", "__ANON_0"})
_COMMENT = re.compile(r"//[^\n]*")


def _requoted(text: str) -> str:
    """A text in single quotes, unless that needs more backslashes."""
    inner = text[1:-1]
    if text.startswith('"'):
        changed = re.sub(r"\\(.)|'", lambda found: '"' if found[1] == '"' else f"\\{found[1] or chr(39)}", inner)
        if changed.count("\\") <= inner.count("\\"):
            return f"'{changed}'"
    return text


def _tokens(source: str) -> Iterator[_Token]:
    """The tokens of a text with their comments, and one for its end."""
    found: list[tuple[str, int, int]] = []
    before: list[list[Comment]] = [[]]
    behind: list[list[Comment]] = []
    for kind, start, end in pieces(source):
        if kind == COMMENT:
            own_line = not found or "\n" in source[found[-1][2] : start]
            (before if own_line else behind)[-1].append(Comment(source[start:end].rstrip(), own_line))
        elif kind != BLANK:
            if kind == "PARAMETERS":  # it is one token, also if there are comments in it
                before[-1] += [Comment(comment.rstrip(), True) for comment in _COMMENT.findall(source[start:end])]
            found.append((kind, start, end))
            before.append([])
            behind.append([])
    for index, token in enumerate(found):
        following = found[index + 1][0] if index + 1 < len(found) else ""
        if not _may_end_line(token[0], following):
            before[index] += [Comment(comment.text, True) for comment in behind[index]]
            behind[index].clear()
        yield _Token(*token, tuple(before[index]), tuple(behind[index]))
    yield _Token("$END", len(source), len(source), tuple(before[-1]), ())


def _may_end_line(kind: str, following: str) -> bool:
    """Whether a line may end behind a token; else a comment there would go behind something else."""
    return kind in _LINE_ENDS and not (kind == "NAME" and following == "LPAR")


_LINE_ENDS = frozenset({
    "COMMA", "COLON", "__ANON_0", "LPAR", "LSQB", "LBRACE", "RPAR", "RSQB", "RBRACE",
    "NAME", "NUMBER", "STRING", "NAN", "TRUE", "FALSE", "NULL",
})  # fmt: skip
