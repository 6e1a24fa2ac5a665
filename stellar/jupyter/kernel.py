"""The kernel: Jupyter's protocol, implemented with a session and `cells`."""

from __future__ import annotations

import argparse
import fnmatch
from collections.abc import Callable
from functools import partial
from typing import Any

from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel

from stellar.jupyter import cells
from stellar.repl.session import Session
from stellar.repl.startup import open_session
from stellar.util.version import VERSION

_LAST_SECONDS = 5

Reply = dict[str, Any]


def serve(connection_file: str, options: argparse.Namespace) -> None:
    """Serve the front end that wrote a connection file, until it shuts the kernel down."""
    app = IPKernelApp.instance(kernel_class=StellarKernel)
    app.initialize(["-f", connection_file])
    app.kernel.open_session = partial(open_session, options)
    app.start()
    # This thread sends the reply to the shutdown request; it would hang if the output channel were closed first
    app.control_thread.join(_LAST_SECONDS)


class StellarKernel(Kernel):
    """A Jupyter kernel for Stellar. Its session is opened on first use, and again if that failed."""

    implementation = "stellar"
    implementation_version = VERSION
    banner = f"Stellar {VERSION}: ?NAME shows the help of a function, %help the commands"
    language_info = {  # noqa: RUF012 - declared like this by Kernel
        "name": "stellar",
        "version": VERSION,
        "mimetype": "text/x-stellar",
        "file_extension": ".stellar",
        "pygments_lexer": "stellar",
        # CodeMirror has no mode for Stellar; strings, numbers and // are those of JavaScript
        "codemirror_mode": "javascript",
    }

    open_session: Callable[[], Session] = Session

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._stellar: Session | None = None
        self._inputs: list[tuple[int, str]] = []

    @property
    def stellar(self) -> Session:
        """The session of this notebook; raises the errors of opening it."""
        if self._stellar is None:
            self._stellar = self.open_session()
        return self._stellar

    # -- Execution

    async def do_execute(
        self,
        code: str,
        silent: bool,
        store_history: bool = True,
        user_expressions: dict[str, str] | None = None,
        allow_stdin: bool = False,
        *,
        cell_meta: Any = None,
        cell_id: Any = None,
    ) -> Reply:
        """Execute a cell and return its status. With `silent` there is no output, and the cell is not counted."""
        if store_history and not silent:
            self._inputs.append((self.execution_count, code))
        try:
            self._execute(code, silent)
            return {
                "status": "ok",
                "execution_count": self.execution_count,
                "payload": [],
                "user_expressions": {
                    name: self._evaluate(expression) for name, expression in (user_expressions or {}).items()
                },
            }
        except KeyboardInterrupt:
            cell_error = cells.CellError("KeyboardInterrupt", "interrupted", ["interrupted"])
        except cells.CellError as error:
            cell_error = error
        content = _error_content(cell_error)
        if not silent:
            self._send("error", content)
        return {"status": "error", "execution_count": self.execution_count, **content}

    def _execute(self, code: str, silent: bool) -> None:
        try:
            session = self.stellar
        except Exception as error:
            raise cells.create_error(error) from error
        for output in cells.run(code, session):
            if not silent:
                self._show(output)

    def _show(self, output: cells.CellOutput | cells.Note) -> None:
        match output:
            case cells.Note(text, is_warning):
                self._send("stream", {"name": "stderr" if is_warning else "stdout", "text": f"{text}\n"})
            case cells.CellOutput(bundle, last=True):
                result = {"data": bundle, "metadata": {}, "execution_count": self.execution_count}
                self._send("execute_result", result)
            case cells.CellOutput(bundle):
                self._send("display_data", {"data": bundle, "metadata": {}, "transient": {}})

    def _send(self, kind: str, content: Reply) -> None:
        self.send_response(self.iopub_socket, kind, content)

    def _evaluate(self, expression: str) -> Reply:
        """Evaluate a user expression of an execution request."""
        try:
            return {"status": "ok", "data": cells.render(self.stellar.evaluate(expression)), "metadata": {}}
        except Exception as error:  # noqa: BLE001 - reported in the reply
            return {"status": "error", **_error_content(cells.create_error(error))}

    # -- Completion and help

    async def do_complete(self, code: str, cursor_pos: int) -> Reply:
        """Return the completions at the cursor, with their kinds."""
        candidates = cells.complete(code, cursor_pos, self.stellar)
        start = candidates[0].start if candidates else cursor_pos
        kinds = [{"text": each.text, "type": each.kind, "start": start, "end": cursor_pos} for each in candidates]
        return {
            "status": "ok",
            "matches": [each.text for each in candidates],
            "cursor_start": start,
            "cursor_end": cursor_pos,
            "metadata": {"_jupyter_types_experimental": kinds},
        }

    async def do_inspect(self, code: str, cursor_pos: int, detail_level: int = 0, omit_sections: Any = ()) -> Reply:
        """Return the help of the name or call at the cursor."""
        bundle = cells.inspect(code, cursor_pos, self.stellar)
        return {"status": "ok", "found": bundle is not None, "data": bundle or {}, "metadata": {}}

    async def do_is_complete(self, code: str) -> Reply:
        """Return the status of a cell, from which a console decides about a continuation line."""
        status = cells.check_completeness(code)
        return {"status": status, "indent": "  "} if status == "incomplete" else {"status": status}

    # -- History and shutdown

    async def do_history(
        self,
        hist_access_type: str,
        output: bool,
        raw: bool,
        session: int | None = None,
        start: int | None = None,
        stop: int | None = None,
        n: int | None = None,
        pattern: str | None = None,
        unique: bool = False,
    ) -> Reply:
        """Return executed cells since the start: a range, the last ones, or those that match a pattern."""
        inputs = self._inputs
        match hist_access_type:
            case "range":
                inputs = [each for each in inputs if (start or 0) <= each[0] and (stop is None or each[0] < stop)]
            case "search":
                inputs = [each for each in inputs if fnmatch.fnmatchcase(each[1], pattern or "*")]
        if unique:
            inputs = sorted({code: (number, code) for number, code in inputs}.values())
        if hist_access_type != "range" and n is not None:
            inputs = inputs[max(0, len(inputs) - n) :]
        return {
            "status": "ok",
            "history": [(0, number, (code, None) if output else code) for number, code in inputs],
        }

    async def do_shutdown(self, restart: bool) -> Reply:
        """Close the session."""
        if self._stellar is not None:
            self._stellar.close()
            self._stellar = None
        return {"status": "ok", "restart": restart}


def _error_content(error: cells.CellError) -> Reply:
    return {"ename": error.name, "evalue": error.message, "traceback": error.lines}
