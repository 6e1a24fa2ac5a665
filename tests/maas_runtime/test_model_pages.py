"""The Python on the pages on models works with the model that they show."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

from stellar.maas import FileRegistry

PAGES = Path(__file__).parents[2] / "docs/models"


def read_python(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (PAGES / page).read_text(encoding="utf-8"), re.DOTALL)


def test_the_model_and_the_python_of_the_documentation_work(maas, tmp_path, registry_dir, monkeypatch):
    (model,), (program, stream) = read_python("index.md"), read_python("call.md")
    (tmp_path / "dga").mkdir()
    (tmp_path / "dga/dga.py").write_text(model)
    (tmp_path / "dga/dga.sh").write_text("exec python3 dga.py\n")
    maas("serve", "--drain-seconds", 0)
    at = ("-n", "dga", "-v", "1.0", "-ni", 1, "-m", 512, "-hmp", "/user/me/dga/1.0")
    result = maas("deploy", "-mo", "ADD", "-lmp", tmp_path / "dga", *at, "--wait")
    assert result.returncode == 0, result
    with FileRegistry(registry_dir) as registry:
        url = registry.endpoint("dga").url
    with urllib.request.urlopen(f"{url}/apply?host=yahoo.com", timeout=5) as response:
        assert response.read() == b'{"is_malicious": "legit"}'
    monkeypatch.setenv("MAAS_HOME", str(registry_dir))
    first, _, last = program.rstrip().rpartition("\n    ")
    names = {}
    exec(f"{first}\n    result = {last}", names)
    assert names["result"] == {"is_malicious": "legit"}
    exec(stream, names)
    assert names["verdicts"] == ["legit", "malicious"]
