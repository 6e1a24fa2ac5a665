"""`stellar fmt` writes files in place: whole, or not at all."""

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


def test_a_file_that_looks_right_is_not_written(file, capsys):
    file.write_text(AFTER)
    before = file.stat()
    assert main(["fmt", str(file)]) == 0
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("option", ["--check", "--diff"])
def test_with_an_option_nothing_is_written(file, option):
    main(["fmt", option, str(file)])
    assert file.read_text() == BEFORE


def test_check_and_diff_go_together(file, capsys):
    assert main(["fmt", "--check", "--diff", str(file)]) == 1
    out, err = capsys.readouterr()
    assert "-x:=1\n+x := 1\n" in out
    assert err == f"{file} would be formatted\n"


def test_a_difference_shows_that_the_last_line_had_no_end(file, capsys):
    file.write_bytes("x := 1\n// é\u2028\ny := 2".encode())
    assert main(["fmt", "--diff", str(file)]) == 0
    shown = capsys.readouterr().out.split("\n", 2)[2]
    assert shown == "@@ -1,3 +1,3 @@\n x := 1\n-// é\u2028\n-y := 2\n\\ No newline at end of file\n+// é\n+y := 2\n"


def test_line_ends_and_a_mark_stay(file):
    file.write_bytes(b"\xef\xbb\xbfx:=1\r\ny:=2\r\n")
    assert main(["fmt", str(file)]) == 0
    assert file.read_bytes() == b"\xef\xbb\xbfx := 1\r\ny := 2\r\n"


def test_a_link_stays_a_link(file, tmp_path):
    link = tmp_path / "link.stellar"
    link.symlink_to(file)
    assert main(["fmt", str(link)]) == 0
    assert link.is_symlink()
    assert file.read_text() == AFTER


def test_a_file_that_can_not_be_written_stays(file, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    assert main(["fmt", str(file)]) == 2
    assert capsys.readouterr().err == f"stellar: can't write {file}: No space left on device\n"
    assert file.read_text() == BEFORE
    assert os.listdir(file.parent) == ["rules.stellar"]


def test_what_fails_does_not_keep_others_from_being_formatted(file, tmp_path):
    (tmp_path / "bad.stellar").write_text("1 +")
    assert main(["fmt", str(tmp_path / "bad.stellar"), str(file)]) == 1
    assert file.read_text() == AFTER


def test_a_configuration_is_changed_in_its_texts_alone(tmp_path):
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
def test_a_width_is_a_number(width, capsys):
    with pytest.raises(SystemExit):
        main(["fmt", "--width", width, "-e", "1"])
    assert re.search(rf"a width is a number, 20 or more, not {width}|expected one argument", capsys.readouterr().err)
