"""The formatter: the same tokens and comments in a canonical layout.

The layout follows the syntax tree: the document of each node is built from its own tokens and the documents of its
children. So parentheses stay where the author put them, and the meaning can't change.
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
from stellar.tooling.lexing import COMMENT, KEYWORD_OF, WHITESPACE, tokenize
from stellar.tooling.pretty_printer import (
    ANY_WIDTH,
    INDENT,
    Break,
    Comment,
    Concat,
    Doc,
    Verbatim,
    group,
    indent,
    join,
    render,
)
from stellar.tooling.statements import Statement, is_comment, read_statements

WIDTH = 100


def format_expression(source: str, width: int = WIDTH, *, column: int = 0, indentation: int = 0) -> str:
    """Format an expression; its tree and its comments stay the same.

    width: maximum length of a line, where possible
    column: column at which the first line starts
    indentation: indentation of all other lines

    Raise ParseError if it is not Stellar, or if the result is too long.
    """
    tree = parse(source)
    text = _format_tree(source, tree, width, column, indentation)
    if outline(_parse_formatted(text, source)) != outline(tree):  # not an assert statement: -O must not corrupt files
        raise AssertionError(f"formatting would change the meaning of: {source}")
    return text


def _format_tree(source: str, tree: n.Expr, width: int, column: int, indentation: int) -> str:
    """Format an expression, given with its tree; the caller compares the result with it."""
    text = _format_once(source, tree, width, column, indentation)
    if "//" not in text:
        return text
    # A comment may have moved after another token, where its layout differs
    return _format_once(text, _parse_formatted(text, source), width, column, indentation)


def _format_once(source: str, tree: n.Expr, width: int, column: int, indentation: int) -> str:
    doc = _LayoutBuilder(source, tree).expression()
    text = render(doc, width, column=column, indentation=indentation)
    if len(text.encode(errors="surrogatepass")) > MAX_SOURCE_BYTES:  # deeply nested brackets are indented far
        text = render(doc, ANY_WIDTH, column=column, indentation=indentation)
    return text


def _parse_formatted(text: str, source: str) -> n.Expr:
    """Parse a formatted source. Raise ParseError, about the source before, if that is impossible, as for its length."""
    try:
        return parse(text)
    except ParseError as error:
        raise ParseError(f"formatted, {error.message}", source, Span(0, 0)) from error


def format_file(source: str, width: int = WIDTH) -> str:
    """Format the statements of a file; comments stay, and several blank lines become one.

    Commands of the shell, such as `%define …`, stay unchanged. Comments within a statement start with //. Line ends
    stay the same.

    Raise StatementError for a statement that is not Stellar.
    """
    if "\r\n" in source:
        return format_file(source.replace("\r\n", "\n"), width).replace("\n", "\r\n")
    lines = source.split("\n")
    before = list(read_statements(lines))
    trees = [_parse_statement(statement) for statement in before]
    formatted = [_format_statement(*each, width) for each in zip(before, trees, strict=True)]
    after = _join_lines(_replace_statements(lines, before, formatted))
    again = list(read_statements(after.split("\n")))
    if len(again) != len(before) or not all(map(_is_same, before, trees, again)):
        raise AssertionError("formatting would change the meaning of this file")
    return after


def _parse_statement(statement: Statement) -> n.Expr | None:
    """Return the tree of a statement; None for a command and an empty one. Raise StatementError if it is invalid."""
    if statement.is_command or not statement.expression.strip():
        return None
    try:
        return parse(statement.expression)
    except ParseError as error:
        raise StatementError(statement, error) from error


def _is_same(before: Statement, tree: n.Expr | None, after: Statement) -> bool:
    """Return True if a formatted statement has the name and the tree, or the words, of the statement before."""
    if before.name != after.name:
        return False
    if tree is None or after.is_command:
        return tree is None and before.text.split() == after.text.split()
    try:
        return outline(_parse_formatted(after.expression, before.expression)) == outline(tree)
    except ParseError as error:
        raise StatementError(before, error) from error


def _own_lines(statement: Statement) -> list[str]:
    """Return the lines of a statement without comments and blank lines after it."""
    lines = statement.text.split("\n")
    while not lines[-1].strip() or is_comment(lines[-1]):
        lines.pop()
    return lines


def _replace_statements(lines: list[str], statements: list[Statement], formatted: list[str]) -> Iterator[str]:
    """Yield the formatted statements, and the lines between them without surrounding whitespace."""
    position = 0
    for statement, text in zip(statements, formatted, strict=True):
        begin = statement.line - 1
        yield from (line.strip() for line in lines[position:begin])
        yield text
        position = begin + len(_own_lines(statement))
    yield from (line.strip() for line in lines[position:])


def _join_lines(lines: Iterator[str]) -> str:
    """Join lines, each group of blank lines as one, with one line end at the end."""
    joined: list[str] = []
    for line in lines:
        if line or (joined and joined[-1]):
            joined.append(line)
    return "\n".join(joined).strip("\n") + "\n" if any(joined) else ""


def _parse(source: str) -> n.Expr | None:
    """Return the tree of a source; None if it is not Stellar."""
    try:
        return parse(source)
    except ParseError:
        return None


def _format_statement(statement: Statement, tree: n.Expr | None, width: int) -> str:
    lines = _own_lines(statement)
    if tree is None:
        return "\n".join(line.rstrip() for line in lines)
    head = f"{statement.name} := " if statement.name else ""
    first, *_ = statement.expression.split("\n")
    # A comment starting with # is valid between statements only
    source = "\n".join([first, *(re.sub(r"^\s*#", "//", line) for line in lines[1:])])
    if source != statement.expression[: len(source)]:  # it has comments, which were read as spaces
        with_comments = _parse(source)
        if with_comments is None or outline(with_comments) != outline(tree):  # a line of a string resembles a comment
            return "\n".join(lines)
        tree = with_comments
    try:
        return _format_after_name(head, source, tree, width)
    except ParseError as error:
        raise StatementError(statement, error) from error


def _format_after_name(head: str, source: str, tree: n.Expr, width: int) -> str:
    text = _format_tree(source, tree, width, column=len(head), indentation=INDENT)
    lines = text.split("\n")
    if head or not is_comment(lines[0]):
        return head + text
    # Comments before the first token belong to the file, and the statement starts after them
    comments = [line.strip() for line in takewhile(is_comment, lines)]
    rest = "\n".join(lines[len(comments) :]).lstrip()
    return "\n".join([*comments, format_expression(rest, width, indentation=INDENT)])


class StatementError(ValueError):
    """A statement of a file is not Stellar.

    statement: the statement
    error: error in its expression, whose offsets are those of the statement
    """

    def __init__(self, statement: Statement, error: ParseError) -> None:
        super().__init__(f"line {statement.line}: {error}")
        self.statement = statement
        self.error = error


@dataclass(frozen=True, slots=True)
class _CommentedToken:
    """A token, the comments on lines of their own before it, and those after it on its line."""

    kind: str
    start: int
    end: int
    before: tuple[Comment, ...]
    after: tuple[Comment, ...]


# The input of a node's document: its own tokens, and its children's documents with the brackets around them
_Item = _CommentedToken | Doc


class _LayoutBuilder:
    """Builds the document of each node, those of its children first."""

    def __init__(self, source: str, tree: n.Expr) -> None:
        self.source = source
        self.tree = tree
        *self.tokens, self.end = _tokens(source)
        self.starts = [token.start for token in self.tokens]
        self.ends = [token.end for token in self.tokens]
        self.docs: dict[int, Doc] = {}
        # The operator or keyword of documents that can absorb their first or last operand
        self.chains: dict[int, str] = {}

    def expression(self) -> Doc:
        for node in reversed(list(n.walk(self.tree))):  # each after its children
            self.docs[id(node)] = self.build(node)
        return join([self.enclose_child(self.tree, -1, len(self.tokens))[0], *self.end.before])

    # -- A node's tokens and children ---------------------------------------------------------------------------------

    def collect_items(self, node: n.Expr) -> list[_Item]:
        """Return a node's own tokens and its children with the brackets around each, in source order."""
        first, last = self.token_range(node)
        # The brackets of a call belong to the call
        opening, closing = (first + 1, last) if isinstance(node, n.Call) else (first - 1, last + 1)
        items: list[_Item] = []
        position = first
        for child in n.children(node):
            doc, begin, end = self.enclose_child(child, opening, closing)
            items += [*self.tokens[position:begin], doc]
            position = end + 1
        return [*items, *self.tokens[position : last + 1]]

    def token_range(self, node: n.Expr) -> tuple[int, int]:
        """Return the indices of the first and the last token of a node."""
        return bisect_left(self.starts, node.span.start), bisect_right(self.ends, node.span.end) - 1

    def enclose_child(self, node: n.Expr, opening: int, closing: int) -> tuple[Doc, int, int]:
        """Return a child's document with the brackets around it, and the indices of its first and last token.

        opening, closing: indices of the tokens between which its brackets are
        """
        doc = self.docs[id(node)]
        first, last = self.token_range(node)
        while (
            opening < first - 1
            and last + 1 < closing
            and self.tokens[first - 1].kind == "LPAR"
            and self.tokens[last + 1].kind == "RPAR"
        ):
            first, last = first - 1, last + 1
            doc = self.enclose(self.tokens[first], [doc], self.tokens[last])
        return doc, first, last

        """Concatenate tokens. Comments on their own lines break lines, others follow the last token."""

    def build(self, node: n.Expr) -> Doc:
        """Build the document of a node from those of its children."""
        items = self.collect_items(node)
        match node:
            case n.Exists():
                return self.concat_tokens([item for item in items if isinstance(item, _CommentedToken)])
            case n.Literal() | n.Variable() | n.Minus():
                return self.join_items(items)
            case n.ListLiteral() | n.MapLiteral():
                return self.build_collection(items)
            case n.Call():
                return join([self.join_items(items[:1]), self.build_collection(items[1:])])
            case n.Negation(operand):
                return self.join_items(items, "" if items[1] is not self.docs[id(operand)] else " ")
            case n.Lambda():
                return self.join_items(items, " ")
            case n.Match():
                return join([self.join_items(items[:1]), Verbatim(" "), self.build_collection(items[1:], " ")])
            case n.Conditional():
                return self.build_conditional(node, items)
            case n.Arithmetic(operator, left, _):
                return self.build_arithmetic(_LEVELS[operator], left, items)
        return self.build_operation(items)

    def build_token(self, token: _CommentedToken) -> Doc:
        """Build the document of a token with its comments."""
        return join([*token.before, Verbatim(self.render_token(token)), *token.after])

    def render_token(self, token: _CommentedToken) -> str:
        text = self.source[token.start : token.end]
        if token.kind == "PARAMETERS":
            names = NAME.findall(_COMMENT.sub("", text))
            return f"{names[0]} ->" if len(names) == 1 else f"({', '.join(names)}) ->"
        return _normalize_quotes(text) if token.kind == "STRING" else KEYWORD_OF.get(token.kind, text)

    def concat_tokens(self, tokens: list[_CommentedToken]) -> Doc:
        """Concatenate tokens. Comments on lines of their own break lines, others follow the last token."""
        if any(token.before for token in tokens[1:]):
            return join([self.build_token(token) for token in tokens])
        words = Verbatim("".join(self.render_token(token) for token in tokens))
        return join([*tokens[0].before, words, *(comment for token in tokens for comment in token.after)])

    def join_items(self, items: list[_Item], separator: str = "") -> Doc:
        """Concatenate items on one line."""
        parts: list[Doc] = []
        for item in items:
            parts += [Verbatim(separator), item if isinstance(item, Doc) else self.build_token(item)]
        return join(parts[1:])

    def build_collection(self, items: list[_Item], padding: str = "") -> Doc:
        """Enclose items in brackets; each is on a line of its own if they do not fit."""
        opening, *inner, closing = items
        assert isinstance(opening, _CommentedToken)
        assert isinstance(closing, _CommentedToken)
        return self.enclose(opening, list(self.separate(inner)), closing, padding)

    def enclose(self, opening: _CommentedToken, parts: list[Doc], closing: _CommentedToken, padding: str = "") -> Doc:
        if not parts:
            return self.concat_tokens([opening, closing])
        return group(
            self.build_token(opening), indent(Break(padding), *parts), Break(padding), self.build_token(closing)
        )

    def separate(self, items: list[_Item]) -> Iterator[Doc]:
        """Yield items with a line break after each comma, and spaces around `:` and `=>`."""
        for item in items:
            if isinstance(item, Doc):
                yield item
            elif item.kind in _SPACED:
                yield from (Verbatim(" "), self.build_token(item), Verbatim(" "))
            else:
                yield self.build_token(item)
                if item.kind == "COMMA":
                    yield Break()

    def build_operation(self, items: list[_Item]) -> Concat:
        """Build an operation, with each operator at the start of a line if it does not fit on one.

        `a and (b and c)` is one node with three operands, so brackets may enclose some of them.
        """
        parts: list[Doc] = []
        outer_parts: list[tuple[_CommentedToken, list[Doc]]] = []
        for item in items:
            if isinstance(item, Doc):
                parts.append(item)
            elif item.kind == "LPAR":
                outer_parts.append((item, parts))
                parts = []
            elif item.kind == "RPAR":
                (opening, outer), inner = outer_parts.pop(), parts
                parts = [*outer, self.enclose(opening, [_indent_rest(inner)], item)]
            else:
                parts += [Break(), self.build_token(item), Verbatim(" ")]
        return _indent_rest(parts)

    def build_arithmetic(self, level: str, left: n.Expr, items: list[_Item]) -> Doc:
        """Build an operation, or extend that on the left: `a + b - c` breaks as one."""
        doc = items[0]
        if isinstance(doc, Concat) and doc is self.docs[id(left)] and self.chains.get(id(doc)) == level:
            rest = self.build_operation([join([]), *items[1:]]).parts[1]
            assert isinstance(rest, Concat)
            doc.add_to_last(rest.parts)
            return doc
        doc = self.build_operation(items)
        self.chains[id(doc)] = level
        return doc

    def build_conditional(self, node: n.Conditional, items: list[_Item]) -> Doc:
        """Build a conditional; one after `else` becomes another branch of it."""
        *branch, word, otherwise = items
        assert isinstance(word, _CommentedToken)
        assert isinstance(otherwise, Doc)
        *condition, then_word, then = branch
        assert isinstance(then_word, _CommentedToken)
        assert isinstance(then, Doc)
        first = group(
            self.join_items(condition, " "), indent(Break(), self.build_token(then_word), Verbatim(" "), then)
        )
        rest: list[Doc] = [Break(), self.build_token(word), Verbatim(" ")]
        if (
            isinstance(otherwise, Concat)
            and otherwise is self.docs[id(node.otherwise)]
            and self.chains.get(id(otherwise)) == word.kind
        ):
            branch_after, others = otherwise.parts
            assert isinstance(others, Concat)
            rest += [branch_after, *others.parts]
        else:
            rest.append(otherwise)
        doc = group(first, indent(join(rest)))  # nested, so that a long chain is not copied at each branch
        self.chains[id(doc)] = word.kind
        return doc


