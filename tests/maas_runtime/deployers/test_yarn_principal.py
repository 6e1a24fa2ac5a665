"""The options of the Kerberos identity of services on YARN; tests/integration has a secure YARN."""

from __future__ import annotations

import argparse
import json

import pytest

from maas_runtime.deployers.yarn import cluster
from maas_runtime.deployers.yarn.principal import ServicePrincipal, read_principal
from maas_runtime.store import options as stores
from stellar.net.hadoop.webhdfs import WebHdfs

NAME = "maas/node7@EXAMPLE.ORG"
URI = "file:///etc/security/maas.keytab"


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch):
    monkeypatch.delenv("HADOOP_CONF_DIR", raising=False)


def given(*words):
    parser = argparse.ArgumentParser()
    stores.add_store_options(parser)
    cluster.add_yarn_options(parser)
    parser.set_defaults(zk_quorum=None)
    return parser.parse_args([*words, "--store=/store"])


def test_without_kerberos_services_have_no_principal():
    assert read_principal(given()) is None


def test_the_identity_of_the_service_is_that_of_its_services():
    found = read_principal(given("--principal", NAME, "--keytab", "/etc/security/ma as.keytab"))
    assert found == ServicePrincipal(NAME, "file:///etc/security/ma%20as.keytab")


def test_services_can_have_their_own_principal_and_keytab():
    own = ("--yarn-principal", "maas/_HOST@EXAMPLE.ORG", "--yarn-keytab", URI)
    assert read_principal(given("--principal", "maas@EXAMPLE.ORG", *own)) == ServicePrincipal(own[1], URI)


def test_hadoops_configuration_selects_kerberos(monkeypatch, tmp_path):
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
    (tmp_path / "core-site.xml").write_text(
        "<configuration><property><name>hadoop.security.authentication</name><value>kerberos</value></property>"
        "</configuration>"
    )
    with pytest.raises(ValueError, match="add --yarn-principal NAME/_HOST@REALM and --yarn-keytab URI"):
        read_principal(given())
    with pytest.raises(ValueError, match="add --yarn-principal"):
        read_principal(given("--principal", NAME))
    own = ("--yarn-principal", NAME, "--yarn-keytab", URI)
    assert read_principal(given(*own)) == ServicePrincipal(NAME, URI)


@pytest.mark.parametrize("option", [("--yarn-principal", NAME), ("--yarn-keytab", URI)])
def test_options_without_kerberos_are_rejected(option):
    with pytest.raises(ValueError, match="require Kerberos: add --principal and --keytab"):
        read_principal(given(*option))


@pytest.mark.parametrize("name", ["maas", "maas@EXAMPLE.ORG", "/node7", "maas/", "maas/a b", "maas/a/b", "maas/n@R@R"])
def test_a_principal_without_a_host_is_rejected(name):
    with pytest.raises(ValueError, match=r"expected one with a host; pass --yarn-principal NAME/_HOST@REALM"):
        ServicePrincipal(name, URI)


@pytest.mark.parametrize("keytab", ["", "maas.keytab", "/etc/maas.keytab", "hdfs:", "hdfs://node1", "file:///a b"])
def test_a_keytab_that_is_no_uri_is_rejected(keytab):
    with pytest.raises(ValueError, match=r"expected a URI, such as hdfs:///user/maas/maas\.keytab"):
        ServicePrincipal(NAME, keytab)


@pytest.mark.parametrize(
    ("uri", "urls"),
    [("hdfs:///user/a%20b", ["http://store:9870"]), ("hdfs://other:8020/user/a%20b", ["http://other:9870"])],
)
def test_a_keytab_in_hdfs_must_exist(monkeypatch, uri, urls):
    asked = []

    def status(self, path):
        asked.append((self.urls, path))

    monkeypatch.setattr(WebHdfs, "status", status)
    monkeypatch.setattr(stores, "make_auth", lambda _: None)
    args = given("--principal", NAME, "--yarn-keytab", uri)
    args.store = "webhdfs://store:9870"
    with pytest.raises(ValueError, match=f"--yarn-keytab {uri} does not exist; upload it: hdfs dfs -put KEYTAB {uri}"):
        read_principal(args)
    assert asked == [(urls, "/user/a b")]


def test_the_service_on_yarn_has_the_principal_and_passes_it_on():
    principal = ServicePrincipal(NAME, URI)
    service = cluster.ServiceDefinition("maas-service", ["serve"], 256, 1, None, "python3", principal)
    specification = json.loads(json.dumps(service.specification("hdfs:///maas.pyz")))
    assert specification["kerberos_principal"] == {"principal_name": NAME, "keytab": URI}
    assert cluster.principal_options(principal) == [f"--yarn-principal={NAME}", f"--yarn-keytab={URI}"]
    assert "kerberos_principal" not in cluster.ServiceDefinition(
        "maas-service", ["serve"], 256, 1, None, "python3", None
    ).specification("hdfs:///maas.pyz")
