"""maas_service.sh and maas_deploy.sh: Metron's options, and its exit statuses."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

from maas_runtime.cli.metron import maas_deploy, maas_service


@pytest.fixture
def run(registry_dir, capsys, monkeypatch):
    """Run a command in this process: `run(maas_deploy, "-mo", "LIST")` returns status, output and errors."""
    monkeypatch.setenv("MAAS_HOME", str(registry_dir))
    monkeypatch.setattr("stellar.maas.zookeeper.CONNECT_SECONDS", 0.2)

    def run(command, *arguments):
        try:
            status = command([str(word) for word in arguments])
        except SystemExit as ended:
            status = ended.code
        return (status, *capsys.readouterr())

    return run


def test_both_commands_are_installed():
    commands = {one.name: one.load() for one in entry_points(group="console_scripts") if one.name.startswith("maas_")}
    assert commands == {"maas_service.sh": maas_service, "maas_deploy.sh": maas_deploy}


@pytest.mark.parametrize("command", [maas_service, maas_deploy])
@pytest.mark.parametrize("ask", ["-h", "--help"])
def test_help_alone_prints_the_usage(command, ask, run):
    status, output, _ = run(command, ask)
    assert status == 0
    assert output.startswith("usage: maas_")
    assert "--zk_quorum" in output


REFUSED = [
    (maas_deploy, "-mo LIST", 1, "the following arguments are required: -zq/--zk_quorum"),
    (maas_deploy, "-zq 127.0.0.1:1", 1, "the following arguments are required: -mo/--mode"),
    (maas_deploy, "-zq 127.0.0.1:1 -mo BOGUS", 1, "invalid choice: 'BOGUS' (choose from 'ADD', 'REMOVE', 'LIST')"),
    (maas_deploy, "-zq 127.0.0.1:1 -mo ADD", 1, "ADD needs -n (--name)"),
    (maas_deploy, "-zq 127.0.0.1:1 -mo LIST", 1, "ZooKeeper at 127.0.0.1:1 can't be reached"),
    (maas_deploy, "-zq 127.0.0.1:1 -mo LIST --bogus", 1, "unrecognized arguments: --bogus"),
    (maas_service, "", 1, "the following arguments are required: -zq/--zk_quorum"),
    (maas_service, "-zq 127.0.0.1:1 -zz", 1, "unrecognized arguments: -zz"),
    (maas_service, "-zq 127.0.0.1:1 -mm one", 255, "invalid -mm 'one': expected an integer"),
    (maas_service, "-zq 127.0.0.1:1 --timeout 1.5", 255, "invalid -t '1.5': expected an integer"),
    (maas_service, "-zq 127.0.0.1:1 -mm -5", 255, "Invalid memory specified for application master"),
    (maas_service, "-zq 127.0.0.1:1 --master_vcores=-5", 255, "exiting. Specified virtual cores=-5"),
]


@pytest.mark.parametrize(("command", "line", "status", "message"), REFUSED)
def test_invalid_values_give_metrons_exit_status(command, line, status, message, run, registry_dir):
    ended = run(command, *line.split())
    assert ended[:2] == (status, "")
    assert message in ended[2]
    assert "Traceback" not in ended[2]
    assert not registry_dir.exists()


ALL_OPTIONS = (
    ("-q default -t 1 -mm 10 -mc 2 -j a.jar -l log4j.properties -d id -va users -ma 2 -c -nle gpu -e A=1 -e B"),
    (
        "--queue default --timeout 1 --master_memory 10 --master_vcores 2 --jar a.jar --log4j l --domain id "
        "--view_acls users --modify_acls 2 --create --node_label_expression gpu --shell_env A=1"
    ),
)


@pytest.mark.parametrize("options", ALL_OPTIONS)
def test_a_service_that_does_not_start_in_time_is_ended_with_status_2(options, run, registry_dir):
    status, output, errors = run(maas_service, "-zq", "127.0.0.1:1", *options.split())
    assert (status, output) == (2, "")
    assert "the service did not start within 1 ms and was ended" in errors
    assert "-mm (--master_memory) has no effect: YARN is not used" in errors
    assert "-ma is for modify_acls; the number of cores is -mc" in errors
    assert "-t (--timeout)" not in errors
    assert (registry_dir / "service.log").exists()
