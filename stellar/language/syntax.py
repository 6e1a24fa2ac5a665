"""The syntax of an expression: its tree and the names in it, computed when they are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stellar.language.library import Library
    from stellar.language.nodes import Expr
    from stellar.language.resolver import Names


class Syntax:
    """The syntax of a source. An expression from a cache needs it only for errors and checks.

    predicate: the value of an empty source is true instead of null
    """

    __slots__ = ("_names", "_tree", "library", "predicate", "source")

    def __init__(self, source: str, library: Library, *, predicate: bool = False) -> None:
        self.source = source
        self.library = library
        self.predicate = predicate
        self._tree: Expr | None = None
        self._names: Names | None = None

    @property
    def tree(self) -> Expr:
        """The tree. Raises ParseError."""
        if self._tree is None:
            # The parser and its tables take most of the start-up time of short programs
            from stellar.language.nodes import Literal
            from stellar.language.parser import parse

            self._tree = parse(self.source) if self.source.strip() else Literal(True if self.predicate else None)
        return self._tree

    @property
    def names(self) -> Names:
        """The names in the tree, without problems. Raises ParseError."""
        if self._names is None:
            self._names = self.resolve(check_calls=False)
        return self._names

    def resolve(self, *, check_calls: bool) -> Names:
        """Return the names in the tree, with the problems of calls if they are to be checked. Raises ParseError."""
        from stellar.language.resolver import resolve  # it imports the nodes of trees

        return resolve(self.tree, self.library, self.source, check_calls=check_calls)
