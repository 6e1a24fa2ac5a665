"""The language server: the Language Server Protocol over standard input and output.

pygls converts positions to and from the negotiated encoding. Diagnostics of a document are computed after each change,
once the author pauses.
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
from stellar.lsp import documents, keys
from stellar.lsp.documents import ConfigurationDocument, Document, Fragment, Notice, Word
from stellar.tooling import documentation
from stellar.tooling.completion import Candidate
from stellar.util.cached_properties import cached_property
from stellar.util.version import VERSION

# Pause of the author before diagnostics are computed, in seconds, or twice the time of the last computation
PAUSE = 0.15

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")


class OpenText(TextDocument):
    """An open document and its cached analysis.

    Lines end as the protocol defines it; Python recognizes more line ends.
    """

    _version: _Version | None = None

    @property
    def lines(self) -> Sequence[str]:
        return self._current.lines

    @property
    def document(self) -> Document | None:
        return self._current.document

    def invalidate(self) -> None:
        """Drop the cached analysis, after changes of other files."""
        self._version = None

    @property
    def _current(self) -> _Version:
        source = self.source
        if self._version is None or self._version.source is not source:
            self._version = _Version(source, Path(self.path), self.language_id)
        return self._version

    def offset(self, position: lsp.Position) -> int:
        """Convert a position of the client to an offset."""
        # The codec modifies a position after the end of its line
        copy = lsp.Position(position.line, position.character)
        server_position = self.position_codec.position_from_client_units(self.lines, copy)
        return min(self._current.starts[server_position.line] + server_position.character, len(self.source))

    def range(self, span: Span) -> lsp.Range:
        """Convert a span to a range of the client."""
        return lsp.Range(self._position(span.start), self._position(span.end))

    def _position(self, offset: int) -> lsp.Position:
        starts = self._current.starts
        line = bisect_right(starts, offset) - 1
        return self.position_codec.position_to_client_units(self.lines, ServerTextPosition(line, offset - starts[line]))


class _Version:
    """The analysis of a document between two changes."""

    def __init__(self, source: str, file: Path, language: str | None) -> None:
        self.source = source
        self._file = file
        self._language = language

    @cached_property
    def lines(self) -> tuple[str, ...]:
        return tuple(_LINE.findall(self.source))

    @cached_property
    def starts(self) -> list[int]:
        """The offsets of the lines, including the empty line after a final line end."""
        starts = [0]
        for line in self.lines:
            starts.append(starts[-1] + len(line))
        return starts if not self.lines or self.lines[-1].endswith(("\r", "\n")) else starts[:-1]

    @cached_property
    def document(self) -> Document | None:
        return documents.create_document(self.source, self._file, self._language)


class StellarServer(LanguageServer):
    """The server, and its scheduled diagnostics."""

    def __init__(self) -> None:
        super().__init__("stellar", VERSION)
        self._scheduled: dict[str, asyncio.TimerHandle] = {}
        self._durations: dict[str, float] = {}

    def get_text(self, uri: str) -> OpenText:
        """Return an open document."""
        text = self.workspace.get_text_document(uri)
        if not isinstance(text, OpenText):
            text = OpenText(uri, text.source, text.version, text.language_id, position_codec=text.position_codec)
            self.workspace.text_documents[uri] = text
        return text

    def list_texts(self) -> list[OpenText]:
        """Return all open documents."""
        return [self.get_text(uri) for uri in list(self.workspace.text_documents)]

    def publish_soon(self, uri: str) -> None:
        """Schedule the diagnostics of a document after a pause."""
        self.cancel(uri)
        pause = max(PAUSE, 2 * self._durations[uri]) if uri in self._durations else 0
        self._scheduled[uri] = asyncio.get_running_loop().call_later(pause, self._publish, uri)

    def cancel(self, uri: str) -> None:
        """Cancel the scheduled diagnostics of a document."""
        if (timer := self._scheduled.pop(uri, None)) is not None:
            timer.cancel()

    def clear(self, uri: str) -> None:
        """Cancel scheduled diagnostics and clear published ones."""
        self.cancel(uri)
        self._durations.pop(uri, None)
        self.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(uri, []))

    def _publish(self, uri: str) -> None:
        del self._scheduled[uri]
        start = time.monotonic()
        try:
            text = self.get_text(uri)
            notices = text.document.notices if text.document is not None else []
            diagnostics = [_diagnostic(text, notice) for notice in notices]
        except Exception as error:  # noqa: BLE001 - an error in one document must not affect others
            self.report_server_error(error, type(error))
            return
        finally:
            self._durations[uri] = time.monotonic() - start
        self.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(uri, diagnostics, text.version))

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Log an internal error at the client."""
        if isinstance(error, JsonRpcMethodNotFound):  # the client gets an error response
            return
        details = getattr(error, "data", None) or traceback.format_exception(error)
        lines = details.get("traceback", []) if isinstance(details, dict) else details
        message = f"internal error: {type(error).__name__}: {error}\n{''.join(map(str, lines))}"
        self.window_log_message(lsp.LogMessageParams(lsp.MessageType.Error, message))


