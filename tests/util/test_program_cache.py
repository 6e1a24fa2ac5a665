"""The cache of a program: which directory is used, and when it is written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import stellar
from stellar.util.disk_cache import UnsafeDirectory
from stellar.util.program_cache import VARIABLE, command_cache, current_cache, save_cache


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    (tmp_path / "home").mkdir()


def use_once(key: str = "key") -> bool:
    """Look up a value and store it; return True if it was cached."""
    pack = current_cache()
    assert pack is not None
    was_cached = pack.get(key) is not None
    pack.put(key, True)
    return was_cached


def test_a_program_has_no_cache_by_default() -> None:
    assert current_cache() is None
    save_cache()  # does nothing


def test_a_program_chooses_a_directory_and_a_name(tmp_path: Path) -> None:
    found = []
    for name in ("one", "one", "other"):
        stellar.cache(tmp_path / "cache", name)
        found.append(use_once())
        stellar.cache(None)  # writes what is new
    assert (found, current_cache()) == ([False, True, False], None)


def test_an_unsafe_directory_is_an_error(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(UnsafeDirectory, match="is writable by other users; run chmod go-w"):
        stellar.cache(shared)
    assert current_cache() is None


def test_the_variable_disables_the_caches_of_programs_and_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "off")
    stellar.cache(tmp_path / "cache")
    assert current_cache() is None
    with command_cache("command"):
        assert current_cache() is None
    assert sorted(each.name for each in tmp_path.iterdir()) == ["home"]


def test_a_command_uses_the_directory_of_the_user(tmp_path: Path) -> None:
    found = []
    for _ in range(2):
        with command_cache("command"):
            found.append(use_once())
    assert (found, current_cache()) == ([False, True], None)
    assert len(list((tmp_path / "xdg" / "stellar").iterdir())) == 1


@pytest.mark.skipif(sys.platform == "darwin", reason="XDG_CACHE_HOME is for other systems")
def test_a_relative_directory_of_the_user_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    with command_cache("command"):
        use_once()
    assert (tmp_path / "home" / ".cache" / "stellar").is_dir()


def test_a_command_restores_the_cache_of_the_program(tmp_path: Path) -> None:
    stellar.cache(tmp_path / "cache")
    try:
        before = current_cache()
        with command_cache("command"):
            assert current_cache() is not before
        assert current_cache() is before
    finally:
        stellar.cache(None)


def test_the_variable_names_another_directory_for_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "chosen"))
    with command_cache("command"):
        use_once()
    assert len(list((tmp_path / "chosen").iterdir())) == 1
    assert not (tmp_path / "xdg").exists()


def test_a_command_warns_of_an_unsafe_directory_only_if_the_variable_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = tmp_path / "xdg"
    shared.mkdir()
    shared.chmod(0o777)
    with command_cache("command"):
        assert current_cache() is None
    assert capsys.readouterr().err == ""
    monkeypatch.setenv(VARIABLE, str(shared))
    with command_cache("command"):
        assert current_cache() is None
    assert capsys.readouterr().err == (
        f"warning: no cache: '{shared}' is writable by other users; run chmod go-w {shared}, or use another one; "
        "unset STELLAR_CACHE, or set it to off\n"
    )


def test_a_cache_is_written_at_the_end_of_the_process(tmp_path: Path) -> None:
    code = (
        "import stellar; from stellar.util.program_cache import current_cache\n"
        f"stellar.cache({str(tmp_path / 'cache')!r}, 'name'); pack = current_cache()\n"
        "print(pack.get('key')); pack.put('key', 1)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    found = [
        subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()
        for _ in range(2)
    ]
    assert found == ["None", "1"]
