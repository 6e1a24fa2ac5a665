"""YARN with Kerberos, on an HDFS with Kerberos: models as services of an authenticated user."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import maas_runtime
from maas_runtime.cli.main import main
from maas_runtime.cli.metron import maas_deploy
from maas_runtime.deployers.yarn.rest import YarnServices
from maas_runtime.errors import DeployError
from stellar.maas import ModelClient, ZooKeeperRegistry
from stellar.net.hadoop.kerberos import Identity, Negotiate

from .conftest import MODEL, wait_for

pytestmark = pytest.mark.engine

PACKAGES = Path(maas_runtime.__file__).parents[1]
MAAS = "maas@EXAMPLE.TEST"
KEYTAB = "/user/maas/maas.keytab"
MODEL_OPTIONS = ("-hmp", "/user/maas/models/dga", "-n", "dga", "-v", "1.0", "-m", "512")
SECONDS = 180.0


@pytest.fixture(scope="module")
def keytab(kdc):
    """The keys of a user, as which people and the masters of its services log in."""
    return kdc.keytab("maas", "maas/localhost", "maas/elsewhere")


@pytest.fixture(scope="module")
def yarn(kdc, keytab, zookeeper):
    """A secure YARN; the user has a home directory in its HDFS, with the keytab."""
    from engines.hadoop.secure import SecureHdfs, SecureYarn

    servers = kdc.keytab("HTTP/localhost", "hdfs/localhost", "rm/localhost", "nm/localhost")
    with SecureHdfs(kdc, servers) as hdfs:
        hdfs.make_folder("/user/maas", owner="maas")
        with hdfs.client(Identity(MAAS, keytab)) as client:
            client.write(KEYTAB, keytab.read_bytes(), permission=0o400)
        with SecureYarn(kdc, zookeeper.hosts, hdfs, servers) as yarn:
            yield yarn


class SecureWorld:
    """A service with models on a secure YARN, and its commands."""

    def __init__(self, yarn, hosts, keytab, folder, capsys):
        self.url, self.hosts, self._capsys = yarn.url.replace("127.0.0.1", "localhost"), hosts, capsys
        self._identity = Identity(MAAS, keytab)
        self._log, self.service = folder / "serve.log", None
        store = yarn.hdfs.url.replace("http://127.0.0.1", "webhdfs://localhost")
        self.options = ["-zq", hosts, "--store", store, f"--principal={MAAS}", f"--keytab={keytab}"]
        self.model = folder / "dga"
        self.model.mkdir()
        (self.model / "dga.py").write_text(MODEL)
        (self.model / "rest.sh").write_text(f"#!/bin/bash\nexec {sys.executable} -S dga.py\n")
        self.registry = ZooKeeperRegistry(hosts)
        self.client = ModelClient(self.registry)

    def serve(self, *arguments):
        """Start `maas serve --yarn`, and wait until it leads."""
        line = [sys.executable, "-m", "maas_runtime.cli", "serve", *self.options, "--yarn", self.url]
        more = ["--yarn-python", sys.executable, "--drain-seconds=0", *arguments]
        with self._log.open("ab") as log:
            self.service = subprocess.Popen([*line, *more], cwd=PACKAGES, stdout=log, stderr=log)
        wait_for(lambda: "this service leads" in self._log.read_text() or self.service.poll() is not None)
        assert self.service.poll() is None, self._log.read_text()

    def deploy(self, *arguments):
        status = maas_deploy([*self.options, *MODEL_OPTIONS, *map(str, arguments), "--wait", str(SECONDS)])
        assert status == 0, (self._capsys.readouterr(), self._log.read_text())

    def run(self, *arguments):
        """Run a command of `maas`. Return its status, output and errors."""
        status = main([arguments[0], *self.options, *arguments[1:]])
        return (status, *self._capsys.readouterr())

    def rest(self):
        """Return a client of YARN for the user."""
        return YarnServices([self.url], auth=Negotiate(self._identity))

    def call(self, **arguments):
        return self.client.apply(self.registry.endpoint("dga").as_map(), arguments=arguments)

    def end(self):
        if self.service is not None:
            self.service.terminate()
            self.service.wait(60)
        self.client.close()
        self.registry.close()


@pytest.fixture
def world(yarn, quorum, keytab, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MAAS_HOME", str(tmp_path / "registry"))
    world = SecureWorld(yarn, quorum, keytab, tmp_path, capsys)
    yield world
    world.end()


def test_a_model_is_scaled_up_and_down_as_an_authenticated_user(yarn, world):
    world.serve("--yarn-principal=maas/_HOST@EXAMPLE.TEST", f"--yarn-keytab=hdfs://{KEYTAB}")
    world.deploy("-mo", "ADD", "-ni", "1", "-lmp", world.model)
    assert world.call(host="yahoo.com")["is_malicious"] == "legit"
    (application,) = yarn._applications()
    assert application["user"] == "maas"
    world.deploy("-mo", "ADD", "-ni", "1")
    wait_for(lambda: len({world.call(number=str(n))["pid"] for n in range(20)}) == 2)
    world.deploy("-mo", "REMOVE", "-ni", "1")
    assert len(world.registry.instances("dga")) == 1
    world.deploy("-mo", "REMOVE", "-ni", "1")
    assert not world.registry.instances()
    wait_for(lambda: not yarn.services() and not yarn.processes())


def test_the_service_itself_runs_on_yarn_with_the_principal_of_another_host(yarn, world):
    arguments = ("--principal=maas/elsewhere@EXAMPLE.TEST", "--yarn-python", sys.executable, "--drain-seconds=0")
    status, output, errors = world.run("serve", "--on-yarn", "--yarn", world.url, *arguments)
    assert (status, errors) == (0, "")
    name = re.search(r"yarn app -destroy (\S+)", output)[1]
    world.deploy("-mo", "ADD", "-ni", "1", "-lmp", world.model)
    assert world.call(host="yahoo.com")["is_malicious"] == "legit"
    world.deploy("-mo", "REMOVE", "-ni", "1")
    wait_for(lambda: yarn.services() == [name])
    with world.rest() as rest:
        rest.delete(name)
    wait_for(lambda: not yarn.services() and not yarn.processes())


def test_the_doctor_authenticates(world):
    _, output, _ = world.run("doctor", "--yarn", world.url)
    assert "ok    YARN       Hadoop 3." in output
    assert "ok    YARN       queue default: 1 nodes" in output


def test_the_doctor_reports_a_missing_identity_with_a_fix(world, capsys):
    assert main(["doctor", "-zq", world.hosts, "--yarn", world.url]) == 1
    output = capsys.readouterr().out
    assert f"fail  YARN       {world.url}: YARN denied access: Authentication required" in output
    assert "fix: authenticate with --principal and --keytab, or kinit" in output


def test_an_anonymous_client_is_rejected(world):
    with (
        YarnServices([world.url]) as anonymous,
        pytest.raises(DeployError, match=r"YARN denied access: Authentication required; add --principal and --keytab"),
    ):
        anonymous.cluster()


def test_an_identity_without_a_ticket_is_rejected_with_a_fix(world, keytab):
    with (
        YarnServices([world.url], auth=Negotiate(Identity("bob@EXAMPLE.TEST", keytab))) as bob,
        pytest.raises(DeployError, match=r"YARN denied access: .*the keytab is unreadable or does not contain"),
    ):
        bob.cluster()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], r"invalid principal 'maas@EXAMPLE\.TEST' .* pass --yarn-principal NAME/_HOST@REALM"),
        (
            ["--yarn-principal=maas/_HOST@EXAMPLE.TEST", "--yarn-keytab=hdfs:///user/maas/none"],
            "--yarn-keytab hdfs:///user/maas/none does not exist; upload it",
        ),
        (
            ["--yarn-principal=maas/_HOST@EXAMPLE.TEST", "--yarn-keytab=/etc/maas.keytab"],
            "invalid --yarn-keytab '/etc/maas.keytab': expected a URI",
        ),
    ],
)
def test_a_service_that_yarn_could_not_reach_does_not_start(world, arguments, message):
    status, _, errors = world.run("serve", "--yarn", world.url, *arguments)
    assert status == 1
    assert re.search(message, errors)