def serve() -> None:
    """Serve the client at standard input and output until it exits."""
    logging.getLogger("pygls").setLevel(logging.ERROR)  # ignore warnings about unknown messages
    # Printed output must not mix with messages; pygls closes its output
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as output, redirect_stdout(sys.stderr):
        create_server().start_io(sys.stdin.buffer, output)


def create_server() -> StellarServer:
    """Create a server with all features."""
    server = StellarServer()
    for method, (handler, *options) in _FEATURES.items():
        server.feature(method, *options)(handler)
    return server


# -- Document synchronization -----------------------------------------------------------------------------------------


def _handle_open(ls: StellarServer, params: lsp.DidOpenTextDocumentParams) -> None:
    ls.get_text(params.text_document.uri)
    ls.publish_soon(params.text_document.uri)


def _handle_change(ls: StellarServer, params: lsp.DidChangeTextDocumentParams) -> None:
    ls.publish_soon(params.text_document.uri)


def _handle_save(ls: StellarServer, _: lsp.DidSaveTextDocumentParams) -> None:
    # Diagnostics of a sensor's configuration depend on the saved global configuration
    for text in ls.list_texts():
        text.invalidate()
        ls.publish_soon(text.uri)


def _handle_close(ls: StellarServer, params: lsp.DidCloseTextDocumentParams) -> None:
    ls.clear(params.text_document.uri)


def _diagnostic(text: OpenText, notice: Notice) -> lsp.Diagnostic:
    return lsp.Diagnostic(
        text.range(notice.span),
        notice.message,
        lsp.DiagnosticSeverity.Error if notice.is_error else lsp.DiagnosticSeverity.Warning,
        notice.name,
        source="stellar",
    )


# -- Requests ---------------------------------------------------------------------------------------------------------


def _hover(ls: StellarServer, params: lsp.HoverParams) -> lsp.Hover | None:
    text = ls.get_text(params.text_document.uri)
    word = _word(text, params.position)
    if text.document is None or word is None or (markdown := _explain(text.document, word)) is None:
        return _hover_key(text, params.position)
    return lsp.Hover(_markdown(markdown), text.range(word.fragment.to_document(word.span)))


def _hover_key(text: OpenText, position: lsp.Position) -> lsp.Hover | None:
    if not isinstance(text.document, ConfigurationDocument):
        return None
    found = keys.find_key_description(text.document.source, text.document.kind, text.offset(position))
    return None if found is None else lsp.Hover(_markdown(found[1]), text.range(found[0]))


def _explain(document: Document, word: Word) -> str | None:
    if word.is_call:
        function = documents.get_library(document).get(word.text)
        return None if function is None else documentation.describe_function(function)
    if (description := documentation.describe_keyword(word.text)) is not None:
        return description
    assignment = documents.find_assignment(document, word)
    return None if assignment is None else documentation.describe_assignment(assignment.source.strip(), word.text)


def _word(text: OpenText, position: lsp.Position) -> Word | None:
    return None if text.document is None else documents.find_word(text.document, text.offset(position))


def _definition(ls: StellarServer, params: lsp.DefinitionParams) -> lsp.Location | None:
    text = ls.get_text(params.text_document.uri)
    word = _word(text, params.position)
    if text.document is None or word is None:
        return None
    assignment = documents.find_assignment(text.document, word)
    if assignment is None:
        return None
    return lsp.Location(text.uri, text.range(assignment.name_span or assignment.whole))


def _completion(ls: StellarServer, params: lsp.CompletionParams) -> lsp.CompletionList | None:
    text = ls.get_text(params.text_document.uri)
    if text.document is None:
        return None
    offset = text.offset(params.position)
    result = documents.find_candidates(text.document, offset)
    if result is None:
        return _complete_keys(text, offset)
    fragment, candidates = result
    items = [_item(text, fragment, each, offset, order) for order, each in enumerate(candidates)]
    return lsp.CompletionList(is_incomplete=False, items=items)


def _complete_keys(text: OpenText, offset: int) -> lsp.CompletionList | None:
    if not isinstance(text.document, ConfigurationDocument):
        return None
    items = [
        lsp.CompletionItem(
            each.name,
            kind=lsp.CompletionItemKind.Property,
            documentation=_markdown(each.description),
            text_edit=lsp.TextEdit(text.range(each.span), each.name),
        )
        for each in keys.complete_keys(text.document.source, text.document.kind, offset)
    ]
    return lsp.CompletionList(is_incomplete=False, items=items) if items else None


def _item(text: OpenText, fragment: Fragment, candidate: Candidate, offset: int, order: int) -> lsp.CompletionItem:
    span = Span(fragment.offsets.in_file(candidate.start), offset)
    return lsp.CompletionItem(
        candidate.text.removesuffix("("),
        kind=_KINDS.get(candidate.kind, lsp.CompletionItemKind.Value),
        detail=None if candidate.kind == "function" else candidate.about() or None,
        sort_text=f"{order:05}",  # the likeliest first
        text_edit=lsp.TextEdit(text.range(span), fragment.encode(candidate.text)),
        data={"uri": text.uri} if candidate.kind == "function" else None,
    )


