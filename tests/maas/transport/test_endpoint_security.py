"""Security of endpoints: allowed hosts, TLS and credentials. A registry may contain entries of an attacker."""

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
from stellar.net.allowed_hosts import AllowedHosts, find_url_problem

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
def test_an_invalid_pattern_is_rejected_by_name(pattern):
    with pytest.raises(ValueError, match=r"maas\.hosts\.allowed: "):
        ClientSettings.from_global({"maas.hosts.allowed": [pattern]})


INVALID_URLS = [
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


@pytest.mark.parametrize("url", INVALID_URLS)
def test_only_plain_http_urls_are_called(url):
    assert find_url_problem(url, AllowedHosts()) is not None


def test_a_password_in_a_url_is_not_logged():
    assert "secret" not in find_url_problem("http://me:secret@node1/", AllowedHosts())


class Doubled:
    """A fake transport that responds to every request, and records the URLs."""

    def __init__(self):
        self.requested = []

    def get(self, url, seconds=None):
        self.requested.append(url)
        return Response(200, b'{"a": 1}')

    def close(self):
        """Do nothing: no connection is open."""


@pytest.mark.parametrize("settings", [{}, {"hedge_ms": 1000}, {"choice": "least-busy"}])
def test_a_disallowed_instance_is_skipped_for_another_one(settings, registry, make_instance, caplog):
    for id, url in enumerate(("http://10.0.0.1:1", "http://evil:2", "http://10.0.0.3:3?x", "javascript:x")):
        registry.register(make_instance("dga", "1.0", str(id), url))
    transport = Doubled()
    settings = ClientSettings(hosts_allowed=("10.0.0.1",), cache_size=0, retries=0, **settings)
    with ModelClient(registry, settings, transport) as client, caplog.at_level(logging.WARNING):
        for instance in registry.instances() * 5:
            assert client.apply(instance.payload.as_map()) == {"a": 1}
    assert set(transport.requested) == {"http://10.0.0.1:1/apply?"}
    warnings = [record.getMessage() for record in caplog.records if "endpoint not allowed" in record.getMessage()]
    assert len(warnings) == len(set(warnings)) == 3


def test_if_no_instance_is_allowed_the_call_fails_without_a_request(registry, make_instance):
    registry.register(make_instance("dga", "1.0", "1", "http://evil:2"))
    transport, reported = Doubled(), []
    settings = ClientSettings(hosts_allowed=("10.0.0.0/8",))
    with ModelClient(registry, settings, transport, on_failure=lambda *told_of: reported.append(told_of)) as client:
        with pytest.raises(ModelUnavailable, match="'http://evil:2' is not allowed by") as error:
            client.apply(registry.endpoint("dga").as_map())
        assert error.value.reason == "not allowed"
        assert client.counters().requests == 0
        assert client.counters().failures == {"not allowed": 1}
    assert transport.requested == []
    assert registry.breakers.all_closed
    assert reported[0][:3] == ("dga", "1.0", "not allowed")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status, serve, registry):
    elsewhere = serve()
    hostile = serve(serve.respond(status, b"", Location=f"{elsewhere.url}/apply"))
    with ModelClient(registry) as client, pytest.raises(ModelRefused, match=f"status {status}"):
        client.apply({"url": hostile.url})
    assert elsewhere.paths == []


# --- https


@pytest.fixture
def authority():
    return trustme.CA()


@pytest.fixture
def secure(authority):
    """Return a function that starts an https model: `secure("localhost", client=authority)`."""
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
                """Log nothing."""

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
def secret_file(tmp_path):
    """Return a function that writes a file only its owner may read, and returns its path."""

    def secret_file(name, content):
        path = tmp_path / name
        path.write_bytes(content)
        path.chmod(0o600)
        return str(path)

    return secret_file


@pytest.fixture
def ca(authority, secret_file):
    return secret_file("ca.pem", authority.cert_pem.bytes())


def requested(registry, url, **keys):
    settings = ClientSettings.from_global({key: value for key, value in keys["keys"].items() if value is not None})
    with ModelClient(registry, settings) as client:
        return client.apply({"url": url})


def test_a_model_is_verified_with_the_configured_authority(secure, ca, registry):
    url = secure().url
    assert requested(registry, url, keys={"maas.tls.ca": ca}) == {"a": 1}
    with pytest.raises(ModelUnavailable, match="certificate verify failed"):
        requested(registry, url, keys={})


def test_another_authority_is_not_trusted(secure, secret_file, registry):
    other = secret_file("other.pem", trustme.CA().cert_pem.bytes())
    with pytest.raises(ModelUnavailable, match="certificate verify failed"):
        requested(registry, secure().url, keys={"maas.tls.ca": other})


def test_a_certificate_for_another_name_is_not_trusted(secure, ca, registry):
    with pytest.raises(ModelUnavailable, match="certificate verify failed"):
        requested(registry, secure("elsewhere.example").url, keys={"maas.tls.ca": ca})


