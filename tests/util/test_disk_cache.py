"""Cached values: what is read again, and which directories and files are refused."""

from __future__ import annotations

import marshal
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from stellar.util import disk_cache
from stellar.util.disk_cache import DRAFT_SUFFIX, SUFFIX, CacheDirectory, Pack, UnsafeDirectory

OTHER_USER = 54321
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can create files of other users")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def store(directory: Path, key: str = "key", value: object = "value", name: str = "program") -> Path:
    """Store a value and return the file with it."""
    before = set(directory.glob(f"*{SUFFIX}")) if directory.exists() else set()
    pack = Pack(CacheDirectory(directory), name)
    pack.put(key, value)
    pack.save()
    written = set(directory.glob(f"*{SUFFIX}"))
    [file] = written - before or written
    return file


def load(directory: Path, key: str = "key", name: str = "program") -> object:
    return Pack(CacheDirectory(directory), name).get(key)


# -- Values -----------------------------------------------------------------------------------------------------------


def test_a_later_process_reads_what_was_stored(directory: Path) -> None:
    store(directory, "numbers", (1, 2.5, "three", None, frozenset({4}), {"five": [6]}))
    assert load(directory, "numbers") == (1, 2.5, "three", None, frozenset({4}), {"five": [6]})
    assert load(directory, "others") is None


def test_values_in_many_chunks_are_found(directory: Path) -> None:
    pack = Pack(CacheDirectory(directory), "program")
    for number in range(1000):
        pack.put(f"key {number}", number)
    pack.save()
    later = Pack(CacheDirectory(directory), "program")
    assert [later.get(f"key {number}") for number in (999, 0, 500, 999)] == [999, 0, 500, 999]
    later.put("new", -1)
    later.save()
    assert [load(directory, key) for key in ("key 0", "key 999", "new")] == [0, 999, -1]


def test_programs_have_files_of_their_own(directory: Path) -> None:
    store(directory, value=1, name="one")
    store(directory, value=2, name="other")
    assert (load(directory, name="one"), load(directory, name="other")) == (1, 2)


def test_a_value_that_cannot_be_written_is_not_cached(directory: Path) -> None:
    pack = Pack(CacheDirectory(directory), "program")
    pack.put("key", object())
    pack.save()
    assert (pack.get("key"), list(directory.iterdir())) == (None, [])


def test_nothing_is_written_unless_a_value_is_new(directory: Path) -> None:
    file = store(directory)
    before = file.stat().st_ino
    pack = Pack(CacheDirectory(directory), "program")
    assert pack.get("key") == "value"
    pack.save()
    assert file.stat().st_ino == before  # a replaced file would be another one


def test_values_that_other_processes_wrote_in_the_meantime_are_merged(directory: Path) -> None:
    packs = [Pack(CacheDirectory(directory), "program") for _ in range(2)]
    for number, pack in enumerate(packs):
        assert pack.get("key") is None
        pack.put(f"key {number}", number)
    for pack in packs:
        pack.save()
    assert [load(directory, f"key {number}") for number in range(2)] == [0, 1]


def test_a_full_file_has_the_values_that_were_used_last(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_cache, "MOST_FILE_BYTES", 17_000)
    monkeypatch.setattr(disk_cache, "_CHUNK", 1)
    first = Pack(CacheDirectory(directory), "program")
    for number in range(4):
        first.put(f"old {number}", "x" * 1000)
    first.save()
    second = Pack(CacheDirectory(directory), "program")
    assert second.get("old 3") is not None
    second.put("new", "x" * 1000)
    second.save()
    found = {key for key in ("old 0", "old 1", "old 2", "old 3", "new") if load(directory, key) is not None}
    assert {"old 3", "new"} <= found
    assert len(found) == 4


def test_the_files_that_were_not_used_for_longest_are_removed(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_cache, "MOST_FILES", 2)
    files = [store(directory, name=f"program {number}") for number in range(2)]
    now = time.time()
    os.utime(files[0], (now - 10, now - 10))
    os.utime(files[1], (now - 20, now - 20))
    newest = store(directory, name="program 2")
    assert set(directory.iterdir()) == {files[0], newest}


def test_the_bytes_of_all_files_are_limited(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_cache, "MOST_BYTES", 2500)
    for number in range(5):
        file = store(directory, value="x" * 1000, name=f"program {number}")
        os.utime(file, (number, number))
    assert len(list(directory.iterdir())) == 2


def test_reading_a_file_counts_as_use(directory: Path) -> None:
    file = store(directory)
    os.utime(file, (1, 1))
    assert load(directory) == "value"
    assert time.time() - file.stat().st_mtime < 3600


