"""Whom a client asks, what it tells them, and what it believes: a registry may hold what anybody wrote."""

from __future__ import annotations

import logging
import os
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme

from stellar.maas import ClientSettings, ModelClient
from stellar.maas.errors import ModelRefused, ModelUnavailable, RecordRefused
from stellar.maas.transport.base import Response
from stellar.net.allowed_hosts import AllowedHosts, trouble_with

ALLOWED = [
    (["node1"], ["node1", "NODE1", "node1."], ["node2", "node1.evil", "xnode1", ""]),
    (["*.models.example"], ["a.models.example", "b.a.models.example"], ["models.example", "xmodels.example", "evil"]),
    (["10.0.0.0/8"], ["10.1.2.3", "::ffff:10.1.2.3"], ["11.0.0.1", "167838211", "0x0a.1.2.3", "10.1.2.3.evil", "node"]),
    (["fd00::/8"], ["fd00::1", "FD12:0::1"], ["fe80::1", "::1"]),
    (["[::1]", "127.0.0.1"], ["::1", "127.0.0.1"], ["127.0.0.2", "localhost"]),
]


@pytest.mark.parametrize(("patterns", "inside", "outside"), ALLOWED)
def test_hosts_are_allowed_by_name_by_suffix_and_by_network(patterns, inside, outside):
    allowed = AllowedHosts.of(patterns)
    assert [host for host in inside if not allowed.allow(host)] == []
    assert [host for host in outside if allowed.allow(host)] == []


def test_without_any_pattern_all_hosts_are_allowed():
    assert AllowedHosts().allow("anywhere")
    assert not AllowedHosts()


@pytest.mark.parametrize("pattern", ["", "*.", "a/b", "10.0.0.1/8", "http://node1", "a b", "me@node1", "a.*", "ä"])
def test_a_pattern_that_is_none_is_named(pattern):
    with pytest.raises(ValueError, match=r"maas\.hosts\.allowed: "):
        ClientSettings.from_global({"maas.hosts.allowed": [pattern]})


BAD_ADDRESSES = [
    "javascript:alert(1)",
    "file:///etc/passwd",
    "ftp://node1/",
    "gopher://node1:70/x",
    "//node1/",
    "http://",
    "http://node1:x",
    "http://node1:99999",
    "http://[::1",
    "http://me:secret@node1/",
    "http://node1\\@evil/",
    "http://node1/\r\nX: y",
    "http://node1/\x00",
    "http://no de1/",
    "http://node1\u2028/",
]


@pytest.mark.parametrize("url", BAD_ADDRESSES)
def test_what_is_no_plain_address_is_not_asked(url):
    assert trouble_with(url, AllowedHosts()) is not None


def test_a_password_in_an_address_is_not_told_on():
    assert "secret" not in trouble_with("http://me:secret@node1/", AllowedHosts())


class Doubled:
    """A transport that answers everybody, and keeps whom it was to ask."""

    def __init__(self):
        self.asked = []

    def get(self, url, seconds=None):
        self.asked.append(url)
        return Response(200, b'{"a": 1}')

    def close(self):
        """There is nothing to close."""


@pytest.mark.parametrize("settings", [{}, {"hedge_ms": 1000}, {"choice": "least-busy"}])
def test_what_may_not_be_asked_is_passed_over_for_another_instance(settings, registry, make_instance, caplog):
    for id, url in enumerate(("http://10.0.0.1:1", "http://evil:2", "http://10.0.0.3:3?x", "javascript:x")):
        registry.register(make_instance("dga", "1.0", str(id), url))
    transport = Doubled()
    settings = ClientSettings(hosts_allowed=("10.0.0.1",), cache_size=0, retries=0, **settings)
    with ModelClient(registry, settings, transport) as client, caplog.at_level(logging.WARNING):
        for instance in registry.instances() * 5:
            assert client.apply(instance.payload.as_map()) == {"a": 1}
    assert set(transport.asked) == {"http://10.0.0.1:1/apply?"}
    said = [record.getMessage() for record in caplog.records if "is not called" in record.getMessage()]
    assert len(said) == len(set(said)) == 3


