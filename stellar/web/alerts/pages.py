"""The pages and forms, as a Starlette application.

    GET  /                            the list of alerts; `/alerts-list`, its name in Metron, leads here
    GET  /documents/ID                a document: its fields, the rules, the annotations
    GET  /documents/ID/json           its JSON, as stored
    GET  /documents/ID/values/N       the whole value of its N-th field
    POST /documents/ID/events         annotate, escalate, close or reopen
    GET, POST /login    POST /logout  sessions, if there is a token

Handlers that read the store run in threads, so that a slow query does not delay other users.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl, urlencode
from urllib.parse import quote as quote_url

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stellar.util.abbreviate import abbreviate_value, quote
from stellar.web.alerts import display
from stellar.web.alerts.access import COOKIE, HEADERS, SESSION_SECONDS, AccessRules, Denied, LoginNeeded, Visit, Visitor
from stellar.web.alerts.contents import list_rules, parse_document
from stellar.web.alerts.explanations import Explainer, restore_names
from stellar.web.alerts.listing import list_alerts
from stellar.web.alerts.notes import AlertNotes
from stellar.web.alerts.queries import (
    ANY_STATE,
    NOT_CLOSED,
    ORDERS,
    STATES,
    AlertQuery,
    AlertSource,
    QueryForm,
    SourceError,
    StoredDocument,
)

log = logging.getLogger(__name__)

ROWS = 50
FIELDS = 500
LONGEST_BODY = 64 * 1024
_ACTIONS = {"annotate": None, "escalate": "escalated", "close": "closed", "reopen": "open"}
_FILTERS = ("sensor", "score", "text", "since", "until", "state", "order", "show")


class _BodyTooLarge(Exception):
    pass


class _Missing(Exception):
    """A page that does not exist."""


@dataclass(frozen=True)
class Site:
    """The parts of the application.

    seconds: the time of a search after which a list is shown as it is; a search that is continued takes ten times that
    is_secure: True if browsers use https, so that cookies are sent by it only
    """

    source: AlertSource
    notes: AlertNotes
    access: AccessRules
    explainer: Explainer | None = None
    root: str = ""
    seconds: float = 0.12
    is_secure: bool = False


def make_app(site: Site) -> Starlette:
    """Return the application."""
    pages = _Pages(site)
    app = Starlette(
        routes=[
            Route("/", pages.wrap(pages.show_list)),
            Route("/alerts-list", pages.redirect_home),
            Route("/login", pages.show_login, methods=["GET"]),
            Route("/login", pages.log_in, methods=["POST"]),
            Route("/logout", pages.wrap_form(pages.log_out), methods=["POST"]),
            Route("/style.css", _serve_style),
            Route("/documents/{id}", pages.wrap(pages.show_document)),
            Route("/documents/{id}/json", pages.wrap(pages.show_json)),
            Route("/documents/{id}/values/{number:int}", pages.wrap(pages.show_value)),
            Route("/documents/{id}/events", pages.wrap_form(pages.add_event), methods=["POST"]),
        ],
        middleware=[Middleware(SecurityHeaders)],
        exception_handlers={404: pages.report_missing, 405: pages.report_missing, Exception: pages.report_failure},
    )
    app.router.redirect_slashes = False  # a redirect would trust the Host header of any request
    return app


class SecurityHeaders:
    """Adds the headers that restrict what browsers do with the pages to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._headers = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._headers]
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


Handler = Callable[[Request, Visitor], Response]
FormHandler = Callable[[Request, Visitor, Mapping[str, str]], Response]