def _indent_rest(parts: list[Doc]) -> Concat:
    first, *rest = parts
    return group(first, indent(*rest))


_LEVELS = {"+": "sum", "-": "sum", "*": "product", "/": "quotient"}
_SPACED = frozenset({"COLON", "__ANON_0"})
_COMMENT = re.compile(r"//[^\n]*")


def _normalize_quotes(text: str) -> str:
    """Convert a string to single quotes unless that needs more backslashes."""
    inner = text[1:-1]
    if text.startswith('"'):
        changed = re.sub(r"\\(.)|'", lambda quote: '"' if quote[1] == '"' else f"\\{quote[1] or chr(39)}", inner)
        if changed.count("\\") <= inner.count("\\"):
            return f"'{changed}'"
    return text


def _tokens(source: str) -> Iterator[_CommentedToken]:
    """Yield the tokens of a source with their comments, and one for its end."""
    tokens: list[tuple[str, int, int]] = []
    before: list[list[Comment]] = [[]]
    after: list[list[Comment]] = []
    for kind, start, end in tokenize(source):
        if kind == COMMENT:
            own_line = not tokens or "\n" in source[tokens[-1][2] : start]
            (before if own_line else after)[-1].append(Comment(source[start:end].rstrip(), own_line))
        elif kind != WHITESPACE:
            if kind == "PARAMETERS":  # one token, even with comments in it
                before[-1] += [Comment(comment.rstrip(), True) for comment in _COMMENT.findall(source[start:end])]
            tokens.append((kind, start, end))
            before.append([])
            after.append([])
    for index, token in enumerate(tokens):
        following = tokens[index + 1][0] if index + 1 < len(tokens) else ""
        if not _may_end_line(token[0], following):
            before[index] += [Comment(comment.text, True) for comment in after[index]]
            after[index].clear()
        yield _CommentedToken(*token, tuple(before[index]), tuple(after[index]))
    yield _CommentedToken("$END", len(source), len(source), tuple(before[-1]), ())


def _may_end_line(kind: str, following: str) -> bool:
    """Return True if a line can end after a token; otherwise a comment there moves after a later token."""
    return kind in _LINE_ENDS and not (kind == "NAME" and following == "LPAR")


_LINE_ENDS = frozenset({
    "COMMA", "COLON", "__ANON_0", "LPAR", "LSQB", "LBRACE", "RPAR", "RSQB", "RBRACE",
    "NAME", "NUMBER", "STRING", "NAN", "TRUE", "FALSE", "NULL",
})  # fmt: skip