def test_if_none_may_be_asked_that_is_the_reason_and_nobody_is_asked(registry, make_instance):
    registry.register(make_instance("dga", "1.0", "1", "http://evil:2"))
    transport, told = Doubled(), []
    settings = ClientSettings(hosts_allowed=("10.0.0.0/8",))
    with ModelClient(registry, settings, transport, on_failure=lambda *told_of: told.append(told_of)) as client:
        with pytest.raises(ModelUnavailable, match="'http://evil:2' is not at a host of") as error:
            client.apply(registry.endpoint("dga").as_map())
        assert error.value.reason == "not allowed"
        assert client.counters().requests == 0
        assert client.counters().failures == {"not allowed": 1}
    assert transport.asked == []
    assert registry.breakers.all_closed
    assert told[0][:3] == ("dga", "1.0", "not allowed")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status, serve, registry):
    elsewhere = serve()
    hostile = serve(serve.answer(status, b"", Location=f"{elsewhere.url}/apply"))
    with ModelClient(registry) as client, pytest.raises(ModelRefused, match=f"status {status}"):
        client.apply({"url": hostile.url})
    assert elsewhere.paths == []


# --- by https


@pytest.fixture
def authority():
    return trustme.CA()


@pytest.fixture
def secure(authority):
    """Starts a model by https: `secure("localhost", client=authority)`; what it was told is in `headers`."""
    running = []

    def start(name="localhost", client=None):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                headers.append({name.lower(): value for name, value in self.headers.items()})
                self.send_response(200)
                self.send_header("Content-Length", "8")
                self.end_headers()
                self.wfile.write(b'{"a": 1}')

            def log_message(self, *_):
                """Say nothing."""

        headers = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        if client is not None:
            client.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        server.handle_error = lambda *_: None
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        running.append((server, thread))
        server.url, server.headers = f"https://localhost:{server.server_port}", headers
        return server

    yield start
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def keep(tmp_path):
    """Writes a file that nobody else may read; gives its path."""

    def keep(name, content):
        path = tmp_path / name
        path.write_bytes(content)
        path.chmod(0o600)
        return str(path)

    return keep


@pytest.fixture
def ca(authority, keep):
    return keep("ca.pem", authority.cert_pem.bytes())


def asked(registry, url, **keys):
    settings = ClientSettings.from_global({key: value for key, value in keys["keys"].items() if value is not None})
    with ModelClient(registry, settings) as client:
        return client.apply({"url": url})


def test_a_model_is_trusted_by_the_authority_that_is_named(secure, ca, registry):
    url = secure().url
    assert asked(registry, url, keys={"maas.tls.ca": ca}) == {"a": 1}
    with pytest.raises(ModelUnavailable, match="certificate verify failed"):
        asked(registry, url, keys={})


def test_another_authority_is_not_trusted(secure, keep, registry):
    other = keep("other.pem", trustme.CA().cert_pem.bytes())
    with pytest.raises(ModelUnavailable, match="certificate verify failed"):
        asked(registry, secure().url, keys={"maas.tls.ca": other})


def test_a_certificate_for_another_name_is_not_trusted(secure, ca, registry):
    with pytest.raises(ModelUnavailable, match="certificate verify failed"):
        asked(registry, secure("elsewhere.example").url, keys={"maas.tls.ca": ca})


def test_a_model_that_asks_for_our_certificate_gets_it(secure, authority, ca, keep, registry):
    url = secure(client=authority).url
    ours = authority.issue_cert("client@example.org")
    certificate = keep("certificate.pem", b"".join(blob.bytes() for blob in ours.cert_chain_pems))
    key = keep("key.pem", ours.private_key_pem.bytes())
    keys = {"maas.tls.ca": ca, "maas.tls.certificate": certificate, "maas.tls.key": key}
    assert asked(registry, url, keys=keys) == {"a": 1}
    with pytest.raises(ModelUnavailable):
        asked(registry, url, keys={"maas.tls.ca": ca})
    stranger = trustme.CA().issue_cert("client@example.org")
    keys["maas.tls.certificate"] = keep("s.pem", b"".join(blob.bytes() for blob in stranger.cert_chain_pems))
    keys["maas.tls.key"] = keep("s.key", stranger.private_key_pem.bytes())
    with pytest.raises(ModelUnavailable):
        asked(registry, url, keys=keys)