def test_the_client_certificate_is_sent_on_request(secure, authority, ca, secret_file, registry):
    url = secure(client=authority).url
    ours = authority.issue_cert("client@example.org")
    certificate = secret_file("certificate.pem", b"".join(blob.bytes() for blob in ours.cert_chain_pems))
    key = secret_file("key.pem", ours.private_key_pem.bytes())
    keys = {"maas.tls.ca": ca, "maas.tls.certificate": certificate, "maas.tls.key": key}
    assert requested(registry, url, keys=keys) == {"a": 1}
    with pytest.raises(ModelUnavailable):
        requested(registry, url, keys={"maas.tls.ca": ca})
    other_authority = trustme.CA().issue_cert("client@example.org")
    keys["maas.tls.certificate"] = secret_file(
        "s.pem", b"".join(blob.bytes() for blob in other_authority.cert_chain_pems)
    )
    keys["maas.tls.key"] = secret_file("s.key", other_authority.private_key_pem.bytes())
    with pytest.raises(ModelUnavailable):
        requested(registry, url, keys=keys)


def test_unusable_files_are_rejected_when_the_client_is_created(registry, ca, secret_file):
    nonsense = secret_file("nonsense", b"nonsense")
    with pytest.raises(ValueError, match=r"can't use the authorities in .*nonsense"):
        ModelClient(registry, ClientSettings(tls_ca=nonsense))
    with pytest.raises(ValueError, match=r"can't use the certificate in "):
        ModelClient(registry, ClientSettings(tls_ca=ca, tls_certificate=ca, tls_key=nonsense))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"maas.tls.ca": "/no/such/file"},
            "invalid maas.tls.ca: expected a readable file, got '/no/such/file'",
        ),
        ({"maas.tls.certificate": "{file}"}, "maas.tls.certificate and maas.tls.key must be set together"),
        ({"maas.http.auth": "{file}"}, "maas.http.auth needs maas.hosts.allowed"),
        ({"maas.http.auth.plain": "yes"}, "invalid maas.http.auth.plain: expected true or false, got 'yes'"),
        ({"maas.hosts.allowed": []}, "invalid maas.hosts.allowed: expected a list of hosts"),
        ({"maas.hosts.allowed": [1]}, "invalid maas.hosts.allowed: expected a list of hosts"),
    ],
)
def test_invalid_settings_are_rejected(keys, message, secret_file):
    file = secret_file("file", b"x")
    with pytest.raises(ValueError, match=message):
        ClientSettings.from_global({key: file if value == "{file}" else value for key, value in keys.items()})


# --- credentials

SAID = [(b"Bearer abc.def-1\n", "Bearer abc.def-1"), ("Basic me:geheim: ä\n".encode(), "Basic bWU6Z2VoZWltOiDDpA==")]


@pytest.mark.parametrize(("line", "header"), SAID)
def test_credentials_are_sent_by_https_to_allowed_hosts(line, header, secure, ca, secret_file, registry):
    server = secure()
    keys = {"maas.tls.ca": ca, "maas.http.auth": secret_file("auth", line), "maas.hosts.allowed": "localhost, node1"}
    assert requested(registry, server.url, keys=keys) == {"a": 1}
    assert server.headers[0]["authorization"] == header


@pytest.mark.parametrize("plain", [False, True])
def test_credentials_are_sent_by_http_only_if_configured(plain, serve, secret_file, registry):
    server = serve()
    keys = {"maas.http.auth": secret_file("auth", b"Bearer abc"), "maas.hosts.allowed": ["127.0.0.1"]}
    assert requested(registry, server.url, keys=keys | {"maas.http.auth.plain": plain})
    assert server.headers[0].get("authorization") == ("Bearer abc" if plain else None)


def test_changed_credentials_are_read_again(serve, secret_file, registry):
    server = serve()
    file = secret_file("auth", b"Bearer first")
    settings = ClientSettings(http_auth=file, http_auth_plain=True, hosts_allowed=("127.0.0.1",), cache_size=0)
    with ModelClient(registry, settings) as client:
        client.apply({"url": server.url})
        secret_file("auth", b"Bearer second")
        client.apply({"url": server.url})
        secret_file("auth", b"nonsense that must not be logged")
        with pytest.raises(ModelUnavailable, match="expected one line") as error:
            client.apply({"url": server.url})
        assert registry.breakers.all_closed  # an error of the client, not of the instance
    assert "nonsense" not in str(error.value)
    assert [each["authorization"] for each in server.headers] == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize(
    "line", [b"", b"secret", b"Bearer secret\r\nX: y", b"Basic secret", b"Bearer \xff secret", b"Digest secret"]
)
def test_an_invalid_credentials_file_is_rejected_without_showing_its_content(line, secret_file, registry):
    with pytest.raises(ValueError, match="expected one line") as error:
        ModelClient(registry, ClientSettings(http_auth=secret_file("auth", line), hosts_allowed=("h",)))
    assert "secret" not in str(error.value)


def test_a_credentials_file_readable_by_others_causes_a_warning(secret_file, registry, caplog):
    file = secret_file("auth", b"Bearer abc")
    os.chmod(file, 0o644)
    ModelClient(registry, ClientSettings(http_auth=file, hosts_allowed=("h",))).close()
    assert f"credentials in {file} are readable by other users" in caplog.text
    assert "abc" not in caplog.text


def test_a_rejection_of_the_credentials_counts_as_a_bad_request(serve, registry):
    server = serve(serve.respond(401, b"{}"))
    with ModelClient(registry) as client, pytest.raises(RecordRefused, match="status 401"):
        client.apply({"url": server.url})