class _Pages:
    """The handlers of requests."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._templates = Environment(
            loader=PackageLoader("stellar.web.alerts"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {
            "show": display.show,
            "clean": display.clean,
            "time": display.show_time,
            "score": display.show_score,
            "stellar": partial(abbreviate_value, most=400),
            "text": lambda value: "–" if value is None else display.write_value(value),
        }
        self._templates.globals |= {"root": site.root, "states": STATES, "source_name": site.source.name}
        for name in self._templates.list_templates(extensions=["html"]):
            self._templates.get_template(name)  # now, rather than when the first user waits

    # -- Requests and errors -------------------------------------------------------------------------------------------

    def wrap(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """Return an endpoint that identifies the user, and runs a handler in a thread."""

        async def endpoint(request: Request) -> Response:
            return await run_in_threadpool(self._run, request, handler)

        return endpoint

    def wrap_form(self, handler: FormHandler) -> Callable[[Request], Awaitable[Response]]:
        """Return an endpoint that also reads a form and checks its token."""

        async def endpoint(request: Request) -> Response:
            try:
                form = await _read_form(request)
            except _BodyTooLarge:
                return self._report(413, "The form is too large", f"at most {LONGEST_BODY} bytes are accepted")

            def handle(request: Request, visitor: Visitor) -> Response:
                self._site.access.check_form(_visit(request), visitor, form.get("form_token", ""))
                return handler(request, visitor, form)

            return await run_in_threadpool(self._run, request, handle)

        return endpoint

    def _run(self, request: Request, handler: Handler) -> Response:
        try:
            visitor, cookie = self._site.access.identify(_visit(request))
            response = handler(request, visitor)
        except LoginNeeded:
            query = urlencode({"next": _path_of(request)}) if request.method == "GET" else ""
            return RedirectResponse(f"{self._site.root}/login?{query}", 303)
        except Denied as error:
            return self._report(403, "Access denied", str(error))
        except SourceError as error:
            log.warning("%s", error)
            return self._report(503, "The documents can't be read", str(error))
        except _Missing as error:
            return self._report(404, "Not found", str(error))
        except ValueError as error:
            return self._report(400, "Invalid request", str(error))
        if cookie:
            self._set_cookie(response, cookie)
        return response

    def _set_cookie(self, response: Response, cookie: str) -> None:
        response.set_cookie(
            COOKIE,
            cookie,
            max_age=SESSION_SECONDS,
            path=self._site.root or "/",
            secure=self._site.is_secure,
            httponly=True,
            samesite="strict",
        )

    def _report(self, status: int, title: str, message: str) -> Response:
        return self._render("message.html", status, title=title, message=message, visitor=None, form_token="")

    def _render(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        text = self._templates.get_template(template).render(has_login=self._site.access.token is not None, **values)
        return HTMLResponse(text.encode("utf-8", "backslashreplace"), status)

    def _render_for(self, visitor: Visitor, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        token = self._site.access.sessions.make_form_token(visitor)
        return self._render(template, status, visitor=visitor, form_token=token, **values)

    async def report_missing(self, request: Request, error: Exception) -> Response:
        """Return the page for an unknown path or method."""
        status = getattr(error, "status_code", 404)
        return self._report(status, "Not found", "the page does not exist; go back to the list of alerts")

    async def report_failure(self, request: Request, error: Exception) -> Response:
        """Return the page for an internal error, which the server logs."""
        return self._report(500, "Internal error", "this is a fault of the program; its log has the details")

    # -- Sessions ------------------------------------------------------------------------------------------------------

    def redirect_home(self, request: Request) -> Response:
        """Redirect to the list."""
        return RedirectResponse(f"{self._site.root}/", 303)

    async def show_login(self, request: Request) -> Response:
        """Return the form for the token."""
        return self._render_login(_local_path(request.query_params.get("next", "")))

    def _render_login(self, target: str, error: str = "") -> Response:
        return self._render(
            "login.html", 403 if error else 200, target=target, error=error, visitor=None, form_token=""
        )

    async def log_in(self, request: Request) -> Response:
        """Start a session."""
        try:
            form = await _read_form(request)
        except _BodyTooLarge:
            form = {}
        target = _local_path(form.get("next", ""))
        try:
            cookie = self._site.access.log_in(_visit(request), form.get("token", "").strip(), form.get("name", ""))
        except Denied as error:
            log.warning("a login from %s failed", request.client.host if request.client else "an unknown address")
            return self._render_login(target, str(error))
        response = RedirectResponse(f"{self._site.root}{target}", 303)
        self._set_cookie(response, cookie)
        return response

    def log_out(self, request: Request, visitor: Visitor, form: Mapping[str, str]) -> Response:
        """End the session."""
        self._site.access.sessions.end(visitor)
        response = RedirectResponse(f"{self._site.root}/login", 303)
        response.delete_cookie(COOKIE, path=self._site.root or "/")
        return response

    # -- Pages ---------------------------------------------------------------------------------------------------------

    def show_list(self, request: Request, visitor: Visitor) -> Response:
        """Return the list of alerts."""
        form = QueryForm({name: request.query_params.get(name, "") for name in _FILTERS})
        query = form.read()
        cursor = request.query_params.get("after", "")
        seconds = self._site.seconds * (10 if request.query_params.get("continue") else 1)
        found, states = list_alerts(self._site.source, self._site.notes, query, cursor, ROWS, seconds)
        entered = {name: value for name, value in form.values.items() if value}
        more = urlencode({**entered, "after": found.cursor, **({} if found.is_complete else {"continue": "1"})})
        return self._render_for(
            visitor,
            "list.html",
            400 if form.errors else 200,
            alerts=found.alerts,
            found=found,
            states_of=states,
            query=query,
            values=form.values,
            errors=form.errors,
            sensors=self._list_sensors(query),
            more=more,
            is_first=not cursor,
            first=urlencode(entered),
            choices={"state": (NOT_CLOSED, ANY_STATE, *STATES), "order": ORDERS},
        )

    def _list_sensors(self, query: AlertQuery) -> list[str]:
        """Return the names for the selection: those in the source, and the selected one."""
        return sorted({*self._site.source.list_sensors(), *([query.sensor] if query.sensor else [])})

    def _read(self, request: Request) -> StoredDocument:
        document = self._site.source.read(request.path_params["id"])
        if document is None:
            raise _Missing(
                "the document does not exist any more, or the database was rebuilt; search for it in the list"
            )
        return document

    def show_document(self, request: Request, visitor: Visitor) -> Response:
        """Return the page of a document."""
        return self._render_document(visitor, self._read(request), request.query_params)

    def _render_document(
        self, visitor: Visitor, document: StoredDocument, parameters: Mapping[str, str], error: str = "", note: str = ""
    ) -> Response:
        alert, problem, fields = document.alert, "", {}
        try:
            fields = parse_document(document.text)
        except ValueError as error_:
            problem = str(error_)
        search = parameters.get("field", "")[:200]
        rows = [
            (number, name, display.write_value(value), display.name_type(value))
            for number, (name, value) in enumerate(fields.items())
            if search.lower() in name.lower()
        ]
        start = _read_number(parameters.get("from", ""), len(rows))
        return self._render_for(
            visitor,
            "document.html",
            400 if error else 200,
            alert=alert,
            problem=problem,
            text=document.text,
            rows=rows[start : start + FIELDS],
            count=len(rows),
            start=start,
            next_start=start + FIELDS if start + FIELDS < len(rows) else None,
            field_search=search,
            most=display.MOST_IN_DOCUMENT,
            state=self._site.notes.find_states([alert]).get(alert.key, "open"),
            events=self._site.notes.list_events(alert),
            error=error,
            note=note,
            stored_rules=list_rules(fields),
            **self._explain(fields),
        )

    def _explain(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Return the explanation of the rules for the template, or the reason of its absence."""
        if self._site.explainer is None or not fields:
            return {"explanation": None, "explanation_problem": ""}
        try:
            explanation = self._site.explainer.explain(restore_names(fields))
        except ValueError as error:
            return {"explanation": None, "explanation_problem": str(error)}
        return {"explanation": explanation, "explanation_problem": ""}

    def show_json(self, request: Request, visitor: Visitor) -> Response:
        """Return the JSON of a document, as it is stored."""
        content = self._read(request).text.encode("utf-8", "backslashreplace")
        return Response(content, media_type="application/json")

    def show_value(self, request: Request, visitor: Visitor) -> Response:
        """Return the whole value of a field as plain text."""
        values = list(parse_document(self._read(request).text).values())
        number = request.path_params["number"]
        if number >= len(values):
            raise _Missing(f"the document has {len(values)} fields only")
        return PlainTextResponse(display.clean(display.write_value(values[number])).encode())

    def add_event(self, request: Request, visitor: Visitor, form: Mapping[str, str]) -> Response:
        """Annotate a document, or change its state."""
        document, action, note = self._read(request), form.get("action", ""), form.get("note", "")
        if action not in _ACTIONS:
            raise ValueError(f"unknown action {quote(action, 40)}; expected {', '.join(_ACTIONS)}")
        try:
            self._site.notes.add(document.alert, visitor.name, note, _ACTIONS[action])  # type: ignore[arg-type]
        except ValueError as error:
            return self._render_document(visitor, document, {}, str(error), note)
        return RedirectResponse(f"{self._site.root}/documents/{quote_url(document.alert.id, safe='')}#history", 303)


def _serve_style(request: Request) -> Response:
    return Response((files("stellar.web.alerts") / "static/style.css").read_bytes(), media_type="text/css")


def _visit(request: Request) -> Visit:
    peer = request.client.host if request.client else ""
    return Visit(peer, dict(request.headers.items()), request.cookies.get(COOKIE, ""))


def _path_of(request: Request) -> str:
    return f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path


def _local_path(path: str) -> str:
    """Return a path of this site; `/` for everything that could lead elsewhere."""
    is_local = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and path.isascii()
    return path if is_local else "/"


def _read_number(text: str, most: int) -> int:
    return min(int(text), most) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


async def _read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form. Raises _BodyTooLarge."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_BODY:
            raise _BodyTooLarge
    pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, errors="replace")
    return dict(pairs[:50])
