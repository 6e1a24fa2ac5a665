"""What docs/maas.md shows, done as it says."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

from stellar.maas import FileRegistry

TEXT = (Path(__file__).parents[2] / "docs/maas.md").read_text()


def test_the_model_and_the_python_of_the_documentation_work(maas, tmp_path, place, monkeypatch):
    model, program, stream = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "dga").mkdir()
    (tmp_path / "dga/dga.py").write_text(model)
    (tmp_path / "dga/dga.sh").write_text("exec python3 dga.py\n")
    maas("serve", "--drain-seconds", 0)
    section = TEXT.partition("## Deploy\n")[2].partition("\n## ")[0]
    lines = [line.split()[2:] for line in section.splitlines() if line.startswith("    maas deploy -")]
    for line in lines:
        ended = maas("deploy", *[word.replace("./dga", str(tmp_path / "dga")) for word in line])
        assert ended.returncode == 0, ended
        if "ADD" in line:
            url = FileRegistry(place).endpoint("dga").url
            with urllib.request.urlopen(f"{url}/apply?host=yahoo.com", timeout=5) as answer:
                assert answer.read() == b'{"is_malicious": "legit"}'
            monkeypatch.setenv("MAAS_HOME", str(place))
            last = program.rstrip().rpartition("\n    ")
            seen = {}
            exec(f"{last[0]}\n    seen = {last[2]}", seen)
            assert seen["seen"] == {"is_malicious": "legit"}
            exec(stream, seen)
            assert seen["verdicts"] == ["legit", "malicious"]
    assert [line[line.index("-mo") + 1] for line in lines] == ["ADD", "LIST", "REMOVE"]
    assert FileRegistry(place).instances() == ()


def test_the_commands_for_versions_and_traffic_do_what_is_written(maas, collateral, tmp_path, place):
    section = TEXT.partition("## Versions and traffic\n")[2].partition("\n## ")[0]
    lines = [line.split()[1:] for line in section.splitlines() if line.startswith("    maas ")]
    (promoted,) = re.findall(r"`maas (deploy [^`…]* --replace)`", section)
    maas("serve", "--drain-seconds", 0)
    add = ("-mo", "ADD", "-n", "dga", "-v", "1.0", "-ni", 3, "-m", 512, "-hmp", "/user/me/dga/1.0")
    assert maas("deploy", "-lmp", collateral(), *add, "--wait").returncode == 0
    said = []
    for line in [*lines, [*promoted.split(), "--wait"]]:
        ended = maas(*[word.replace("./dga2", str(collateral())) for word in line])
        assert ended.returncode == 0, ended
        said.append(ended.stdout.splitlines()[-1])
        with FileRegistry(place) as registry:
            assert [instance.model.version for instance in registry.instances()] == ["2.0"] * 3
    assert said == [
        "dga @ 2.0: 3 ready, the others are gone",
        *["dga: calls go to 1.0 0 %, 2.0 100 %"] * 2,
        "dga: calls go to 1.0 0 %, 2.0 100 %; 10 % also to 2.0, its shadow",
        "dga @ 2.0: 3 ready, the others are gone",
    ]
