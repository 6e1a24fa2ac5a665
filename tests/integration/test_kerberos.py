"""HDFS with Kerberos: authentication, authorization and error messages."""

from __future__ import annotations

import time

import pytest

from maas_runtime.errors import DeployError
from maas_runtime.store.hdfs import HdfsStore
from stellar.net.hadoop.kerberos import Identity, Negotiate
from stellar.net.hadoop.webhdfs import WebHdfs, open_hdfs

pytestmark = pytest.mark.engine


REALM = "EXAMPLE.TEST"
ALICE = f"alice@{REALM}"


@pytest.fixture(scope="module")
def keytab(kdc):
    return kdc.keytab("alice")


@pytest.fixture(scope="module")
def hdfs(kdc):
    """Start a name node and a data node with Kerberos, for their web pages too."""
    from engines.hadoop.secure import SecureHdfs

    with SecureHdfs(kdc, kdc.keytab("hdfs/localhost", "HTTP/localhost")) as hdfs:
        hdfs.make_folder("/user/alice", owner="alice")
        yield hdfs


def test_an_anonymous_client_is_rejected(hdfs):
    with (
        hdfs.client() as nobody,
        pytest.raises(PermissionError, match="HDFS rejected the credentials: Authentication required"),
    ):
        nobody.home()


def test_a_client_with_a_keytab_has_the_permissions_of_its_user(hdfs, keytab):
    with hdfs.client(Identity(ALICE, keytab)) as alice:
        assert alice.home() == "/user/alice"
        alice.write("/user/alice/x", b"1" * 100_000)
        assert alice.read("/user/alice/x") == b"1" * 100_000
        assert alice.status("/user/alice/x").owner == "alice"
        with pytest.raises(PermissionError, match="Permission denied: user=alice"):
            alice.write("/y", b"")


def test_an_authenticated_client_does_not_negotiate_again(hdfs, keytab, monkeypatch):
    with hdfs.client(Identity(ALICE, keytab)) as alice:
        alice.home()
        monkeypatch.setattr(Negotiate, "_open_exchange", lambda *_: pytest.fail("once more"))
        for _ in range(3):
            assert alice.home() == "/user/alice"


@pytest.mark.parametrize("principal", [None, ALICE])
def test_a_ticket_of_kinit_is_used_until_it_expires(principal, hdfs, kdc, keytab, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{cache}")
    with hdfs.client(Identity(principal)) as alice:
        with pytest.raises(PermissionError, match="no ticket found; run kinit or pass a keytab"):
            alice.home()
        kdc.ticket("alice", keytab, cache)
        assert alice.home() == "/user/alice"
    kdc.ticket("alice", keytab, cache, "1s")
    time.sleep(2)
    with (
        hdfs.client(Identity(principal)) as late,
        pytest.raises(PermissionError, match="the ticket has expired; run kinit"),
    ):
        late.home()


def test_a_keytab_of_another_principal_is_reported(hdfs, keytab):
    with (
        hdfs.client(Identity(f"bob@{REALM}", keytab)) as bob,
        pytest.raises(PermissionError, match="the keytab is unreadable or does not contain the principal"),
    ):
        bob.home()


def test_a_server_without_a_principal_is_not_trusted(hdfs, keytab):
    auth = Negotiate(Identity(ALICE, keytab))
    with (
        WebHdfs([hdfs.url], auth=auth) as alice,  # by IP address, while the principal has the host name
        pytest.raises(PermissionError, match="unknown principal of the client or the service"),
    ):
        alice.home()


def test_a_keytab_needs_a_principal_and_must_exist(keytab, tmp_path):
    with pytest.raises(ValueError, match="a keytab needs a principal"):
        Identity(None, keytab)
    with pytest.raises(ValueError, match=r"can't read the keytab .*missing"):
        Identity(ALICE, tmp_path / "missing")


def test_models_are_stored_in_the_hdfs_of_hadoops_configuration(hdfs, keytab, tmp_path, monkeypatch):
    monkeypatch.setenv("HADOOP_CONF_DIR", str(hdfs.conf))
    model = tmp_path / "model"
    model.mkdir()
    (model / "rest.sh").write_text("#!/bin/sh\n")
    with hdfs.client(Identity(ALICE, keytab)) as alice:
        store = HdfsStore(alice)
        assert store.upload(model, "models/dga") == ["rest.sh"]
        store.fetch(f"{hdfs.uri}/user/alice/models/dga", tmp_path / "work")
        assert (tmp_path / "work/rest.sh").read_text() == "#!/bin/sh\n"
        with pytest.raises(DeployError, match=r"the model store: HDFS rejected .*Permission denied: user=alice"):
            store.upload(model, "/models")
    with open_hdfs() as found:
        assert (found.uri, found.urls) == (hdfs.uri, [hdfs.url])
