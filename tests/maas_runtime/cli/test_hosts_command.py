"""maas hosts and maas prune."""

from __future__ import annotations

import json
import os

from maas_runtime.service.prune import RECENT_SECONDS


def test_the_host_of_a_directory_is_shown_with_what_it_offers(maas, collateral, eventually):
    maas("serve", "--memory", 1000, "--gpus", "0,1", "--host", "node1")
    added = maas(
        "deploy",
        "-mo",
        "ADD",
        "-lmp",
        collateral(),
        "-hmp",
        "/dga",
        "-m",
        300,
        "-g",
        1,
        "-ni",
        1,
        "-n",
        "dga",
        "-v",
        "1",
    )
    assert added.returncode == 0, added
    eventually(lambda: "1          700 MB" in maas("hosts").stdout)
    lines = maas("hosts").stdout.splitlines()
    assert lines[0].split()[:2] == ["host", "instances"]
    assert lines[1].split()[:8] == ["node1", "1", "700", "MB", "1,000", "MB", "1", "2"]
    (host,) = json.loads(maas("hosts", "--output", "json").stdout)["hosts"]
    assert (host["host"], host["lives"], host["gpus_free"]) == ("node1", True, ["1"])


def test_a_host_that_is_gone_is_shown_with_its_instances(maas, collateral, eventually):
    service = maas("serve", "--leave-running")
    maas(
        "deploy",
        "-mo",
        "ADD",
        "-lmp",
        collateral(),
        "-hmp",
        "/dga",
        "-m",
        0,
        "-ni",
        1,
        "-n",
        "dga",
        "-v",
        "1",
        "--wait",
    )
    service.terminate()
    service.wait(15)
    output = maas("hosts").stdout
    assert output.startswith("no host runs instances\n")
    assert output.endswith(": gone, with 1 instances assigned\n")
    maas("serve")  # ends the instance


def test_only_unused_copies_are_removed(maas, store, collateral, registry_dir):
    maas("serve")
    at = ("-hmp", "/dga", "-m", 0, "-ni", 1, "-n", "dga", "-v", "1", "--wait")
    maas("deploy", "-mo", "ADD", "-lmp", collateral(), *at)
    unused = store.add_content(collateral(folder="other", more="x"))
    for folder in (registry_dir / "store/.content").iterdir():
        os.utime(folder, (0, folder.stat().st_mtime - RECENT_SECONDS - 1))
    shown = maas("prune", "--dry-run")
    assert shown.stdout == f"{unused}: unused\n1 of 2 copies would be removed; those of the last 60 minutes stay\n"
    assert maas("prune").stdout.startswith(f"{unused}: removed\n1 of 2 copies removed")
    assert len(store.contents()) == 1
    assert json.loads(maas("prune", "--output", "json").stdout) == {"removed": [], "dry_run": False, "copies": 1}


def test_a_store_that_does_not_exist_is_an_error(maas, tmp_path):
    maas("serve")
    ended = maas("prune", "--store", tmp_path / "mistyped")
    message = f"maas: the model store {tmp_path}/mistyped does not exist; check --store\n"
    assert (ended.returncode, ended.stderr) == (1, message)
