"""The server as a process: start and exit, capabilities, and internal errors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from lsp_editor import COMMAND, PACKAGES, Editor, extract
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException
from pytest_lsp import LanguageClient, client_capabilities, make_test_lsp_client

pytestmark = pytest.mark.asyncio

# A server that fails to find words, and to read files of one name
FAULTY = f"""
import sys
sys.path.insert(0, {PACKAGES!r})
from stellar.lsp import documents, server

def find_word(document, offset):
    print("this must not mix with the messages")
    raise RuntimeError("no words")

def create_document(source, file, language, create=documents.create_document):
    if file.name == "bad.stellar":
        raise RuntimeError("no file")
    return create(source, file, language)

documents.find_word = find_word
documents.create_document = create_document
server.serve()
"""


@asynccontextmanager
async def session(
    *command: str, capabilities: lsp.ClientCapabilities | None = None
) -> AsyncIterator[tuple[LanguageClient, lsp.InitializeResult]]:
    client = make_test_lsp_client()
    await client.start_io(*(command or (*COMMAND, "lsp")))
    capabilities = capabilities or client_capabilities("neovim")
    result = await client.initialize_session(lsp.InitializeParams(capabilities))
    try:
        yield client, result
    finally:
        await client.shutdown_session()
        await client.stop()


async def test_the_server_returns_its_capabilities(capfd: pytest.CaptureFixture[str]) -> None:
    async with session(*COMMAND, "lsp", "--stdio") as (client, result):  # some editors pass the option
        capabilities = result.capabilities
        assert isinstance(capabilities.text_document_sync, lsp.TextDocumentSyncOptions)
        assert capabilities.text_document_sync.change == lsp.TextDocumentSyncKind.Incremental
        assert capabilities.hover_provider
        assert capabilities.definition_provider
        assert capabilities.document_symbol_provider
        assert capabilities.code_action_provider
        assert capabilities.signature_help_provider is not None
        assert capabilities.completion_provider is not None
        assert capabilities.completion_provider.resolve_provider
        assert result.server_info is not None
        assert result.server_info.name == "stellar"
        process = client._server
    assert process is not None
    assert process.returncode == 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("encoding", "units"), [("utf-8", 4), ("utf-16", 2), ("utf-32", 1)])
async def test_positions_have_the_negotiated_encoding(tmp_path: Path, encoding: str, units: int) -> None:
    capabilities = client_capabilities("visual-studio-code")
    capabilities.general = lsp.GeneralClientCapabilities(position_encodings=[lsp.PositionEncodingKind(encoding)])
    async with session(capabilities=capabilities) as (client, result):
        assert result.capabilities.position_encoding == encoding
        [found] = await Editor(client, tmp_path).open("units.stellar", "'😀' == TRIN(a)").full_diagnostics()
        start = len("'' == ") + units
        assert found.range == lsp.Range(lsp.Position(0, start), lsp.Position(0, start + len("TRIN")))


async def test_an_internal_error_is_logged_and_the_server_continues(tmp_path: Path) -> None:
    async with session(sys.executable, "-c", FAULTY) as (client, _):
        editor = Editor(client, tmp_path)
        file = editor.open("good.stellar", "TRIN(a)")
        bad = editor.open("bad.stellar", "TRIN(a)")
        with pytest.raises(JsonRpcException, match="no words"):
            await file.hover()
        with pytest.raises(JsonRpcException, match="no file"):
            await bad.symbols()
        assert [extract(file.text, each.range) for each in await file.full_diagnostics()] == ["TRIN"]
        assert await file.symbols() == []
        errors = [each.message for each in client.log_messages if each.type == lsp.MessageType.Error]
        assert len(errors) == 3
        assert all(each.startswith("internal error: ") for each in errors)
        assert sum("RuntimeError: no file" in each for each in errors) == 2
        assert sum("in find_word" in each for each in errors) == 1


async def test_unknown_messages_are_not_logged(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with session() as (client, _):
        with pytest.raises(JsonRpcException, match="Method Not Found"):
            await client.protocol.send_request_async("stellar/unknown")
        client.protocol.notify("stellar/unknown")
        assert await Editor(client, tmp_path).open("good.stellar", "1").diagnostics() == []
        assert client.log_messages == []
    assert capfd.readouterr() == ("", "")


async def test_the_server_ends_when_the_client_has_exited() -> None:
    done = subprocess.run([*COMMAND, "lsp"], input=b"", capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


async def test_a_missing_extra_is_reported_with_the_command_to_install() -> None:
    program = f"""
import sys
sys.path.insert(0, {PACKAGES!r})
sys.modules["pygls"] = None
from stellar.cli import main
sys.exit(main(["lsp"]))
"""
    done = subprocess.run([sys.executable, "-c", program], input=b"", capture_output=True, timeout=30, check=False)
    assert done.returncode == 2
    assert done.stderr.decode() == ("stellar: the language server requires pygls: pip install 'stellar-maas[lsp]'\n")
