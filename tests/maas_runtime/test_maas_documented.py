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
    lines = [line.split()[2:] for line in TEXT.splitlines() if line.startswith("    maas deploy -")]
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
