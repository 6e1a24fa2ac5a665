"""The kernel as a process that Jupyter starts, with Jupyter's protocol."""

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
    """Start a kernel; its manager and a client."""
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


def execute_cells(*cells: str) -> list[list[nbformat.NotebookNode]]:
    """Execute the cells of a notebook in a new kernel; return their outputs."""
    executed = notebook(*cells)
    NotebookClient(executed, timeout=SECONDS).execute()
    nbformat.validate(executed)
    return [cell.outputs for cell in executed.cells]


def execute(client, code: str, **options) -> tuple[dict, list[dict]]:
    """Execute code; return the reply, and type and content of each output message."""
    messages: list[tuple[str, dict]] = []
    reply = client.execute_interactive(
        code,
        timeout=SECONDS,
        output_hook=lambda message: messages.append((message["msg_type"], message["content"])),
        stop_on_error=False,  # otherwise a request shortly after an error is dropped
        **options,
    )
    return reply["content"], [each for each in messages if each[0] not in ("status", "execute_input")]


# -- Notebooks --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("kernels")
def test_the_cells_of_a_notebook_are_executed_in_order():
    first, second, third = execute_cells("x := {'user': 'eve'}", "# nothing", "MAP_GET('user', x)\n%vars")
    assert first[0].output_type == "execute_result"
    assert set(first[0].data) == {"text/plain", "text/html"}
    assert second == []
    assert [output.output_type for output in third] == ["display_data", "execute_result"]
    assert third[0].data == {"text/plain": "eve"}
    assert third[1].execution_count == 3


@pytest.mark.usefixtures("kernels")
def test_a_cell_shows_the_warnings_of_its_evaluation(tmp_path):
    ((warning,),) = [
        [output for output in outputs if output.output_type == "stream" and output.name == "stderr"]
        for outputs in execute_cells(f"%maas {tmp_path}\nMAAS_GET_ENDPOINT('dga')")
    ]
    assert warning.text.startswith("warning: ")
    assert "dga" in warning.text


@pytest.mark.usefixtures("kernels")
def test_a_failing_cell_ends_the_notebook_and_shows_the_location():
    failing = notebook("1\n2 + TO_UPER('a')\n3", "4")
    with pytest.raises(CellExecutionError, match="did you mean TO_UPPER") as caught:
        NotebookClient(failing, timeout=SECONDS).execute()
    assert "2 | 2 + TO_UPER('a')\n        ^^^^^^^\nhint" in str(caught.value)
    value, error = failing.cells[0].outputs
    assert value.data == {"text/plain": "1"}
    assert (error.ename, error.evalue) == ("ResolutionError", "unknown function TO_UPER")
    assert failing.cells[1].outputs == []


# -- The protocol -----------------------------------------------------------------------------------------------------


def test_the_kernel_describes_its_language(client):
    info = client.kernel_info(reply=True, timeout=SECONDS)["content"]
    assert info["implementation"] == "stellar"
    assert info["language_info"]["name"] == "stellar"
    assert info["language_info"]["file_extension"] == ".stellar"
    assert info["language_info"]["mimetype"] == "text/x-stellar"


def test_notes_are_printed(client):
    _, shown = execute(client, "%time 7")
    assert [kind for kind, _ in shown] == ["execute_result", "stream"]
    assert shown[1][1]["text"].startswith("compiled in ")


def test_an_error_is_in_the_reply_and_in_the_output(client):
    reply, shown = execute(client, "1 / 0")
    assert reply["status"] == "error"
    assert [kind for kind, _ in shown] == ["error"]
    assert {name: reply[name] for name in ("ename", "evalue", "traceback")} == shown[0][1]
    assert reply["evalue"] == "division by zero"


def test_the_kernel_continues_after_an_error(client):
    execute(client, "stored := 5\n1 / 0")
    assert execute(client, "stored + 1")[1][0][1]["data"] == {"text/plain": "6"}


def test_a_silent_cell_has_no_output_and_is_not_counted(client):
    before = execute(client, "1")[0]["execution_count"]
    for code in ("hushed := 8\n9", "1 / 0"):
        _, shown = execute(client, code, silent=True)
        assert shown == []
    reply, shown = execute(client, "hushed")
    assert shown[0][1]["data"] == {"text/plain": "8"}
    assert reply["execution_count"] == before + 1


def test_user_expressions_are_evaluated_after_the_cell(client):
    reply, _ = execute(client, "beside := 3", user_expressions={"good": "beside + 1", "bad": "beside / 0"})
    assert reply["user_expressions"]["good"] == {"status": "ok", "data": {"text/plain": "4"}, "metadata": {}}
    bad = reply["user_expressions"]["bad"]
    assert (bad["status"], bad["ename"], bad["evalue"]) == ("error", "EvaluationError", "division by zero")
    assert bad["traceback"][0] == "division by zero"


def test_quit_does_not_end_the_kernel(client):
    execute(client, "stays := 1")
    assert execute(client, "quit")[1] == []
    assert execute(client, "stays")[1][0][1]["data"] == {"text/plain": "1"}


def test_names_are_completed(client):
    code = "1\ny := TO_UPP + 'é'"
    reply = client.complete(code, code.index(" +"), reply=True, timeout=SECONDS)["content"]
    assert (reply["status"], reply["matches"]) == ("ok", ["TO_UPPER("])
    assert code[reply["cursor_start"] : reply["cursor_end"]] == "TO_UPP"
    assert [each["type"] for each in reply["metadata"]["_jupyter_types_experimental"]] == ["function"]
    nothing = client.complete("UNKNOWN_NAME", 12, reply=True, timeout=SECONDS)["content"]
    assert (nothing["matches"], nothing["cursor_start"], nothing["cursor_end"]) == ([], 12, 12)


def test_the_call_at_the_cursor_has_help(client):
    found = client.inspect("MAP_GET('a', )", 13, reply=True, timeout=SECONDS)["content"]
    assert found["found"] is True
    assert found["data"]["text/plain"].startswith("MAP_GET(key, map, default?)\n")
    assert found["data"]["text/markdown"].startswith("```stellar\nMAP_GET(")
    nothing = client.inspect("nothing", 3, reply=True, timeout=SECONDS)["content"]
    assert (nothing["status"], nothing["found"], nothing["data"]) == ("ok", False, {})


def test_the_status_of_a_cell_is_returned(client):
    def check(code: str) -> dict:
        client.is_complete(code)
        return client.get_shell_msg(timeout=SECONDS)["content"]

    assert check("MAP_GET('a',") == {"status": "incomplete", "indent": "  "}
    assert check("1") == {"status": "complete"}
    assert check("1 1") == {"status": "invalid"}


def test_the_history_has_the_stored_cells(client):
    number = execute(client, "'first'")[0]["execution_count"]
    execute(client, "'hidden'", store_history=False)
    execute(client, "'second'")
    execute(client, "'first'")

    def history(**arguments):
        options = {"raw": True, "output": False, **arguments}
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
    """Return the output messages of a request, up to one of a type."""
    messages: list[dict] = []
    while not messages or messages[-1]["msg_type"] != kind:
        try:
            message = client.get_iopub_msg(timeout=SECONDS)
        except queue.Empty:
            raise AssertionError(f"no {kind} message after {messages}") from None
        if message["parent_header"].get("msg_id") == request:
            messages.append(message)
    return messages
