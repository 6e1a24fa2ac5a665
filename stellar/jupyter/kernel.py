"""The kernel: what Jupyter asks of it, answered by a session and by what `cells` knows."""

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
from stellar.repl.startup import opened
from stellar.util.version import VERSION

_LAST_SECONDS = 5

Reply = dict[str, Any]


def serve(connection_file: str, options: argparse.Namespace) -> None:
    """Answer the notebook that wrote a connection file, until it ends the kernel."""
    app = IPKernelApp.instance(kernel_class=StellarKernel)
    app.initialize(["-f", connection_file])
    app.kernel.opens = partial(opened, options)
    app.start()
    # It sends the answer that the kernel ends; if what shows outputs were closed before, it would wait for that in vain
    app.control_thread.join(_LAST_SECONDS)


class StellarKernel(Kernel):
    """A kernel whose language is Stellar. Its session is opened when it is first wanted, and again if that failed."""

    implementation = "stellar"
    implementation_version = VERSION
    banner = f"Stellar {VERSION}: ?NAME shows the help of a function, %help the commands"
    language_info = {  # noqa: RUF012 - so Kernel has it
        "name": "stellar",
        "version": VERSION,
        "mimetype": "text/x-stellar",
        "file_extension": ".stellar",
        "pygments_lexer": "stellar",
        # Editors in browsers have no mode for Stellar; JavaScript's texts, numbers and // are the same
        "codemirror_mode": "javascript",
    }

    opens: Callable[[], Session] = Session

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._stellar: Session | None = None
        self._inputs: list[tuple[int, str]] = []

    @property
    def stellar(self) -> Session:
        """The session of this notebook. Raises what opening it does."""
        if self._stellar is None:
            self._stellar = self.opens()
        return self._stellar

    # -- Running a cell

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
        """Execute a cell; the answer tells whether it failed. `silent` shows nothing, and is not counted."""
        if store_history and not silent:
            self._inputs.append((self.execution_count, code))
        try:
            self._execute(code, silent)
            return {
                "status": "ok",
                "execution_count": self.execution_count,
                "payload": [],
                "user_expressions": {
                    name: self._evaluated(expression) for name, expression in (user_expressions or {}).items()
                },
            }
        except KeyboardInterrupt:
            failed = cells.Failed("KeyboardInterrupt", "interrupted", ["interrupted"])
        except cells.Failed as error:
            failed = error
        said = _told(failed)
        if not silent:
            self._send("error", said)
        return {"status": "error", "execution_count": self.execution_count, **said}

    def _execute(self, code: str, silent: bool) -> None:
        try:
            session = self.stellar
        except Exception as error:
            raise cells.failure(error) from error
        for output in cells.run(code, session):
            if not silent:
                self._show(output)

    def _show(self, output: cells.Shown | cells.Note) -> None:
        match output:
            case cells.Note(text):
                self._send("stream", {"name": "stdout", "text": f"{text}\n"})
            case cells.Shown(bundle, last=True):
                result = {"data": bundle, "metadata": {}, "execution_count": self.execution_count}
                self._send("execute_result", result)
            case cells.Shown(bundle):
                self._send("display_data", {"data": bundle, "metadata": {}, "transient": {}})

    def _send(self, kind: str, content: Reply) -> None:
        self.send_response(self.iopub_socket, kind, content)

    def _evaluated(self, expression: str) -> Reply:
        """What a front end wants to know beside a cell: the value of an expression."""
        try:
            return {"status": "ok", "data": cells.bundle(self.stellar.evaluate(expression)), "metadata": {}}
        except Exception as error:  # noqa: BLE001 - it is told
            return {"status": "error", **_told(cells.failure(error))}

    # -- A place in a cell

    async def do_complete(self, code: str, cursor_pos: int) -> Reply:
        """What may stand at the cursor, with the kind of each."""
        found = cells.complete(code, cursor_pos, self.stellar)
        start = found[0].start if found else cursor_pos
        kinds = [{"text": each.text, "type": each.kind, "start": start, "end": cursor_pos} for each in found]
        return {
            "status": "ok",
            "matches": [each.text for each in found],
            "cursor_start": start,
            "cursor_end": cursor_pos,
            "metadata": {"_jupyter_types_experimental": kinds},
        }

    async def do_inspect(self, code: str, cursor_pos: int, detail_level: int = 0, omit_sections: Any = ()) -> Reply:
        """The help of what stands at the cursor."""
        found = cells.inspect(code, cursor_pos, self.stellar)
        return {"status": "ok", "found": found is not None, "data": found or {}, "metadata": {}}

    async def do_is_complete(self, code: str) -> Reply:
        """Whether a console should let the user go on typing."""
        status = cells.is_complete(code)
        return {"status": status, "indent": "  "} if status == "incomplete" else {"status": status}

    # -- The rest

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
        """The cells that were executed since the kernel started: a part of them, the last, or those that match."""
        found = self._inputs
        match hist_access_type:
            case "range":
                found = [each for each in found if (start or 0) <= each[0] and (stop is None or each[0] < stop)]
            case "search":
                found = [each for each in found if fnmatch.fnmatchcase(each[1], pattern or "*")]
        if unique:
            found = sorted({code: (number, code) for number, code in found}.values())
        if hist_access_type != "range" and n is not None:
            found = found[max(0, len(found) - n) :]
        return {
            "status": "ok",
            "history": [(0, number, (code, None) if output else code) for number, code in found],
        }

    async def do_shutdown(self, restart: bool) -> Reply:
        """Close what the session has opened."""
        if self._stellar is not None:
            self._stellar.close()
            self._stellar = None
        return {"status": "ok", "restart": restart}


def _told(failed: cells.Failed) -> Reply:
    return {"ename": failed.name, "evalue": failed.message, "traceback": failed.lines}
