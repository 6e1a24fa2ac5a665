"""The kernel as notebooks know it: a process that Jupyter finds and starts, asked by its protocol."""

from __future__ import annotations

import queue

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

SECONDS = 60


@pytest.fixture(scope="module")
def kernel(kernels):
    """A kernel in a process of its own, by its manager and a client."""
    manager, client = start_new_kernel(kernel_name="stellar", startup_timeout=SECONDS)
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel()
    manager.cleanup_resources()


@pytest.fixture
def client(kernel):
    return kernel[1]


def notebook(*cells: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={"kernelspec": {"name": "stellar", "display_name": "Stellar"}},
    )


def executed(*cells: str) -> list[list[nbformat.NotebookNode]]:
    """The outputs of the cells of a notebook, run by a kernel of their own."""
    made = notebook(*cells)
    NotebookClient(made, timeout=SECONDS).execute()
    nbformat.validate(made)
    return [cell.outputs for cell in made.cells]


def execute(client, code: str, **options) -> tuple[dict, list[dict]]:
    """What a client is answered, and what is shown meanwhile: each message's type and content."""
    shown: list[tuple[str, dict]] = []
    reply = client.execute_interactive(
        code,
        timeout=SECONDS,
        output_hook=lambda message: shown.append((message["msg_type"], message["content"])),
        stop_on_error=False,  # or a request that comes soon after an error is dropped
        **options,
    )
    return reply["content"], [each for each in shown if each[0] not in ("status", "execute_input")]


# -- Notebooks --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("kernels")
def test_a_notebook_is_run_from_its_first_cell_to_its_last():
    first, second, third = executed("x := {'user': 'eve'}", "# nothing", "MAP_GET('user', x)\n%vars")
    assert first[0].output_type == "execute_result"
    assert set(first[0].data) == {"text/plain", "text/html"}
    assert second == []
    assert [output.output_type for output in third] == ["display_data", "execute_result"]
    assert third[0].data == {"text/plain": "eve"}
    assert third[1].execution_count == 3


@pytest.mark.usefixtures("kernels")
def test_a_cell_that_fails_ends_the_notebook_and_shows_the_place():
    made = notebook("1\n2 + TO_UPER('a')\n3", "4")
    with pytest.raises(CellExecutionError, match="did you mean TO_UPPER") as caught:
        NotebookClient(made, timeout=SECONDS).execute()
    assert "2 | 2 + TO_UPER('a')\n        ^^^^^^^^^^^^" in str(caught.value)
    value, error = made.cells[0].outputs
    assert value.data == {"text/plain": "1"}
    assert (error.ename, error.evalue) == ("ResolutionError", "unknown function TO_UPER")
    assert made.cells[1].outputs == []


# -- The protocol -----------------------------------------------------------------------------------------------------


def test_the_kernel_says_what_its_language_is(client):
    info = client.kernel_info(reply=True, timeout=SECONDS)["content"]
    assert info["implementation"] == "stellar"
    assert info["language_info"]["name"] == "stellar"
    assert info["language_info"]["file_extension"] == ".stellar"
    assert info["language_info"]["mimetype"] == "text/x-stellar"


def test_notes_are_shown_as_printed(client):
    _, shown = execute(client, "%time 7")
    assert [kind for kind, _ in shown] == ["execute_result", "stream"]
    assert shown[1][1]["text"].startswith("compiled in ")


def test_an_error_is_told_and_shown_alike(client):
    reply, shown = execute(client, "1 / 0")
    assert reply["status"] == "error"
    assert [kind for kind, _ in shown] == ["error"]
    assert {name: reply[name] for name in ("ename", "evalue", "traceback")} == shown[0][1]
    assert reply["evalue"] == "division by zero"


def test_after_an_error_the_kernel_goes_on(client):
    execute(client, "kept := 5\n1 / 0")
    assert execute(client, "kept + 1")[1][0][1]["data"] == {"text/plain": "6"}


def test_a_silent_cell_shows_nothing_and_is_not_counted(client):
    before = execute(client, "1")[0]["execution_count"]
    for code in ("hushed := 8\n9", "1 / 0"):
        _, shown = execute(client, code, silent=True)
        assert shown == []
    reply, shown = execute(client, "hushed")
    assert shown[0][1]["data"] == {"text/plain": "8"}
    assert reply["execution_count"] == before + 1


