"""Large folders are listed from an index: what did not change is not read, and no answer is ever stale."""

from __future__ import annotations

import logging
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from children import environment, python, succeed
from records import a_run, dumped, saved

import auditkit as ak
from auditkit.sources.index import LEAST_FILES

SETTLED_SECONDS = 2.1
"""A file that changed within the last two seconds is not trusted."""
COUNT = LEAST_FILES + 30

_opened: list[str] = []
_watching: list[str] = []


def _note(event: str, arguments: Any) -> None:
    path = arguments[0] if event == "open" and _watching else None
    if isinstance(path, str) and path.startswith(_watching[0]):
        _opened.append(os.path.basename(path))


sys.addaudithook(_note)  # it cannot be taken away again


@contextmanager
def files_read(folder: Path) -> Iterator[list[str]]:
    """The names of the files that are opened in a folder meanwhile, as Python itself sees it."""
    _opened.clear()
    _watching[:] = [f"{folder}/"]
    names: list[str] = []
    try:
        yield names
    finally:
        _watching.clear()
        names += sorted(_opened)


def run_of(number: int, **changes: Any) -> bytes:
    return dumped(a_run(1, id=f"run-{number:05}", **changes))


def many_runs(made: Path) -> Path:
    for number in range(COUNT):
        saved(made / f"run-{number:05}.json", run_of(number))
    saved(made / "README", "no run at all")
    return made


@pytest.fixture(scope="module")
def both_folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two folders of so many runs that an index is kept, all of them settled."""
    folders = many_runs(tmp_path_factory.mktemp("still")), many_runs(tmp_path_factory.mktemp("changing"))
    time.sleep(SETTLED_SECONDS)
    return folders


@pytest.fixture
def folder(both_folders: tuple[Path, Path]) -> Path:
    """The one that nobody changes."""
    return both_folders[0]


@pytest.fixture
def changing(both_folders: tuple[Path, Path]) -> Path:
    """The one in which each test changes files of its own."""
    return both_folders[1]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("AUDITKIT_INDEX", raising=False)
    return tmp_path / "cache" / "auditkit"


def headers(place: Any, **options: Any) -> list[Any]:
    listing = ak.open_source(place, **options).listing()
    listing.failures.raise_if_any()
    return listing.headers


def truth(place: Any, **options: Any) -> list[Any]:
    """The same without any index."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUDITKIT_INDEX", "off")
        return headers(place, **options)


def index_file(cache: Path) -> Path:
    (path,) = (cache / "listings").iterdir()
    return path


def test_what_did_not_change_is_not_read_again(folder: Path) -> None:
    with files_read(folder) as first:
        seen = headers(folder)
    with files_read(folder) as second:
        again = headers(folder)
    assert len(set(first)) == COUNT + 1
    assert second == []
    assert seen == again == truth(folder)


def test_a_changed_file_alone_is_read_and_tells_what_it_holds_now(changing: Path) -> None:
    headers(changing)
    path = saved(changing / "run-00010.json", run_of(10, reviewer="admin-9"))
    with files_read(changing) as read:
        seen = headers(changing)
    assert set(read) == {path.name}
    assert seen[10].reviewer == "admin-9"
    assert [header for header in seen if header.reviewer == "admin-9"] == [seen[10]]


