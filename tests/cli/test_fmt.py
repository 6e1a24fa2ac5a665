"""`stellar fmt` replaces files atomically."""

from __future__ import annotations

import os
import re

import pytest

from stellar.cli import main

BEFORE, AFTER = "x:=1\n", "x := 1\n"


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "rules.stellar"
    file.write_text(BEFORE)
    return file


def test_a_file_is_written_in_place_with_its_permissions(file, tmp_path, capsys):
    file.chmod(0o640)
    assert main(["fmt", str(file)]) == 0
    assert file.read_text() == AFTER
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["rules.stellar"]
    assert capsys.readouterr() == ("", f"{file}: formatted\n")


def test_a_formatted_file_is_not_written(file, capsys):
    file.write_text(AFTER)
    before = file.stat()
    assert main(["fmt", str(file)]) == 0
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("option", ["--check", "--diff"])
def test_check_and_diff_write_nothing(file, option):
    main(["fmt", option, str(file)])
    assert file.read_text() == BEFORE


def test_check_and_diff_can_be_combined(file, capsys):
    assert main(["fmt", "--check", "--diff", str(file)]) == 1
    out, err = capsys.readouterr()
    assert "-x:=1\n+x := 1\n" in out
    assert err == f"{file} would be formatted\n"


def test_a_difference_shows_that_the_last_line_had_no_end(file, capsys):
    file.write_bytes("x := 1\n// é\u2028\ny := 2".encode())
    assert main(["fmt", "--diff", str(file)]) == 0
    diff = capsys.readouterr().out.split("\n", 2)[2]
    assert diff == "@@ -1,3 +1,3 @@\n x := 1\n-// é\u2028\n-y := 2\n\\ No newline at end of file\n+// é\n+y := 2\n"


def test_line_ends_and_a_byte_order_mark_stay(file):
    file.write_bytes(b"\xef\xbb\xbfx:=1\r\ny:=2\r\n")
    assert main(["fmt", str(file)]) == 0
    assert file.read_bytes() == b"\xef\xbb\xbfx := 1\r\ny := 2\r\n"


def test_a_link_stays_a_link(file, tmp_path):
    link = tmp_path / "link.stellar"
    link.symlink_to(file)
    assert main(["fmt", str(link)]) == 0
    assert link.is_symlink()
    assert file.read_text() == AFTER


def test_a_file_that_cannot_be_written_stays_unchanged(file, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    assert main(["fmt", str(file)]) == 2
    assert capsys.readouterr().err == f"stellar: can't write {file}: No space left on device\n"
    assert file.read_text() == BEFORE
    assert os.listdir(file.parent) == ["rules.stellar"]


def test_an_invalid_file_does_not_affect_others(file, tmp_path):
    (tmp_path / "bad.stellar").write_text("1 +")
    assert main(["fmt", str(tmp_path / "bad.stellar"), str(file)]) == 1
    assert file.read_text() == AFTER


def test_only_the_expressions_of_a_configuration_are_changed(tmp_path):
    folder = tmp_path / "parsers"
    folder.mkdir()
    file = folder / "squid.json"
    file.write_text(
        '{ // the sensor\n  "sensorTopic":"squid" ,\n  "fieldTransformations" : [ {"transformation":"STELLAR",\n'
        '  "output":["a","b"], "config" : { "a":"TO_UPPER( \\"é\\" )",\n "b" : "x\\n  and  y // why" } } ]\n}'
    )
    assert main(["fmt", str(file)]) == 0
    assert file.read_text() == (
        '{ // the sensor\n  "sensorTopic":"squid" ,\n  "fieldTransformations" : [ {"transformation":"STELLAR",\n'
        '  "output":["a","b"], "config" : { "a":"TO_UPPER(\'é\')",\n "b" : "x and y  // why" } } ]\n}'
    )


@pytest.mark.parametrize("width", ["19", "wide", "-5"])
def test_a_width_is_an_integer_of_at_least_20(width, capsys):
    with pytest.raises(SystemExit):
        main(["fmt", "--width", width, "-e", "1"])
    assert re.search(
        rf"invalid width {width}: expected an integer of at least 20|expected one argument", capsys.readouterr().err
    )
