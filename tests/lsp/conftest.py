"""A real client that talks to the real `stellar lsp`, as an editor does."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_lsp
from lsprotocol import types as lsp
from pytest_lsp import ClientServerConfig, LanguageClient, client_capabilities

sys.path.append(str(Path(__file__).parent))  # where the editor of these tests lives

from lsp_editor import COMMAND, Editor


@pytest_lsp.fixture(config=ClientServerConfig([*COMMAND, "lsp"]), scope="module")
async def client(lsp_client: LanguageClient) -> AsyncIterator[None]:
    """A client with what Visual Studio Code can do; one server for a module's tests."""
    await lsp_client.initialize_session(lsp.InitializeParams(client_capabilities("visual-studio-code")))
    yield
    await lsp_client.shutdown_session()


@pytest.fixture
def editor(client: LanguageClient, tmp_path: Path) -> Editor:
    return Editor(client, tmp_path)


@pytest.fixture(autouse=True)
def nothing_unforeseen(request: pytest.FixtureRequest) -> Iterator[None]:
    """What should not happen is told in the client's log; here it fails the test."""
    if "editor" not in request.fixturenames:
        yield
        return
    client: LanguageClient = request.getfixturevalue("client")
    before = len(client.log_messages)
    yield
    assert [each.message for each in client.log_messages[before:] if each.type == lsp.MessageType.Error] == []