def test_drafts_of_processes_that_were_killed_are_removed(directory: Path) -> None:
    store(directory)
    old, new = directory / f".x.0123{DRAFT_SUFFIX}", directory / f".x.4567{DRAFT_SUFFIX}"
    old.write_bytes(b"")
    new.write_bytes(b"")
    os.utime(old, (1, 1))
    store(directory, name="other")
    assert (old.exists(), new.exists()) == (False, True)


def test_files_of_others_in_the_directory_stay(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_cache, "MOST_FILES", 1)
    store(directory)
    others = {directory / name for name in (".profile", ".x.0123", "other.cache")}
    for file in others:
        file.write_bytes(b"")
        os.utime(file, (1, 1))
    newest = store(directory, name="other")
    assert set(directory.iterdir()) == {*others, newest}


def test_a_fork_writes_nothing(directory: Path) -> None:
    pack = Pack(CacheDirectory(directory), "program")
    pack.put("key", 1)
    child = os.fork()
    if child == 0:
        pack.save()
        os._exit(0)
    os.waitpid(child, 0)
    assert list(directory.iterdir()) == []
    pack.save()
    assert load(directory) == 1


def test_processes_that_write_at_once_leave_one_complete_file(directory: Path) -> None:
    code = (
        "import sys; from stellar.util.disk_cache import CacheDirectory, Pack\n"
        "for number in range(100):\n"
        "    pack = Pack(CacheDirectory(sys.argv[1]), 'program')\n"
        "    assert pack.get('shared') in (None, 'x' * 50_000)\n"
        "    pack.put('shared', 'x' * 50_000)\n"
        "    pack.put(f'{sys.argv[2]} {number}', number)\n"
        "    pack.save()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(directory), str(number)], env=environment)
        for number in range(2)
    ]
    assert [writer.wait(120) for writer in writers] == [0, 0]
    assert load(directory, "shared") == "x" * 50_000
    assert len(list(directory.iterdir())) == 1


# -- Files that are ignored -------------------------------------------------------------------------------------------


def truncate(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 1)


def truncate_to_nothing(file: Path) -> None:
    os.truncate(file, 0)


def flip_a_bit_of_the_values(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-3] ^= 4
    file.write_bytes(content)


