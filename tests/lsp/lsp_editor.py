"""An editor for tests: open files and the responses of the server."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lsprotocol import types as lsp
from pytest_lsp import LanguageClient

import stellar

PACKAGES = str(Path(stellar.__file__).parents[1])
PROGRAM = f"import sys; sys.path.insert(0, {PACKAGES!r}); from stellar.cli import main; sys.exit(main())"
COMMAND = [sys.executable, "-c", PROGRAM]

CURSOR = "‸"


def position(text: str, offset: int) -> lsp.Position:
    """Convert an offset to a position of the protocol, in UTF-16 units, independently of the server."""
    before = text[:offset].split("\n")
    return lsp.Position(len(before) - 1, len(before[-1].encode("utf-16-le", "surrogatepass")) // 2)


def extract(text: str, range_: lsp.Range) -> str:
    """Return the characters in a range."""
    start, end = (_offset(text, each) for each in (range_.start, range_.end))
    return text[start:end]


def _offset(text: str, target: lsp.Position) -> int:
    return next(offset for offset in range(len(text) + 1) if position(text, offset) == target)


def apply_edits(text: str, edits: Sequence[lsp.TextEdit | lsp.AnnotatedTextEdit]) -> str:
    """Apply edits to a source."""
    for edit in sorted(edits, key=lambda each: (each.range.start.line, each.range.start.character), reverse=True):
        start, end = _offset(text, edit.range.start), _offset(text, edit.range.end)
        text = text[:start] + edit.new_text + text[end:]
    return text


@dataclass
class OpenFile:
    """A file in the editor."""

    client: LanguageClient
    uri: str
    text: str
    cursor: lsp.Position
    version: int = 0
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def document(self) -> lsp.TextDocumentIdentifier:
        return lsp.TextDocumentIdentifier(self.uri)

    async def diagnostics(self) -> list[tuple[str, str]]:
        """Return the diagnostics: their characters, and the first line of each message."""
        found = await self.full_diagnostics()
        return [(extract(self.text, each.range), each.message.split("\n")[0]) for each in found]

    async def full_diagnostics(self) -> Sequence[lsp.Diagnostic]:
        async with asyncio.timeout(20):
            while self.uri not in self.client.diagnostics:
                await asyncio.sleep(0.005)
        return self.client.diagnostics[self.uri]

    def replace(self, old: str, new: str) -> None:
        """Replace the first occurrence of a string."""
        start = self.text.index(old)
        range_ = lsp.Range(position(self.text, start), position(self.text, start + len(old)))
        self.text = self.text[:start] + new + self.text[start + len(old) :]
        self._send_change(lsp.TextDocumentContentChangePartial(range_, new))

    def rewrite(self, text: str) -> None:
        """Replace the content."""
        self.text = text
        self._send_change(lsp.TextDocumentContentChangeWholeDocument(text))

    def _send_change(self, change: lsp.TextDocumentContentChangeEvent) -> None:
        self.client.diagnostics.pop(self.uri, None)
        identifier = lsp.VersionedTextDocumentIdentifier(next(self.numbers), self.uri)
        self.client.text_document_did_change(lsp.DidChangeTextDocumentParams(identifier, [change]))

    async def completions(self) -> list[lsp.CompletionItem]:
        found = await self.client.text_document_completion_async(lsp.CompletionParams(self.document, self.cursor))
        return [] if found is None else list(found.items if isinstance(found, lsp.CompletionList) else found)

    async def labels(self) -> list[str]:
        return [item.label for item in await self.completions()]

    async def hover(self) -> str | None:
        found = await self.client.text_document_hover_async(lsp.HoverParams(self.document, self.cursor))
        if found is None:
            return None
        assert isinstance(found.contents, lsp.MarkupContent)
        assert found.contents.kind == lsp.MarkupKind.Markdown
        return found.contents.value

    async def definition(self) -> str | None:
        found = await self.client.text_document_definition_async(lsp.DefinitionParams(self.document, self.cursor))
        assert found is None or isinstance(found, lsp.Location)
        return None if found is None else extract(self.text, found.range)

    async def signature(self) -> lsp.SignatureHelp | None:
        parameters = lsp.SignatureHelpParams(self.document, self.cursor)
        return await self.client.text_document_signature_help_async(parameters)

    async def symbols(self) -> list[tuple[str, str, str | None]]:
        parameters = lsp.DocumentSymbolParams(self.document)
        found = await self.client.text_document_document_symbol_async(parameters) or []
        symbols = [each for each in found if isinstance(each, lsp.DocumentSymbol)]
        assert len(symbols) == len(found)
        return [(each.name, extract(self.text, each.selection_range), each.detail) for each in symbols]

    async def actions(self) -> list[lsp.CodeAction]:
        range_ = lsp.Range(self.cursor, self.cursor)
        context = lsp.CodeActionContext([])
        parameters = lsp.CodeActionParams(self.document, range_, context)
        found = await self.client.text_document_code_action_async(parameters) or []
        return [each for each in found if isinstance(each, lsp.CodeAction)]

    async def format(self) -> str:
        """Return the formatted content."""
        parameters = lsp.DocumentFormattingParams(self.document, lsp.FormattingOptions(2, True))
        return apply_edits(self.text, await self.client.text_document_formatting_async(parameters) or [])

    async def fix(self) -> str:
        """Return the content after the only quick fix at the cursor."""
        [action] = await self.actions()
        assert action.edit is not None
        assert action.edit.changes is not None
        return apply_edits(self.text, action.edit.changes[self.uri])


class Editor:
    """An editor that opens files."""

    def __init__(self, client: LanguageClient, folder: Path) -> None:
        self.client = client
        self.folder = folder

    def open(self, name: str, text: str, language: str | None = None) -> OpenFile:
        """Open a file with unsaved content; ‸ marks the cursor."""
        offset = text.find(CURSOR)
        text = text.replace(CURSOR, "")
        uri = (self.folder / name).as_uri()
        self.client.diagnostics.pop(uri, None)
        language = language or ("json" if name.endswith(".json") else "stellar")
        item = lsp.TextDocumentItem(uri, language, 0, text)
        self.client.text_document_did_open(lsp.DidOpenTextDocumentParams(item))
        return OpenFile(self.client, uri, text, position(text, max(0, offset)))