def test_a_change_that_keeps_size_and_time_of_a_file_is_seen(changing: Path) -> None:
    path = changing / "run-00011.json"
    headers(changing)
    before = path.stat()
    saved(path, run_of(11, reviewer="admin-2"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    now = path.stat()
    assert (now.st_size, now.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert headers(changing)[11].reviewer == "admin-2"


def test_a_file_that_took_the_place_of_another_is_seen(changing: Path, tmp_path: Path) -> None:
    path = changing / "run-00012.json"
    headers(changing)
    other = saved(tmp_path / "other", run_of(12, reviewer="admin-3"))
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    os.replace(other, path)
    assert headers(changing)[12].reviewer == "admin-3"


def test_files_that_came_and_went_are_seen(changing: Path) -> None:
    headers(changing)
    new = saved(changing / "run-99999.json", run_of(99999))
    gone = changing / "run-00013.json"
    kept = gone.read_bytes()
    gone.unlink()
    ids = [header.id for header in headers(changing)]
    assert (ids[-1], len(ids), "run-00013" in ids) == ("run-99999", COUNT, False)
    new.unlink()
    saved(gone, kept)
    assert headers(changing) == truth(changing)


def test_what_changed_a_moment_ago_is_read_again_the_next_time(changing: Path) -> None:
    path = saved(changing / "run-00014.json", run_of(14))
    headers(changing)
    with files_read(changing) as read:
        headers(changing)
    assert path.name in read
    time.sleep(SETTLED_SECONDS)
    headers(changing)
    with files_read(changing) as read:
        headers(changing)
    assert path.name not in read


def test_opening_a_run_by_its_id_reads_its_file_alone(folder: Path) -> None:
    headers(folder)
    with files_read(folder) as read:
        (run,) = ak.open_source(folder).open(["run-00500"])
        assert isinstance(run, ak.AuditRun)
        assert len(run.results) == 1
    assert set(read) == {"run-00500.json"}


def test_a_broken_file_is_told_of_each_time(changing: Path) -> None:
    path = changing / "run-00015.json"
    sound = path.read_bytes()
    saved(path, sound[:50])
    try:
        for _ in range(2):
            failures = ak.open_source(changing).listing().failures
            assert [failure.file for failure in failures.rows] == [str(path)]
    finally:
        saved(path, sound)


def test_what_changes_the_answer_has_an_index_of_its_own(changing: Path, cache: Path) -> None:
    path = changing / "run-00016.json"
    sound = path.read_bytes()
    saved(path, sound.replace(b'"reviewer"', b'"reviewer": "twice", "reviewer"', 1))
    try:
        headers(changing)
        assert ak.open_source(changing, strict=True).listing().failures.count == 1
        headers(changing)
        assert len(list((cache / "listings").iterdir())) == 2
    finally:
        saved(path, sound)


def test_a_glob_is_remembered_and_a_folder_is_by_whichever_name(folder: Path, tmp_path: Path) -> None:
    seen = headers(f"{folder}/*.json")
    with files_read(folder) as read:
        assert headers(f"{folder}/*.json") == seen
    assert read == []
    headers(folder)
    link = tmp_path / "link"
    link.symlink_to(folder)
    with files_read(link) as read:
        assert headers(link) == seen
    assert read == []


def test_few_files_leave_no_trace(tmp_path: Path, cache: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for number in range(3):
        saved(few / f"run-{number:05}.json", run_of(number))
    assert len(headers(few)) == 3
    assert not cache.exists()


def test_switched_off_it_leaves_no_trace(folder: Path, cache: Path) -> None:
    truth(folder)
    assert not cache.exists()


def test_nobody_else_may_read_it(folder: Path, cache: Path) -> None:
    old = os.umask(0)
    try:
        headers(folder)
    finally:
        os.umask(old)
    modes = [path.stat().st_mode & 0o777 for path in (cache, cache / "listings", index_file(cache))]
    assert modes == [0o700, 0o700, 0o600]


def garbage(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def nothing(path: Path) -> None:
    path.write_bytes(b"")


def half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def gone(path: Path) -> None:
    shutil.rmtree(path.parents[1])


def a_file_in_its_place(path: Path) -> None:
    shutil.rmtree(path.parents[1])
    path.parents[1].write_text("")


def another_table(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE parts")
    connection.close()


def other_data(data: Any) -> Any:
    """What puts something else into the rows of an index, with a checksum that is right where it can be."""

    def harm(path: Path) -> None:
        with sqlite3.connect(path) as connection:
            crc = zlib.crc32(data) if isinstance(data, bytes) else 0
            connection.execute("UPDATE parts SET data = ?, crc = ?", (data, crc))
        connection.close()

    return harm


no_data, text, number = other_data(None), other_data("text"), other_data(12)
another_shape = other_data(msgspec.msgpack.encode([1, 2]))
headers_lacking = other_data(msgspec.msgpack.encode([["a"], [[1, 1, 1, 1, False]], []]))
HARMS = [garbage, nothing, half, gone, a_file_in_its_place, another_table]
HARMS += [no_data, text, number, another_shape, headers_lacking]


@pytest.mark.parametrize("harm", HARMS)
def test_whatever_becomes_of_its_file_the_listing_is_right(
    folder: Path, cache: Path, caplog: pytest.LogCaptureFixture, harm: Any
) -> None:
    expected = headers(folder)
    harm(index_file(cache))
    with caplog.at_level(logging.INFO):
        assert headers(folder) == expected
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []
    if harm is not a_file_in_its_place:  # it was made anew
        headers(folder)
        with files_read(folder) as read:
            assert headers(folder) == expected
        assert read == []


def test_while_another_process_holds_it_the_files_are_read(folder: Path, cache: Path) -> None:
    expected = headers(folder)
    connection = sqlite3.connect(index_file(cache), isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    started = time.perf_counter()
    with files_read(folder) as read:
        assert headers(folder) == expected
    connection.execute("ROLLBACK")
    connection.close()
    assert len(set(read)) == COUNT + 1
    assert time.perf_counter() - started < 5  # it does not wait for it


def test_where_the_cache_cannot_be_written_the_files_are_read(folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "closed"
    home.mkdir(mode=0o500)
    script = f"import auditkit as ak; print(len(ak.list_available_runs(source={str(folder)!r})))"
    done = python("-c", script, cwd=tmp_path, env={"XDG_CACHE_HOME": str(home)}, humble=True)
    assert (succeed(done).strip(), done.stderr) == (str(COUNT), "")
    assert list(home.iterdir()) == []


def test_without_a_home_the_files_are_read(folder: Path, tmp_path: Path) -> None:
    script = f"""
import os, pathlib
os.environ.pop("XDG_CACHE_HOME"), os.environ.pop("HOME", None)
import pwd
def of_nobody(uid): raise KeyError(uid)
pwd.getpwuid = of_nobody  # a container whose user has no entry
import auditkit as ak
print(len(ak.list_available_runs(source={str(folder)!r})))
"""
    done = python("-c", script, cwd=tmp_path, env={"XDG_CACHE_HOME": str(tmp_path)})
    assert (succeed(done).strip(), done.stderr) == (str(COUNT), "")


def test_a_byte_that_turned_over_in_it_never_shows(folder: Path, cache: Path) -> None:
    expected = headers(folder)
    path = index_file(cache)
    sound = path.read_bytes()
    chance = random.Random(20240115)
    for _ in range(25):
        harmed = bytearray(sound)
        for _ in range(chance.choice([1, 4, 100])):
            harmed[chance.randrange(len(harmed))] ^= 1 << chance.randrange(8)
        path.write_bytes(harmed)
        assert headers(folder) == expected


def test_the_listing_does_come_from_it(folder: Path, cache: Path) -> None:
    """The control of the trials above: an index that lies with a right checksum is believed."""
    headers(folder)
    connection = sqlite3.connect(index_file(cache))
    for number, data in connection.execute("SELECT number, data FROM parts").fetchall():
        names, stamps, found = msgspec.msgpack.decode(data)
        for headers_of_file in found:
            for header in headers_of_file:
                header["reviewer"] = "liar"
        lie = msgspec.msgpack.encode([names, stamps, found])
        connection.execute(
            "UPDATE parts SET data = ?, crc = ? WHERE number = ?", (lie, zlib.crc32(lie), number)
        )
    connection.commit()
    connection.close()
    assert {header.reviewer for header in headers(folder)} == {"liar"}


def test_several_processes_may_list_at_once(folder: Path, tmp_path: Path) -> None:
    script = f"""
import auditkit as ak
for _ in range(6):
    assert len(ak.list_available_runs(source={str(folder)!r})) == {COUNT}
"""
    env = environment(XDG_CACHE_HOME=str(tmp_path / "shared"))
    children = [
        subprocess.Popen([sys.executable, "-c", script], env=env, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for child in children:
        _, said = child.communicate(timeout=60)
        assert (child.returncode, said) == (0, "")