def flip_a_bit_of_the_version(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[20] ^= 4
    file.write_bytes(content)


def replace_by_a_link(file: Path) -> None:
    file.rename(file.with_name("target"))
    file.symlink_to("target")


def replace_by_a_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def replace_by_a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def replace_by_plain_marshal(file: Path) -> None:
    file.write_bytes(marshal.dumps({"key": marshal.dumps("value")}))


def make_writable_by_the_group(file: Path) -> None:
    file.chmod(0o660)


def make_huge(file: Path) -> None:
    os.truncate(file, disk_cache.MOST_FILE_BYTES + 1)


def give_to_another_user(file: Path) -> None:
    os.chown(file, OTHER_USER, OTHER_USER)


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        truncate_to_nothing,
        flip_a_bit_of_the_values,
        flip_a_bit_of_the_version,
        replace_by_a_link,
        replace_by_a_pipe,
        replace_by_plain_marshal,
        make_writable_by_the_group,
        make_huge,
        pytest.param(give_to_another_user, marks=AS_ROOT),
    ],
)
def test_a_file_that_cannot_be_trusted_is_a_miss_and_is_replaced(
    directory: Path, damage: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = store(directory)
    damage(file)
    with monkeypatch.context() as patch:
        patch.setattr(disk_cache.marshal, "loads", lambda _: pytest.fail("untrusted content was unmarshalled"))
        assert load(directory) is None
    store(directory)
    assert load(directory) == "value"


def test_a_directory_instead_of_the_file_is_a_miss(directory: Path) -> None:
    file = store(directory)
    replace_by_a_directory(file)
    pack = Pack(CacheDirectory(directory), "program")
    assert pack.get("key") is None
    pack.put("key", 1)
    pack.save()
    assert sorted(each.name for each in directory.iterdir()) == [file.name]  # no draft remains


def test_the_reason_to_ignore_a_file_is_logged(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    truncate(store(directory))
    with caplog.at_level("INFO"):
        load(directory)
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == ["ignored: damaged"]


@pytest.mark.parametrize("options", [["-O"], ["-X", "no_debug_ranges"]], ids=" ".join)
def test_other_interpreter_options_have_files_of_their_own(directory: Path, options: list[str]) -> None:
    code = (
        "import sys; from stellar.util.disk_cache import CacheDirectory, Pack\n"
        "print(Pack(CacheDirectory(sys.argv[1]), 'program').get('key'))\n"
    )
    store(directory)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    found = [
        subprocess.run(
            [sys.executable, *given, "-c", code, str(directory)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for given in ([], options)
    ]
    assert found == ["value", "None"]


# -- Failures to write ------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_file_as_it_is(directory: Path) -> None:
    store(directory)
    pack = Pack(CacheDirectory(directory), "program")
    pack.put("big", "x" * 100_000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        pack.save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(list(directory.iterdir())) == 1  # no draft remains
    assert (load(directory), load(directory, "big")) == ("value", None)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_directory_is_read(directory: Path) -> None:  # pragma: no cover
    store(directory)
    pack = Pack(CacheDirectory(directory), "program")
    directory.chmod(0o500)
    try:
        assert pack.get("key") == "value"
        pack.put("other", 1)
        pack.save()
        assert load(directory) == "value"
    finally:
        directory.chmod(0o700)


# -- Directories that are refused -------------------------------------------------------------------------------------


def test_a_new_directory_is_private(tmp_path: Path) -> None:
    CacheDirectory(tmp_path / "a" / "b")
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "a/b")] == [0o700, 0o700]


def test_a_directory_that_others_can_write_is_refused(directory: Path) -> None:
    store(directory)
    directory.chmod(0o777)
    with pytest.raises(UnsafeDirectory, match=r"'.*cache' is writable by other users; run chmod go-w .*cache, or use"):
        CacheDirectory(directory)
    directory.chmod(0o1777)
    with pytest.raises(UnsafeDirectory, match="is writable by other users"):
        CacheDirectory(directory)


def test_a_parent_that_others_can_write_is_refused(tmp_path: Path) -> None:
    parent = tmp_path / "shared"
    store(parent / "cache")
    parent.chmod(0o770)
    with pytest.raises(UnsafeDirectory, match=r"'.*shared' is writable by other users"):
        CacheDirectory(parent / "cache")


def test_a_sticky_parent_such_as_tmp_is_accepted(tmp_path: Path) -> None:
    parent = tmp_path / "shared"
    parent.mkdir()
    parent.chmod(0o1777)
    store(parent / "cache")
    assert load(parent / "cache") == "value"


def test_a_link_is_refused(tmp_path: Path, directory: Path) -> None:
    store(directory)
    (tmp_path / "link").symlink_to(directory)
    with pytest.raises(UnsafeDirectory, match=r"'.*link' is a symbolic link"):
        CacheDirectory(tmp_path / "link")


def test_links_among_the_parents_are_resolved_and_their_targets_checked(tmp_path: Path) -> None:
    real = tmp_path / "real"
    store(real / "cache")
    (tmp_path / "link").symlink_to(real)
    assert load(tmp_path / "link" / "cache") == "value"
    real.chmod(0o777)
    with pytest.raises(UnsafeDirectory, match=r"'.*real' is writable by other users"):
        CacheDirectory(tmp_path / "link" / "cache")


def test_a_file_is_refused(directory: Path) -> None:
    directory.write_text("")
    with pytest.raises(UnsafeDirectory, match="is not a directory"):
        CacheDirectory(directory)


@AS_ROOT
@pytest.mark.parametrize("of_another", ["cache", "."])
def test_root_uses_no_directory_of_another_user(directory: Path, of_another: str) -> None:
    store(directory / "cache")
    os.chown(directory / of_another, OTHER_USER, OTHER_USER)
    with pytest.raises(UnsafeDirectory, match="belongs to another user"):
        CacheDirectory(directory / "cache")


@AS_ROOT
def test_a_user_uses_a_directory_below_those_of_root_but_none_of_root_itself() -> None:
    code = (
        "import os, sys; from stellar.util.disk_cache import CacheDirectory, Pack\n"
        f"os.setresgid({OTHER_USER}, {OTHER_USER}, {OTHER_USER}); os.setresuid({OTHER_USER}, {OTHER_USER}, -1)\n"
        "for directory in sys.argv[1:]:\n"
        "    try: pack = Pack(CacheDirectory(directory), 'program'); pack.put('key', 1); pack.save(); print('used')\n"
        "    except OSError as error: print(type(error).__name__)\n"
    )
    with TemporaryDirectory() as parent:  # that of pytest is private
        Path(parent).chmod(0o755)
        roots, users = Path(parent, "roots"), Path(parent, "users")
        for each in (roots, users):
            each.mkdir(mode=0o755)
        os.chown(users, OTHER_USER, OTHER_USER)
        done = subprocess.run(
            [sys.executable, "-c", code, str(roots), str(users)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stdout.split() == ["UnsafeDirectory", "used"]
