"""A client of a real `stellar lsp` process, as in an editor."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_lsp
from lsprotocol import types as lsp
from pytest_lsp import ClientServerConfig, LanguageClient, client_capabilities

sys.path.append(str(Path(__file__).parent))  # for lsp_editor

from lsp_editor import COMMAND, Editor


@pytest_lsp.fixture(config=ClientServerConfig([*COMMAND, "lsp"]), scope="module")
async def client(lsp_client: LanguageClient) -> AsyncIterator[None]:
    """A client with the capabilities of Visual Studio Code; one server per module."""
    await lsp_client.initialize_session(lsp.InitializeParams(client_capabilities("visual-studio-code")))
    yield
    await lsp_client.shutdown_session()


@pytest.fixture
def editor(client: LanguageClient, tmp_path: Path) -> Editor:
    return Editor(client, tmp_path)


@pytest.fixture(autouse=True)
def fail_on_internal_errors(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test if the server logs an internal error at the client."""
    if "editor" not in request.fixturenames:
        yield
        return
    client: LanguageClient = request.getfixturevalue("client")
    before = len(client.log_messages)
    yield
    assert [each.message for each in client.log_messages[before:] if each.type == lsp.MessageType.Error] == []
