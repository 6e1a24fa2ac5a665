"""The adapter rest: fields from the responses of web services."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from stellar import Expression
from stellar.functions.jsons import DECODER
from stellar.functions.rest.settings import GET_KEY, POST_KEY, RestSettings
from stellar.java.json_path import JsonPath, compile_json_path
from stellar.language.context import Context
from stellar.language.errors import ConfigError
from stellar.language.runtime import describe
from stellar.net.credentials import Authorization, basic_authorization, tls_context
from stellar.net.limits import ConcurrencyLimiter
from stellar.pipeline.config.loading import validate
from stellar.pipeline.config.locations import SourceLocation
from stellar.pipeline.records import Record
from stellar.pipeline.stages.lookups import AdapterContext
from stellar.pipeline.stages.rest_templates import (
    ANY,
    MissingField,
    Template,
    compile_body,
    compile_url,
    fill_properties,
    has_dot_segment,
)
from stellar.util.forks import reset_after_fork
from stellar.util.single_flight import SingleFlight

if TYPE_CHECKING:
    from stellar.functions.rest.client import RestClient, RestResponse
    from stellar.pipeline.stages.rest_config import RestAuthorization, RestService

JSON_TYPE = "application/json"

OpenAuthorization = Callable[[str], Authorization]  # returns the same object for the same file


class RestFailure(ValueError):
    """A service gave no usable result.

    is_cached: True if the response itself says so, so that another call would have the same result for some time
    """

    def __init__(self, message: str, *, is_cached: bool = False) -> None:
        super().__init__(message)
        self.is_cached = is_cached


class ResponseCache:
    """Outcomes of calls, each for its own time. Safe to use from many threads.

    size: maximum number of outcomes; the oldest is removed first
    """

    def __init__(self, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._size, self._clock = size, clock
        self._outcomes: dict[Hashable, tuple[float, str | RestFailure]] = {}
        self._writing = threading.Lock()
        reset_after_fork(self)

    def after_fork(self) -> None:
        """Replace the lock: another thread may have held it."""
        self._writing = threading.Lock()

    def get(self, key: Hashable) -> str | RestFailure | None:
        """Return the outcome of a call, or None."""
        found = self._outcomes.get(key)
        return None if found is None or found[0] <= self._clock() else found[1]

    def put(self, key: Hashable, outcome: str | RestFailure, seconds: float) -> None:
        """Store an outcome for some seconds; 0 stores nothing."""
        if seconds <= 0:
            return
        with self._writing:
            self._outcomes.pop(key, None)
            while len(self._outcomes) >= self._size:
                del self._outcomes[next(iter(self._outcomes))]
            self._outcomes[key] = (self._clock() + seconds, outcome)


@dataclass(frozen=True, slots=True)
class RestTask:
    """The call of a service for a record. See EnrichmentTask; responses are cached here, by request.

    needs_fields: True if a record without a field of the templates is a failure, rather than not enriched
    headers: returns the headers of the requests, with the credentials
    flights: makes one call of equal ones that are concurrent
    """

    adapter: str
    service: RestService
    url: Template
    body: Template | None
    headers: Callable[[], Mapping[str, str]]
    success: JsonPath | None
    results: JsonPath
    condition: Expression | None
    needs_fields: bool
    settings: RestSettings
    context: Context
    cache: ResponseCache
    flights: SingleFlight[str | RestFailure]
    limiter: ConcurrencyLimiter
    waits: bool = True
    blocks: bool = True
    is_cached: bool = False

    @property
    def fields(self) -> frozenset[str]:
        """The fields of the record that the request contains."""
        return self.url.fields if self.body is None else self.url.fields | self.body.fields

    @property
    def input_fields(self) -> frozenset[str]:
        """See EnrichmentTask."""
        return frozenset() if self.needs_fields else self.fields

    def has_input(self, record: Record) -> bool:
        """See EnrichmentTask. Records of other sensors than those of the service are not enriched."""
        sources = self.service.sources
        if ANY not in sources and record.get("source.type") not in sources:
            return False
        return self.needs_fields or all(record.get(name) is not None for name in self.fields)

    def make_key(self, record: Record) -> Hashable | None:
        """See EnrichmentTask."""
        return None

    def run(self, record: Record) -> Record:
        """See EnrichmentTask. Raises RestFailure without a usable response, StellarError if the condition fails."""
        if self.condition is not None and not self.condition(record, self.context):
            return {}
        try:
            url = self.url.fill(record)
            body = None if self.body is None else self.body.fill(record)
        except MissingField as error:
            raise RestFailure(f"{error.args[0]}, which the request needs") from error
        except ValueError as error:
            raise RestFailure(str(error)) from error
        if has_dot_segment(url):
            raise RestFailure("a value of the record is . or .. in the path of the URL")
        outcome = self.cache.get((url, body))
        if outcome is None:
            outcome = self.flights.call((url, body), partial(self._call, url, body))
        if isinstance(outcome, RestFailure):
            raise RestFailure(str(outcome))
        found: Mapping[str, Any] = json.loads(outcome)  # a new map for each record
        return {f"{self.service.prefix}.{name}": value for name, value in found.items()}

    def _call(self, url: str, body: str | None) -> str | RestFailure:
        """Call the service, and return the result as JSON, or the failure. Both are cached."""
        if (known := self.cache.get((url, body))) is not None:  # another call has ended in the meantime
            return known
        try:
            outcome: str | RestFailure = self._read(self._fetch(url, body))
            seconds = self.service.success_cache_expiration_seconds
        except RestFailure as failure:
            outcome = failure
            seconds = self.service.failure_cache_expiration_seconds if failure.is_cached else 0
        self.cache.put((url, body), outcome, seconds)
        return outcome

    def _fetch(self, text: str, body: str | None) -> RestResponse:
        from stellar.functions.rest.client import CallFailure, RestCall, RestClient
        from stellar.functions.rest.urls import parse_url, without_secrets

        try:
            url = parse_url(text)
        except ValueError as error:
            raise RestFailure(f"invalid URL: {error}") from error
        end = time.monotonic() + self.service.timeout_millis / 1000
        content = None if body is None else body.encode()
        server = f"{self.service.method} {without_secrets(url)}"
        load = self.limiter.of("")
        if not self.limiter.enter(load, self.service.timeout_millis / 1000):
            raise RestFailure(f"{server}: more than {self.service.capacity} concurrent calls; raise capacity")
        try:
            client: RestClient = self.context.get_or_make(RestClient, RestClient)
            call = RestCall(self.service.method, url, self.settings, True, content, end, self.headers())
            return client.fetch(call)
        except CallFailure as failure:
            raise RestFailure(f"{server}: {failure}", is_cached=failure.status is not None) from failure
        except (LookupError, OSError, ValueError) as error:  # credentials or certificates cannot be read
            raise RestFailure(f"{server}: {error}") from error
        finally:
            self.limiter.leave(load)

    def _read(self, response: RestResponse) -> str:
        """Return the results of a response as JSON."""
        if not 200 <= response.status < 300:
            raise RestFailure(f"the response has the status {response.status}", is_cached=True)
        if not response.body.strip():
            return "{}"
        try:
            value = DECODER.decode(response.body.decode())
        except (ValueError, RecursionError) as error:
            raise RestFailure(f"the response is not JSON: {error}", is_cached=True) from error
        if self.success is not None and (found := self.success.find(value)) is not True:
            raise RestFailure(
                f"the response reports a failure: {self.service.success_json_path} is {describe(found)}", is_cached=True
            )
        results = self.results.find(value)
        if not isinstance(results, dict):
            raise RestFailure(
                f"expected a map at {self.service.results_json_path} of the response, got {describe(results)}",
                is_cached=True,
            )
        return json.dumps(results)

    def describe_input(self, record: Record) -> Record:
        """See EnrichmentTask."""
        return {name: record[name] for name in sorted(self.fields) if name in record}

    def describe_failure(self, error: Exception) -> str:
        """See EnrichmentTask."""
        return self.service.prefix


def build_rest(adapter: AdapterContext) -> list[RestTask]:
    """Return the tasks of the adapter rest, one for each service. Raises ConfigError for an invalid service."""
    services, location = adapter.adapter.config, adapter.location / "config"
    if not isinstance(services, list):
        raise location.error(
            'expected a list of services, such as [{"endpointTemplate": "https://…", "prefix": "asset"}]'
        )
    tasks = []
    open_file = cache(Authorization)  # services share a file, which may change during the run
    for index, value in enumerate(services):
        build = partial(_build_task, adapter, value, location / index, open_file)
        if (task := adapter.builder.problems.attempt(build, None)) is not None:
            tasks.append(task)
    return tasks


def _build_task(
    adapter: AdapterContext, value: object, location: SourceLocation, open_file: OpenAuthorization
) -> RestTask:
    if not isinstance(value, dict):
        raise location.error(f"expected a map with endpointTemplate and prefix, got {describe(value)}")
    from stellar.pipeline.stages.rest_config import RestService  # it loads pydantic

    service = validate(RestService, value, location)
    properties = service.properties
    text, builder = service.filter_expression, adapter.builder
    condition = None if not text else builder.predicate(text, location / "filterExpression")
    settings = _make_settings(service, builder.settings, builder.global_location)
    _add_checks(adapter, service, location, open_file)
    url: Template = _attempt(lambda: compile_url(service.endpoint_template, properties), location / "endpointTemplate")
    return RestTask(
        adapter.name,
        service,
        url,
        _compile_body(service, location),
        _make_headers(service, location, open_file, is_secure=url.start.startswith("https:")),
        _compile_path(service.success_json_path, properties, location / "successJsonPath"),
        _compile_path(service.results_json_path, properties, location / "resultsJsonPath") or compile_json_path("$"),
        condition,
        ANY not in service.sources,
        settings,
        builder.context,
        ResponseCache(service.cache_size),
        SingleFlight(),
        ConcurrencyLimiter(service.capacity),
    )


def _attempt(make: Callable[[], Any], location: SourceLocation) -> Any:
    """Return the result of a function, whose ValueError becomes a ConfigError."""
    try:
        return make()
    except ConfigError:
        raise
    except ValueError as error:
        raise location.error(str(error)) from error


def _compile_body(service: RestService, location: SourceLocation) -> Template | None:
    if (text := service.entity_template) is None:
        return None
    given = next((value for name, value in service.headers.items() if name.lower() == "content-type"), JSON_TYPE)
    content_type = given.partition(";")[0].strip().lower()
    body: Template = _attempt(lambda: compile_body(text, service.properties, content_type), location / "entityTemplate")
    return body


def _compile_path(text: str | None, properties: Mapping[str, str], location: SourceLocation) -> JsonPath | None:
    if text is None:
        return None
    path: JsonPath = _attempt(lambda: compile_json_path(fill_properties(text, properties)), location)
    return path


def _make_headers(
    service: RestService, location: SourceLocation, open_file: OpenAuthorization, *, is_secure: bool
) -> Callable[[], Mapping[str, str]]:
    """Return a function that returns the headers of requests. A file of credentials is read when it has changed."""
    headers = {
        name: _attempt(partial(fill_properties, text, service.properties), location / "headers" / name)
        for name, text in service.headers.items()
    }
    for name, text in headers.items():
        if not (name and name.isascii() and name.isprintable() and text.isprintable()):
            raise (location / "headers" / name).error("a header must not contain line ends or control characters")
    if (given := service.authorization) is None:
        return lambda: headers
    where = location / "authorization"
    if given.type != "file":
        value = _attempt(lambda: _fill_authorization(given, service.properties), where)
        return lambda: headers | {"Authorization": value}
    if not is_secure:
        raise (where / "type").error("credentials of a file are not sent by http, unencrypted; use https")
    path = given.path or ""

    def read() -> Mapping[str, str]:
        return headers | {"Authorization": open_file(path).header(secure=True) or ""}

    return read


def _fill_authorization(given: RestAuthorization, properties: Mapping[str, str]) -> str:
    def fill(text: str | None) -> str:
        return fill_properties(text or "", properties)

    if given.type == "token":
        return f"Bearer {fill(given.bearer_token_template)}"
    return basic_authorization(fill(given.user_name_template), fill(given.password_template))


def _make_settings(service: RestService, settings: Mapping[str, Any], location: SourceLocation) -> RestSettings:
    """Return the settings of REST functions with those of a service."""
    tls = service.tls
    own = {
        "timeout": service.timeout_millis,
        "basic.auth.user": None,
        **({} if tls is None else {"certificate.path": tls.certificate_path, "key.path": tls.key_path}),
        **({} if tls is None or tls.ca_path is None else {"ca.path": tls.ca_path}),
    }
    try:
        return RestSettings.of(settings, POST_KEY if service.method == "POST" else GET_KEY, own)
    except LookupError as error:
        raise location.error(str(error.args[0])) from error


def _add_checks(
    adapter: AdapterContext, service: RestService, location: SourceLocation, open_file: OpenAuthorization
) -> None:
    """Add checks of the files that a service names, for the start of a run."""

    def check_files(context: Context) -> None:
        try:
            if (tls := service.tls) is not None:
                tls_context(tls.ca_path, tls.certificate_path, tls.key_path)
            if service.authorization is not None and service.authorization.path is not None:
                open_file(service.authorization.path)
        except (OSError, ValueError) as error:
            raise LookupError(str(error)) from error

    adapter.builder.checks.append((location, f"adapter {adapter.name}", check_files))