def test_files_that_can_not_be_used_are_named_when_the_client_is_made(registry, ca, keep):
    nonsense = keep("nonsense", b"nonsense")
    with pytest.raises(ValueError, match=r"can't use the authorities in .*nonsense"):
        ModelClient(registry, ClientSettings(tls_ca=nonsense))
    with pytest.raises(ValueError, match=r"can't use the certificate in .*"):
        ModelClient(registry, ClientSettings(tls_ca=ca, tls_certificate=ca, tls_key=nonsense))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"maas.tls.ca": "/no/such/file"},
            "invalid maas.tls.ca: expected a file that can be read, got '/no/such/file'",
        ),
        ({"maas.tls.certificate": "{file}"}, "maas.tls.certificate and maas.tls.key go together"),
        ({"maas.http.auth": "{file}"}, "maas.http.auth needs maas.hosts.allowed"),
        ({"maas.http.auth.plain": "yes"}, "invalid maas.http.auth.plain: expected true or false, got 'yes'"),
        ({"maas.hosts.allowed": []}, "invalid maas.hosts.allowed: expected a list of hosts"),
        ({"maas.hosts.allowed": [1]}, "invalid maas.hosts.allowed: expected a list of hosts"),
    ],
)
def test_settings_that_can_not_be_meant_are_refused(keys, message, keep):
    file = keep("file", b"x")
    with pytest.raises(ValueError, match=message):
        ClientSettings.from_global({key: file if value == "{file}" else value for key, value in keys.items()})


# --- what models are told of who we are

SAID = [(b"Bearer abc.def-1\n", "Bearer abc.def-1"), ("Basic me:geheim: ä\n".encode(), "Basic bWU6Z2VoZWltOiDDpA==")]


@pytest.mark.parametrize(("line", "header"), SAID)
def test_who_we_are_is_told_by_https_to_hosts_that_are_allowed(line, header, secure, ca, keep, registry):
    server = secure()
    keys = {"maas.tls.ca": ca, "maas.http.auth": keep("auth", line), "maas.hosts.allowed": "localhost, node1"}
    assert asked(registry, server.url, keys=keys) == {"a": 1}
    assert server.headers[0]["authorization"] == header


@pytest.mark.parametrize("plain", [False, True])
def test_by_http_it_is_told_only_if_that_is_asked_for(plain, serve, keep, registry):
    server = serve()
    keys = {"maas.http.auth": keep("auth", b"Bearer abc"), "maas.hosts.allowed": ["127.0.0.1"]}
    assert asked(registry, server.url, keys=keys | {"maas.http.auth.plain": plain})
    assert server.headers[0].get("authorization") == ("Bearer abc" if plain else None)


def test_a_word_that_changes_is_told_as_it_is_now(serve, keep, registry):
    server = serve()
    file = keep("auth", b"Bearer first")
    settings = ClientSettings(http_auth=file, http_auth_plain=True, hosts_allowed=("127.0.0.1",), cache_size=0)
    with ModelClient(registry, settings) as client:
        client.apply({"url": server.url})
        keep("auth", b"Bearer second")
        client.apply({"url": server.url})
        keep("auth", b"nonsense that is not to be told")
        with pytest.raises(ModelUnavailable, match="must hold one line") as error:
            client.apply({"url": server.url})
        assert registry.breakers.all_closed  # that is our own fault
    assert "nonsense" not in str(error.value)
    assert [each["authorization"] for each in server.headers] == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize(
    "line", [b"", b"secret", b"Bearer secret\r\nX: y", b"Basic secret", b"Bearer \xff secret", b"Digest secret"]
)
def test_a_file_of_another_kind_is_refused_and_its_content_is_not_told(line, keep, registry):
    with pytest.raises(ValueError, match="must hold one line") as error:
        ModelClient(registry, ClientSettings(http_auth=keep("auth", line), hosts_allowed=("h",)))
    assert "secret" not in str(error.value)


def test_a_file_that_others_may_read_is_warned_of(keep, registry, caplog):
    file = keep("auth", b"Bearer abc")
    os.chmod(file, 0o644)
    ModelClient(registry, ClientSettings(http_auth=file, hosts_allowed=("h",))).close()
    assert f"credentials in {file} are readable by other users" in caplog.text
    assert "abc" not in caplog.text


def test_who_refuses_us_finds_fault_with_what_was_asked(serve, registry):
    server = serve(serve.answer(401, b"{}"))
    with ModelClient(registry) as client, pytest.raises(RecordRefused, match="status 401"):
        client.apply({"url": server.url})