def test_expressions_of_the_user_are_evaluated_beside_the_cell(client):
    reply, _ = execute(client, "beside := 3", user_expressions={"good": "beside + 1", "bad": "beside / 0"})
    assert reply["user_expressions"]["good"] == {"status": "ok", "data": {"text/plain": "4"}, "metadata": {}}
    bad = reply["user_expressions"]["bad"]
    assert (bad["status"], bad["ename"], bad["evalue"]) == ("error", "EvaluationError", "division by zero")
    assert bad["traceback"][0] == "division by zero"


def test_quit_leaves_the_kernel_as_it_is(client):
    execute(client, "stays := 1")
    assert execute(client, "quit")[1] == []
    assert execute(client, "stays")[1][0][1]["data"] == {"text/plain": "1"}


def test_names_are_completed(client):
    code = "1\ny := TO_UPP + 'é'"
    reply = client.complete(code, code.index(" +"), reply=True, timeout=SECONDS)["content"]
    assert (reply["status"], reply["matches"]) == ("ok", ["TO_UPPER("])
    assert code[reply["cursor_start"] : reply["cursor_end"]] == "TO_UPP"
    assert [each["type"] for each in reply["metadata"]["_jupyter_types_experimental"]] == ["function"]
    nothing = client.complete("NOTHING_LIKE", 12, reply=True, timeout=SECONDS)["content"]
    assert (nothing["matches"], nothing["cursor_start"], nothing["cursor_end"]) == ([], 12, 12)


def test_help_is_shown_at_the_cursor(client):
    found = client.inspect("MAP_GET('a', )", 13, reply=True, timeout=SECONDS)["content"]
    assert found["found"] is True
    assert found["data"]["text/plain"].startswith("MAP_GET(key, map, default?)\n")
    assert found["data"]["text/markdown"].startswith("```stellar\nMAP_GET(")
    nothing = client.inspect("nothing", 3, reply=True, timeout=SECONDS)["content"]
    assert (nothing["status"], nothing["found"], nothing["data"]) == ("ok", False, {})


def test_a_console_learns_whether_to_go_on(client):
    def asked(code: str) -> dict:
        client.is_complete(code)
        return client.get_shell_msg(timeout=SECONDS)["content"]

    assert asked("MAP_GET('a',") == {"status": "incomplete", "indent": "  "}
    assert asked("1") == {"status": "complete"}
    assert asked("1 1") == {"status": "invalid"}


def test_the_history_has_what_was_to_be_stored(client):
    number = execute(client, "'first'")[0]["execution_count"]
    execute(client, "'hidden'", store_history=False)
    execute(client, "'second'")
    execute(client, "'first'")

    def history(**asked):
        options = {"raw": True, "output": False, **asked}
        return [each[2] for each in client.history(reply=True, timeout=SECONDS, **options)["content"]["history"]]

    assert history(hist_access_type="tail", n=3) == ["'first'", "'second'", "'first'"]
    assert history(hist_access_type="range", start=number, stop=number + 3) == ["'first'", "'second'"]
    assert history(hist_access_type="search", pattern="'*st'", n=5, unique=True) == ["'first'"]
    assert history(hist_access_type="tail", n=1, output=True) == [["'first'", None]]
    assert history(hist_access_type="tail", n=0) == []


def test_an_evaluation_can_be_interrupted(kernel):
    manager, client = kernel
    request = client.execute(
        "many := SPLIT(FILL_RIGHT('', ',', 100000), ',')\n'begun'\nMAP(many, a -> LENGTH(MAP(many, b -> b)))\n'ended'",
        stop_on_error=False,
    )
    shown = _until(client, request, "display_data")
    assert shown[-1]["content"]["data"] == {"text/plain": "begun"}
    manager.interrupt_kernel()
    reply = client.get_shell_msg(timeout=SECONDS)
    assert reply["parent_header"]["msg_id"] == request
    assert (reply["content"]["status"], reply["content"]["ename"]) == ("error", "KeyboardInterrupt")
    error = _until(client, request, "error")[-1]["content"]
    assert (error["ename"], error["traceback"]) == ("KeyboardInterrupt", ["interrupted"])
    assert execute(client, "LENGTH(many) > 1000")[1][0][1]["data"] == {"text/plain": "true"}


def _until(client, request: str, kind: str) -> list[dict]:
    """The messages that are shown for a request, up to one of a kind."""
    messages: list[dict] = []
    while not messages or messages[-1]["msg_type"] != kind:
        try:
            message = client.get_iopub_msg(timeout=SECONDS)
        except queue.Empty:
            raise AssertionError(f"no {kind} came; before it {messages}") from None
        if message["parent_header"].get("msg_id") == request:
            messages.append(message)
    return messages
