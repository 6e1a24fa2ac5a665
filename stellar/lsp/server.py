"""The server: it answers editors by the Language Server Protocol, over standard input and output.

Positions come and go in the units that client and server agreed on; pygls counts them. What is said of a document is
worked out when its author pauses, and anew after each change.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sys
import time
import traceback
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcMethodNotFound
from pygls.lsp.server import LanguageServer
from pygls.workspace import TextDocument
from pygls.workspace.position_codec import ServerTextPosition

from stellar.language.source import Span
from stellar.lsp import documents
from stellar.lsp.documents import Document, Notice, Piece, Word
from stellar.tooling import documentation as explained
from stellar.tooling.completion import Candidate
from stellar.util.cached_properties import cached_property
from stellar.util.version import VERSION

# How long an author must pause before something is said, in seconds; or twice as long as it took the last time
PAUSE = 0.15

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")


class OpenText(TextDocument):
    """The text of an open document, and what is known of it until it changes.

    Lines end where the protocol says so, and nowhere else: Python knows more line ends.
    """

    _version: _Version | None = None

    @property
    def lines(self) -> Sequence[str]:
        return self._at_this_version.lines

    @property
    def document(self) -> Document | None:
        return self._at_this_version.document

    def look_again(self) -> None:
        """Forget what is known of it, as files beside it may have changed."""
        self._version = None

    @property
    def _at_this_version(self) -> _Version:
        source = self.source
        if self._version is None or self._version.source is not source:
            self._version = _Version(source, Path(self.path), self.language_id)
        return self._version

    def offset(self, position: lsp.Position) -> int:
        """The offset of a position in the text."""
        # The codec corrects what it is given if it lies behind the end of its line
        copy = lsp.Position(position.line, position.character)
        place = self.position_codec.position_from_client_units(self.lines, copy)
        return min(self._at_this_version.starts[place.line] + place.character, len(self.source))

    def range(self, span: Span) -> lsp.Range:
        """The range that a span of the text is to the client."""
        return lsp.Range(self._position(span.start), self._position(span.end))

    def _position(self, offset: int) -> lsp.Position:
        starts = self._at_this_version.starts
        line = bisect_right(starts, offset) - 1
        return self.position_codec.position_to_client_units(self.lines, ServerTextPosition(line, offset - starts[line]))


class _Version:
    """The text of a document between two changes."""

    def __init__(self, source: str, file: Path, language: str | None) -> None:
        self.source = source
        self._file = file
        self._language = language

    @cached_property
    def lines(self) -> tuple[str, ...]:
        return tuple(_LINE.findall(self.source))

    @cached_property
    def starts(self) -> list[int]:
        """Where each line begins; behind a last line end there is one more, which is empty."""
        found = [0]
        for line in self.lines:
            found.append(found[-1] + len(line))
        return found if not self.lines or self.lines[-1].endswith(("\r", "\n")) else found[:-1]

    @cached_property
    def document(self) -> Document | None:
        return documents.document(self.source, self._file, self._language)


class StellarServer(LanguageServer):
    """The server, and what it is about to say."""

    def __init__(self) -> None:
        super().__init__("stellar", VERSION)
        self._waiting: dict[str, asyncio.TimerHandle] = {}
        self._took: dict[str, float] = {}

    def text(self, uri: str) -> OpenText:
        """The text of an open document."""
        text = self.workspace.get_text_document(uri)
        if not isinstance(text, OpenText):
            text = OpenText(uri, text.source, text.version, text.language_id, position_codec=text.position_codec)
            self.workspace.text_documents[uri] = text
        return text

    def open_texts(self) -> list[OpenText]:
        return [self.text(uri) for uri in list(self.workspace.text_documents)]

    def tell_soon(self, uri: str) -> None:
        """Say what there is to say of a document when it has not changed for a while."""
        self.forget(uri)
        pause = max(PAUSE, 2 * self._took[uri]) if uri in self._took else 0
        self._waiting[uri] = asyncio.get_running_loop().call_later(pause, self._tell, uri)

    def forget(self, uri: str) -> None:
        """Don't say what was to be said of a document."""
        if (waiting := self._waiting.pop(uri, None)) is not None:
            waiting.cancel()

    def leave(self, uri: str) -> None:
        """Say no more of a document, and take back what was said."""
        self.forget(uri)
        self._took.pop(uri, None)
        self.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(uri, []))

    def _tell(self, uri: str) -> None:
        del self._waiting[uri]
        began = time.monotonic()
        try:
            text = self.text(uri)
            found = text.document.notices if text.document is not None else []
            diagnostics = [_diagnostic(text, notice) for notice in found]
        except Exception as error:  # noqa: BLE001 - a document that we can't read must not stop the others
            self.report_server_error(error, type(error))
            return
        finally:
            self._took[uri] = time.monotonic() - began
        self.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(uri, diagnostics, text.version))

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Tell the client of an error that should not happen."""
        if isinstance(error, JsonRpcMethodNotFound):  # the client knows: that is the answer to its question
            return
        told = getattr(error, "data", None) or traceback.format_exception(error)
        lines = told.get("traceback", []) if isinstance(told, dict) else told
        message = f"this should not happen: {type(error).__name__}: {error}\n{''.join(map(str, lines))}"
        self.window_log_message(lsp.LogMessageParams(lsp.MessageType.Error, message))


def serve() -> None:
    """Serve the client at standard input and output until it leaves."""
    logging.getLogger("pygls").setLevel(logging.ERROR)  # clients say much that need not be understood
    # What anything prints must not get between messages; and who serves closes what it writes to
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as output, redirect_stdout(sys.stderr):
        server().start_io(sys.stdin.buffer, output)


def server() -> StellarServer:
    """A server with all its features."""
    made = StellarServer()
    for method, (answer, *options) in _FEATURES.items():
        made.feature(method, *options)(answer)
    return made


# -- Documents come and go --------------------------------------------------------------------------------------------


def _opened(ls: StellarServer, params: lsp.DidOpenTextDocumentParams) -> None:
    ls.text(params.text_document.uri)
    ls.tell_soon(params.text_document.uri)


def _changed(ls: StellarServer, params: lsp.DidChangeTextDocumentParams) -> None:
    ls.tell_soon(params.text_document.uri)


def _saved(ls: StellarServer, _: lsp.DidSaveTextDocumentParams) -> None:
    # What is said of a sensor's file goes by the global configuration that is saved
    for text in ls.open_texts():
        text.look_again()
        ls.tell_soon(text.uri)


def _closed(ls: StellarServer, params: lsp.DidCloseTextDocumentParams) -> None:
    ls.leave(params.text_document.uri)


def _diagnostic(text: OpenText, notice: Notice) -> lsp.Diagnostic:
    return lsp.Diagnostic(
        text.range(notice.span),
        notice.message,
        lsp.DiagnosticSeverity.Error if notice.serious else lsp.DiagnosticSeverity.Warning,
        notice.name,
        source="stellar",
    )


# -- Questions --------------------------------------------------------------------------------------------------------


def _hover(ls: StellarServer, params: lsp.HoverParams) -> lsp.Hover | None:
    text = ls.text(params.text_document.uri)
    word = _word(text, params.position)
    if text.document is None or word is None or (said := _explained(text.document, word)) is None:
        return None
    return lsp.Hover(_markdown(said), text.range(word.piece.in_document(word.span)))


def _explained(document: Document, word: Word) -> str | None:
    if word.called:
        known = documents.functions_of(document).get(word.text)
        return None if known is None else explained.function(known)
    if (said := explained.keyword(word.text)) is not None:
        return said
    assignment = documents.assignment_of(document, word)
    return None if assignment is None else explained.expression(assignment.source.strip(), word.text)


def _word(text: OpenText, position: lsp.Position) -> Word | None:
    return None if text.document is None else documents.word_at(text.document, text.offset(position))


def _definition(ls: StellarServer, params: lsp.DefinitionParams) -> lsp.Location | None:
    text = ls.text(params.text_document.uri)
    word = _word(text, params.position)
    if text.document is None or word is None:
        return None
    assignment = documents.assignment_of(text.document, word)
    if assignment is None:
        return None
    return lsp.Location(text.uri, text.range(assignment.named or assignment.whole))


def _completion(ls: StellarServer, params: lsp.CompletionParams) -> lsp.CompletionList | None:
    text = ls.text(params.text_document.uri)
    if text.document is None:
        return None
    offset = text.offset(params.position)
    found = documents.candidates(text.document, offset)
    if found is None:
        return None
    piece, candidates = found
    items = [_item(text, piece, each, offset, order) for order, each in enumerate(candidates)]
    return lsp.CompletionList(is_incomplete=False, items=items)


def _item(text: OpenText, piece: Piece, candidate: Candidate, offset: int, order: int) -> lsp.CompletionItem:
    span = Span(piece.where.in_file(candidate.start), offset)
    return lsp.CompletionItem(
        candidate.text.removesuffix("("),
        kind=_KINDS.get(candidate.kind, lsp.CompletionItemKind.Value),
        detail=None if candidate.kind == "function" else candidate.about() or None,
        sort_text=f"{order:05}",  # the likeliest come first
        text_edit=lsp.TextEdit(text.range(span), piece.written(candidate.text)),
        data={"uri": text.uri} if candidate.kind == "function" else None,
    )


_KINDS = {
    "function": lsp.CompletionItemKind.Function,
    "variable": lsp.CompletionItemKind.Variable,
    "keyword": lsp.CompletionItemKind.Keyword,
}


def _resolved(ls: StellarServer, item: lsp.CompletionItem) -> lsp.CompletionItem:
    """The help of a function that is offered: only then is it loaded."""
    if isinstance(item.data, dict) and (document := ls.text(item.data["uri"]).document) is not None:
        known = documents.functions_of(document).get(item.label)
        if known is not None:
            item.detail = known.usage
            item.documentation = _markdown("\n\n".join(explained.without_usage(known)))
    return item


def _signature(ls: StellarServer, params: lsp.SignatureHelpParams) -> lsp.SignatureHelp | None:
    text = ls.text(params.text_document.uri)
    if text.document is None:
        return None
    call = documents.called_at(text.document, text.offset(params.position))
    if call is None:
        return None
    known, last = call.function, len(call.function.parameters) - 1
    signature = lsp.SignatureInformation(
        known.usage,
        _markdown(known.help.summary),
        [
            lsp.ParameterInformation(mark, _markdown(explained.parameter(parameter)))
            for mark, parameter in zip(explained.marks(known), known.parameters, strict=True)
        ],
    )
    # The last parameter takes all that is left, if it takes any number
    active = min(call.index, last) if known.most is None else call.index
    return lsp.SignatureHelp([signature], active_signature=0, active_parameter=active)


def _symbols(ls: StellarServer, params: lsp.DocumentSymbolParams) -> list[lsp.DocumentSymbol]:
    text = ls.text(params.text_document.uri)
    pieces = text.document.pieces if text.document is not None else ()
    return [
        lsp.DocumentSymbol(
            piece.name,
            lsp.SymbolKind.Variable,
            text.range(piece.whole),
            text.range(piece.named or piece.whole),
            detail=piece.shown,
        )
        for piece in pieces
        if piece.name is not None
    ]


def _actions(ls: StellarServer, params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
    text = ls.text(params.text_document.uri)
    begin, end = text.offset(params.range.start), text.offset(params.range.end)
    notices = text.document.notices if text.document is not None else []
    return [
        lsp.CodeAction(
            f"Replace by {notice.fix.replacement}",
            lsp.CodeActionKind.QuickFix,
            [_diagnostic(text, notice)],
            is_preferred=True,
            edit=lsp.WorkspaceEdit({text.uri: [lsp.TextEdit(text.range(notice.fix.span), notice.fix.replacement)]}),
        )
        for notice in notices
        if notice.fix is not None and notice.span.start <= end and begin <= notice.span.end
    ]


def _formatting(ls: StellarServer, params: lsp.DocumentFormattingParams) -> list[lsp.TextEdit]:
    text = ls.text(params.text_document.uri)
    after = text.document.formatted() if text.document is not None else None
    if after is None or after == text.source:
        return []
    # Lines at both ends that stay are left alone, so that a cursor there stays where it is
    old, new = list(text.lines), _LINE.findall(after)
    first = _alike(old, new)
    last = _alike(old[first:][::-1], new[first:][::-1])
    span = Span(len("".join(old[:first])), len("".join(old[: len(old) - last])))
    return [lsp.TextEdit(text.range(span), "".join(new[first : len(new) - last]))]


def _alike(some: list[str], others: list[str]) -> int:
    """How many lines are the same at the beginning."""
    pairs = zip(some, others, strict=False)
    return next((index for index, (one, other) in enumerate(pairs) if one != other), min(len(some), len(others)))


def _markdown(text: str) -> lsp.MarkupContent:
    return lsp.MarkupContent(lsp.MarkupKind.Markdown, text)


_FEATURES: dict[str, tuple[Callable[..., Any], *tuple[Any, ...]]] = {
    lsp.TEXT_DOCUMENT_DID_OPEN: (_opened,),
    lsp.TEXT_DOCUMENT_DID_CHANGE: (_changed,),
    lsp.TEXT_DOCUMENT_DID_SAVE: (_saved,),
    lsp.TEXT_DOCUMENT_DID_CLOSE: (_closed,),
    lsp.TEXT_DOCUMENT_HOVER: (_hover,),
    lsp.TEXT_DOCUMENT_DEFINITION: (_definition,),
    lsp.TEXT_DOCUMENT_COMPLETION: (
        _completion,
        lsp.CompletionOptions(trigger_characters=["(", ",", "'"], resolve_provider=True),
    ),
    lsp.COMPLETION_ITEM_RESOLVE: (_resolved,),
    lsp.TEXT_DOCUMENT_SIGNATURE_HELP: (_signature, lsp.SignatureHelpOptions(["(", ","])),
    lsp.TEXT_DOCUMENT_DOCUMENT_SYMBOL: (_symbols,),
    lsp.TEXT_DOCUMENT_FORMATTING: (_formatting,),
    lsp.TEXT_DOCUMENT_CODE_ACTION: (_actions, lsp.CodeActionOptions([lsp.CodeActionKind.QuickFix])),
}
