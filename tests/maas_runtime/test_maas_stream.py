"""A stream of calls while instances are killed and replaced."""

from __future__ import annotations

import itertools
import os
import signal
import threading

import pytest

from stellar import compile
from stellar.language.context import Context
from stellar.maas import ClientSettings, FileRegistry, ModelClient, Registry

EXPRESSION = compile("MAAS_MODEL_APPLY(MAAS_GET_ENDPOINT('dga'), {'host' : host})")


class Stream:
    """Calls of the model in a loop, each with another argument."""

    def __init__(self, registry_dir):
        self.calls, self.nulls = 0, 0
        self._registry_dir, self._stop = registry_dir, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        with (
            FileRegistry(self._registry_dir) as registry,
            ModelClient(registry, ClientSettings(timeout_ms=2000)) as client,
        ):
            context = Context({Registry: registry, ModelClient: client})
            for number in itertools.count():
                if self._stop.wait(0.002):
                    break
                self.calls += 1
                self.nulls += EXPRESSION({"host": f"host{number}"}, context) is None

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


@pytest.fixture
def deploy(maas, collateral):
    def deploy(mode, version, instances):
        files = ["-lmp", collateral(), "-hmp", "/dga", "-m", 0] if mode == "ADD" else []
        done = maas("deploy", "-mo", mode, "-n", "dga", "-v", version, "-ni", instances, *files, "--wait")
        assert done.returncode == 0, done

    return deploy


def test_no_call_fails_while_instances_are_killed_and_versions_replaced(maas, deploy, registry_dir, eventually):
    maas("serve", "--drain-seconds", 0.6)
    deploy("ADD", "1.0", 2)
    registry = FileRegistry(registry_dir)
    with Stream(registry_dir) as stream:
        eventually(lambda: stream.calls > 20)
        victim = registry.instances()[0]
        os.kill(int((registry_dir / "containers" / victim.id / "lock").read_text()), signal.SIGKILL)
        eventually(lambda: victim not in registry.instances())
        eventually(lambda: len(registry.instances()) == 2)  # and a replacement is started
        deploy("ADD", "2.0", 1)
        deploy("REMOVE", "1.0", 2)
        seen = stream.calls
        eventually(lambda: stream.calls > seen + 20)
    assert [instance.model.version for instance in registry.instances()] == ["2.0"]
    assert stream.nulls == 0
