"""The export log after a crash or an interruption: whoever comes next says what became of each export."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import judge
import pytest
from children import DAY
from judge import LOG, TORN, sha256
from logs import (
    NAME,
    RUN_001,
    begun,
    entries,
    put,
    replaced,
    struck,
    told,
    written,
)
from records import saved

import auditkit as ak
from auditkit.errors import VerificationError
from auditkit.exportlog import ExportLog
from auditkit.publish import Draft, publish

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


# --- what died before -----------------------------------------------------------------------------------


@contextlib.contextmanager
def remains(folder: Path, kind: str) -> Iterator[str]:
    """What stands there of an export of `old`; what is to be told of it."""
    path = folder / NAME
    if kind == "nothing":
        yield "failed"
    elif kind == "the file":
        path.write_bytes(b"old\n")
        yield NAME
    elif kind == "a later version":
        path.write_bytes(b"another\n")
        (folder / f"audit-run-a-{DAY}-17.csv").write_bytes(b"old\n")
        yield f"audit-run-a-{DAY}-17.csv"
    elif kind == "the file beside a version with the same bytes":  # it has just replaced another
        path.write_bytes(b"old\n")
        (folder / f"audit-run-a-{DAY}-2.csv").write_bytes(b"old\n")
        yield NAME
    elif kind == "two versions":  # the first that fits is the one that is taken
        path.write_bytes(b"another\n")
        for number in (2, 10):
            (folder / f"audit-run-a-{DAY}-{number}.csv").write_bytes(b"old\n")
        yield f"audit-run-a-{DAY}-2.csv"
    elif kind == "other bytes of that size":
        path.write_bytes(b"odd\n")
        yield "failed"
    elif kind == "a link to the file":
        saved(folder.parent / "elsewhere", b"old\n")
        path.symlink_to(folder.parent / "elsewhere")
        yield "failed"
    elif kind == "a folder":
        path.mkdir()
        yield "failed"
    else:
        (folder / "audit-run-b-2024-01-15.csv").write_bytes(b"old\n")
        yield "failed"


KINDS = (
    "nothing", "the file", "a later version", "other bytes of that size", "a link to the file", "a folder",
    "another name", "the file beside a version with the same bytes", "two versions",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_whoever_writes_next_says_what_became_of_an_export_that_died(out: Path, kind: str) -> None:
    known = {"rows": "1 of 1", "run_ids": ["a"], "source": "s", "options": {"x": 1}, "filter": "f"}
    written(out, begun(b"old\n", actor="the dead", **known))
    with remains(out, kind) as expected:
        put(out, name=RUN_001)
        settled = entries(out)[1]
        assert (settled["begin"], settled["sha256"], settled["bytes"]) == (1, sha256(b"old\n"), 4)
        assert {name: settled[name] for name in known} == known
        assert settled["actor"] != "the dead"  # who says so is who found it
        if expected == "failed":
            assert settled["event"] == "failed"
            assert (settled["path"], settled["error"]) == (NAME, "interrupted before the file was there")
        else:
            assert (settled["event"], settled["path"]) == ("recovered", expected)
    assert [e["event"] for e in entries(out)[2:]] == ["begin", "commit"]


@pytest.mark.parametrize("manifest", [b"old\n", b"other\n", None])
def test_a_bag_that_died_is_known_by_its_manifest(out: Path, manifest: bytes | None) -> None:
    written(out, begun(b"old\n", "bag", format="bag"))
    (out / "bag").mkdir()
    if manifest is not None:
        (out / "bag" / "manifest-sha256.txt").write_bytes(manifest)
    put(out)
    whole = manifest == b"old\n"
    assert told(out)[1] == ("recovered" if whole else "failed", "bag", 1)


@pytest.mark.parametrize(
    "path", ["no/such/folder/a", NAME + "/a", "x" * 5000 + "/a", "a\0b", "\ud800/a", "", ".."]
)
def test_a_path_that_cannot_be_is_of_a_file_that_is_not_there(out: Path, path: str) -> None:
    (out / NAME).write_bytes(b"a file")
    written(out, begun(path=path))
    put(out, name=RUN_001)
    assert told(out)[1:] == [("failed", path, 1), ("begin", RUN_001), ("commit", RUN_001, 3)]


def test_a_batch_that_was_committed_in_part_is_settled_for_the_rest(out: Path) -> None:
    a, b, c = (f"audit-run-{letter}-{DAY}.csv" for letter in "abc")
    (out / c).write_bytes(b"old\n")
    commit = {**begun(path=b, left=2), "event": "commit", "begin": 2}
    written(out, begun(path=a, left=1), begun(path=b, left=2), begun(path=c, left=3), commit, tail=b'{"act')
    put(out, name=RUN_001)
    assert told(out)[4:] == [
        ("recovered", None),
        ("failed", a, 1),
        ("recovered", c, 3),
        ("begin", RUN_001),
        ("commit", RUN_001, 8),
    ]
    assert [e["open"] for e in entries(out)[4:7]] == [2, 1, 0] or "open" not in entries(out)[6]


def test_what_cannot_be_looked_at_stays_open_until_it_can(out: Path) -> None:
    """A file of which nothing can be said now is neither declared dead nor forgotten."""
    (out / NAME).write_bytes(b"old\n")
    written(out, begun(b"old\n"))
    real = os.lstat

    def refuse(path: Any, **options: Any) -> os.stat_result:
        if os.fspath(path).endswith(NAME):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path, **options)

    with replaced(lstat=refuse):
        put(out, b"1", RUN_001)
        put(out, b"2", RUN_001)
        ak.hold_export(out / RUN_001)
    log = judge.read_log(out / LOG)
    assert log.left_open() == [1]
    assert [e["open"] for e in log.records] == [1, 2, 1, 2, 1, 1]
    put(out, b"3", RUN_001)
    assert told(out)[6] == ("recovered", NAME, 1)
    assert judge.read_log(out / LOG).left_open() == []


def test_what_stays_open_is_found_however_long_ago_it_was(out: Path) -> None:
    (out / NAME).write_bytes(b"old\n")
    held = {"event": "held", "path": NAME, "reason": "x" * 5000, "open": 1}
    written(out, begun(b"old\n"), *[held] * 100)
    assert (out / LOG).stat().st_size > 500_000
    put(out, name=RUN_001)
    assert told(out)[101] == ("recovered", NAME, 1)


def test_a_crash_is_settled_in_time_that_does_not_grow_with_the_log(out: Path) -> None:
    commit = {**begun(), "event": "commit"}
    written(out, *[{**commit, "begin": n} for n in range(3000)], begun(b"old\n"))
    read: list[int] = []
    real = os.read

    def counting(descriptor: int, count: int) -> bytes:
        data = real(descriptor, count)
        read.append(len(data))
        return data

    with replaced(read=counting):
        put(out, name=RUN_001)
    assert told(out)[-3:-1] == [("failed", NAME, 3001), ("begin", RUN_001)]
    assert sum(read) < 500_000 < (out / LOG).stat().st_size


def test_a_damaged_last_line_stays_as_it_is_and_hides_no_export_that_died(out: Path) -> None:
    (out / NAME).write_bytes(b"old\n")
    written(out, {"event": "held", "path": "x"}, begun(b"old\n"), {"event": "held", "path": "y", "open": 1})
    lines = (out / LOG).read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b'"y"', b'"z"')
    (out / LOG).write_bytes(b"".join(lines))
    put(out, name=RUN_001)
    log = judge.read_log(out / LOG)
    assert log.breaks == ["line 3 is not what its digest says"]
    assert [(e["event"], e["path"], e["seq"]) for e in log.records[3:]] == [
        ("recovered", NAME, 4),
        ("begin", RUN_001, 5),
        ("commit", RUN_001, 6),
    ]
    with pytest.raises(VerificationError, match="line 3 is not as it was written"):
        ak.read_export_log(out)


@pytest.mark.parametrize("line", [b"\n", b"no JSON\n", b"[]\n", b"\xff\n", b'{"event":"commit"}\n'])
def test_a_log_of_something_else_is_written_on(out: Path, line: bytes) -> None:
    (out / LOG).write_bytes(line * 3)
    put(out)
    records = [json.loads(one) for one in (out / LOG).read_bytes().splitlines()[3:]]
    assert [(e["event"], e["seq"]) for e in records] == [("begin", 4), ("commit", 5)]
    assert records[0]["prev"] == sha256(line)


# --- interruptions and failures --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "number", "became"),
    [
        ("fsync", 3, "recovered"),  # the folder is synced
        ("write", 3, "recovered"),  # commit is written
        ("fsync", 4, "recovered"),  # and synced
        ("write", 2, None),  # begin is written
        ("fsync", 2, None),
    ],
)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.EIO, "Input/output error")])
def test_an_interruption_between_begin_and_commit_is_settled_at_once(
    out: Path, call: str, number: int, became: str | None, error: BaseException
) -> None:
    put(out, b"before", RUN_001)
    with struck(call, number, error), pytest.raises(type(error)) as raised:
        put(out, b"old\n")
    if isinstance(raised.value, OSError):
        assert raised.value.filename in (str(out), str(out / LOG))
    after = told(out)[2:]
    assert after == ([] if became is None else [("begin", NAME), (became, NAME, 3)]), after
    assert (out / NAME).exists() == (became is not None)
    assert [name for name in os.listdir(out) if name.startswith(".")] == []


def test_an_interruption_when_the_name_is_given_comes_too_late(out: Path) -> None:
    with struck("link", 1, KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
        put(out)
    assert told(out) == [("begin", NAME), ("recovered", NAME, 1)]


def test_an_interruption_before_the_name_is_given_failed(out: Path) -> None:
    def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with replaced(link=interrupted), pytest.raises(KeyboardInterrupt):
        put(out)
    assert told(out) == [("begin", NAME), ("failed", NAME, 1)]


def test_half_a_line_that_cannot_be_taken_back_is_set_aside(out: Path) -> None:
    """The disk fails in the middle of `commit`, and then when the half line is to be cut off again."""
    real, writes = os.write, iter(range(100))

    def write(descriptor: int, data: Any) -> int:
        if next(writes) == 2:
            real(descriptor, bytes(data)[:20])
            raise OSError(errno.EIO, "Input/output error")
        return real(descriptor, data)

    cuts = iter([OSError(errno.EIO, "Input/output error")])
    cut = os.ftruncate

    def ftruncate(descriptor: int, size: int) -> None:
        for error in cuts:
            raise error
        cut(descriptor, size)

    with replaced(write=write, ftruncate=ftruncate), pytest.raises(OSError, match="Input/output"):
        put(out)
    assert (out / TORN).stat().st_size == 21
    assert told(out) == [("begin", NAME), ("recovered", None), ("recovered", NAME, 1)]


def test_a_log_that_fails_for_good_is_settled_by_the_next_export(out: Path) -> None:
    real = os.write

    def write(descriptor: int, data: Any) -> int:
        if b'"commit"' in bytes(data) or b'"recovered"' in bytes(data):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data)

    with replaced(write=write), pytest.raises(OSError, match="No space") as raised:
        put(out)
    assert raised.value.filename == str(out / LOG)
    assert told(out) == [("begin", NAME)]
    assert (out / NAME).exists()
    put(out, name=RUN_001)
    assert told(out)[1:] == [("recovered", NAME, 1), ("begin", RUN_001), ("commit", RUN_001, 3)]


@pytest.mark.parametrize("chunks", [3, 40])
def test_a_disk_that_fails_in_the_thread_of_a_large_file_is_an_error_with_its_name(
    out: Path, chunks: int
) -> None:
    real = os.write

    def write(descriptor: int, data: Any) -> int:
        if threading.current_thread().name == "auditkit-writer":
            raise OSError(errno.EIO, "Input/output error")
        return real(descriptor, data)

    def fill(sink: Any) -> None:
        for _ in range(chunks):
            sink.write(b"x" * 600_000)

    with replaced(write=write):
        (outcome,) = publish([Draft(folder=out, name=NAME, write=fill)], log=ExportLog(path=out / LOG))
    assert isinstance(outcome, OSError)
    assert (outcome.errno, outcome.filename) == (errno.EIO, str(out / NAME))
    assert os.listdir(out) == []


def test_a_link_that_was_made_and_reported_as_failed_is_no_failure(out: Path) -> None:
    """As a network disk may do whose first answer was lost."""
    for error in (FileExistsError(errno.EEXIST, "File exists"), OSError(errno.EIO, "Input/output error")):
        with struck("link", 1, error):
            name = f"audit-run-{error.errno}-{DAY}.csv"
            assert put(out, name=name).reused is False
        assert entries(out)[-1]["event"] == "commit"


def test_a_link_that_fails_is_a_failure_with_the_name_that_was_to_be(out: Path) -> None:
    def refuse(source: Any, target: Any) -> None:
        raise OSError(errno.EIO, "Input/output error", source, None, target)

    draft = Draft(folder=out, name=NAME, write=lambda sink: None)
    with replaced(link=refuse):
        (outcome,) = publish([draft], log=ExportLog(path=out / LOG))
    assert isinstance(outcome, OSError)
    assert (outcome.errno, outcome.filename) == (errno.EIO, str(out / NAME))
    assert entries(out)[-1]["error"] == f"Input/output error: {out / NAME}"
    assert os.listdir(out) == [LOG]


def test_half_a_line_that_was_set_aside_holds_up_no_cleaning(out: Path) -> None:
    written(out, {"event": "held", "path": "x"}, tail=b"half")
    put(out)
    assert ak.cleanup_old_exports(out, days_old=0) == [out / NAME]
    assert told(out)[-1] == ("removed", NAME)