_KINDS = {
    "function": lsp.CompletionItemKind.Function,
    "variable": lsp.CompletionItemKind.Variable,
    "keyword": lsp.CompletionItemKind.Keyword,
}


def _resolve(ls: StellarServer, item: lsp.CompletionItem) -> lsp.CompletionItem:
    """Add the help of a completed function, which loads the function."""
    if isinstance(item.data, dict) and (document := ls.get_text(item.data["uri"]).document) is not None:
        function = documents.get_library(document).get(item.label)
        if function is not None:
            item.detail = function.usage
            item.documentation = _markdown(documentation.describe_without_usage(function))
    return item


def _signature(ls: StellarServer, params: lsp.SignatureHelpParams) -> lsp.SignatureHelp | None:
    text = ls.get_text(params.text_document.uri)
    if text.document is None:
        return None
    call = documents.find_open_call(text.document, text.offset(params.position))
    if call is None:
        return None
    function, last = call.function, len(call.function.parameters) - 1
    signature = lsp.SignatureInformation(
        function.usage,
        _markdown(function.help.summary),
        [
            lsp.ParameterInformation(label, _markdown(documentation.describe_parameter(parameter)))
            for label, parameter in zip(documentation.list_parameters(function), function.parameters, strict=True)
        ],
    )
    # A repeated last parameter takes all remaining arguments
    active = min(call.index, last) if function.most is None else call.index
    return lsp.SignatureHelp([signature], active_signature=0, active_parameter=active)


def _symbols(ls: StellarServer, params: lsp.DocumentSymbolParams) -> list[lsp.DocumentSymbol]:
    text = ls.get_text(params.text_document.uri)
    fragments = text.document.fragments if text.document is not None else ()
    return [
        lsp.DocumentSymbol(
            fragment.name,
            lsp.SymbolKind.Variable,
            text.range(fragment.whole),
            text.range(fragment.name_span or fragment.whole),
            detail=fragment.one_line,
        )
        for fragment in fragments
        if fragment.name is not None
    ]


def _actions(ls: StellarServer, params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
    text = ls.get_text(params.text_document.uri)
    begin, end = text.offset(params.range.start), text.offset(params.range.end)
    notices = text.document.notices if text.document is not None else []
    return [
        lsp.CodeAction(
            f"Replace with {notice.fix.replacement}",
            lsp.CodeActionKind.QuickFix,
            [_diagnostic(text, notice)],
            is_preferred=True,
            edit=lsp.WorkspaceEdit({text.uri: [lsp.TextEdit(text.range(notice.fix.span), notice.fix.replacement)]}),
        )
        for notice in notices
        if notice.fix is not None and notice.span.start <= end and begin <= notice.span.end
    ]


def _formatting(ls: StellarServer, params: lsp.DocumentFormattingParams) -> list[lsp.TextEdit]:
    text = ls.get_text(params.text_document.uri)
    after = text.document.format() if text.document is not None else None
    if after is None or after == text.source:
        return []
    # Equal lines at both ends are not replaced, so that a cursor there does not move
    old, new = list(text.lines), _LINE.findall(after)
    first = _count_equal(old, new)
    last = _count_equal(old[first:][::-1], new[first:][::-1])
    span = Span(len("".join(old[:first])), len("".join(old[: len(old) - last])))
    return [lsp.TextEdit(text.range(span), "".join(new[first : len(new) - last]))]


def _count_equal(some: list[str], others: list[str]) -> int:
    """Return the number of equal lines at the start."""
    pairs = zip(some, others, strict=False)
    return next((index for index, (one, other) in enumerate(pairs) if one != other), min(len(some), len(others)))


def _markdown(text: str) -> lsp.MarkupContent:
    return lsp.MarkupContent(lsp.MarkupKind.Markdown, text)


_FEATURES: dict[str, tuple[Callable[..., Any], *tuple[Any, ...]]] = {
    lsp.TEXT_DOCUMENT_DID_OPEN: (_handle_open,),
    lsp.TEXT_DOCUMENT_DID_CHANGE: (_handle_change,),
    lsp.TEXT_DOCUMENT_DID_SAVE: (_handle_save,),
    lsp.TEXT_DOCUMENT_DID_CLOSE: (_handle_close,),
    lsp.TEXT_DOCUMENT_HOVER: (_hover,),
    lsp.TEXT_DOCUMENT_DEFINITION: (_definition,),
    lsp.TEXT_DOCUMENT_COMPLETION: (
        _completion,
        lsp.CompletionOptions(trigger_characters=["(", ",", "'"], resolve_provider=True),
    ),
    lsp.COMPLETION_ITEM_RESOLVE: (_resolve,),
    lsp.TEXT_DOCUMENT_SIGNATURE_HELP: (_signature, lsp.SignatureHelpOptions(["(", ","])),
    lsp.TEXT_DOCUMENT_DOCUMENT_SYMBOL: (_symbols,),
    lsp.TEXT_DOCUMENT_FORMATTING: (_formatting,),
    lsp.TEXT_DOCUMENT_CODE_ACTION: (_actions, lsp.CodeActionOptions([lsp.CodeActionKind.QuickFix])),
}
