"""The server as a process: how it begins and ends, what it agrees on, and what becomes of what should not happen."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from lsp_editor import COMMAND, PACKAGES, Editor, shown
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException
from pytest_lsp import LanguageClient, client_capabilities, make_test_lsp_client

pytestmark = pytest.mark.asyncio

# A server in which words can't be looked up, and files of one name can't be read
FAULTY = f"""
import sys
sys.path.insert(0, {PACKAGES!r})
from stellar.lsp import documents, server

def word_at(document, offset):
    print("this must not get between the messages")
    raise RuntimeError("no words")

def document(source, file, language, read=documents.document):
    if file.name == "bad.stellar":
        raise RuntimeError("no file")
    return read(source, file, language)

documents.word_at = word_at
documents.document = document
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


async def test_the_server_says_what_it_can(capfd: pytest.CaptureFixture[str]) -> None:
    async with session(*COMMAND, "lsp", "--stdio") as (client, result):  # some editors say that
        can = result.capabilities
        assert isinstance(can.text_document_sync, lsp.TextDocumentSyncOptions)
        assert can.text_document_sync.change == lsp.TextDocumentSyncKind.Incremental
        assert can.hover_provider
        assert can.definition_provider
        assert can.document_symbol_provider
        assert can.code_action_provider
        assert can.signature_help_provider is not None
        assert can.completion_provider is not None
        assert can.completion_provider.resolve_provider
        assert result.server_info is not None
        assert result.server_info.name == "stellar"
        process = client._server
    assert process is not None
    assert process.returncode == 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("encoding", "units"), [("utf-8", 4), ("utf-16", 2), ("utf-32", 1)])
async def test_positions_are_counted_as_agreed(tmp_path: Path, encoding: str, units: int) -> None:
    capabilities = client_capabilities("visual-studio-code")
    capabilities.general = lsp.GeneralClientCapabilities(position_encodings=[lsp.PositionEncodingKind(encoding)])
    async with session(capabilities=capabilities) as (client, result):
        assert result.capabilities.position_encoding == encoding
        [found] = await Editor(client, tmp_path).open("units.stellar", "'😀' == TRIN(a)").full_diagnostics()
        begin = len("'' == ") + units
        assert found.range == lsp.Range(lsp.Position(0, begin), lsp.Position(0, begin + len("TRIN(a)")))


async def test_what_should_not_happen_is_told_and_the_server_goes_on(tmp_path: Path) -> None:
    async with session(sys.executable, "-c", FAULTY) as (client, _):
        editor = Editor(client, tmp_path)
        file = editor.open("good.stellar", "TRIN(a)")
        bad = editor.open("bad.stellar", "TRIN(a)")
        with pytest.raises(JsonRpcException, match="no words"):
            await file.hover()
        with pytest.raises(JsonRpcException, match="no file"):
            await bad.symbols()
        assert [shown(file.text, each.range) for each in await file.full_diagnostics()] == ["TRIN(a)"]
        assert await file.symbols() == []
        told = [each.message for each in client.log_messages if each.type == lsp.MessageType.Error]
        assert len(told) == 3
        assert all(each.startswith("this should not happen: ") for each in told)
        assert sum("RuntimeError: no file" in each for each in told) == 2
        assert sum("in word_at" in each for each in told) == 1


async def test_what_the_server_does_not_know_is_no_news(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with session() as (client, _):
        with pytest.raises(JsonRpcException, match="Method Not Found"):
            await client.protocol.send_request_async("stellar/unknown")
        client.protocol.notify("stellar/unknown")
        assert await Editor(client, tmp_path).open("good.stellar", "1").diagnostics() == []
        assert client.log_messages == []
    assert capfd.readouterr() == ("", "")


async def test_the_server_ends_when_the_client_is_gone() -> None:
    done = subprocess.run([*COMMAND, "lsp"], input=b"", capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


async def test_without_its_extra_the_command_says_what_to_install() -> None:
    program = f"""
import sys
sys.path.insert(0, {PACKAGES!r})
sys.modules["pygls"] = None
from stellar.cli import main
sys.exit(main(["lsp"]))
"""
    done = subprocess.run([sys.executable, "-c", program], input=b"", capture_output=True, timeout=30, check=False)
    assert done.returncode == 2
    assert done.stderr.decode() == (
        "stellar: editors are served with pygls, which is not here: pip install 'stellar-maas[lsp]'\n"
    )
