"""A folder appears whole or not at all, and never in the place of anything else."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from children import environment

from auditkit.errors import ExportExistsError
from auditkit.exportlog import ExportLog, read_export_log
from auditkit.folders import Mark, NewFolder, move, new_folder
from auditkit.leftovers import temporary_name
from auditkit.publish import NoLog

ALONE, WITH_GROUP = 0o600, 0o640
MARK = Mark(bytes=3, sha256="0" * 64)
TWO_HOURS = 7200


def filled(place: Path, mode: int = ALONE, log: Any = None, text: str = "whole") -> Any:
    """A folder with a file in it, published."""
    with new_folder(place, mode) as folder:
        (folder.path / "first").write_text(text)

        def finish(head: str | None) -> None:
            (folder.path / "last").write_text(str(head))

        return folder.publish(log or NoLog(), MARK, dict, finish)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- it appears whole ---


def test_a_folder_is_seen_with_everything_that_was_put_into_it(tmp_path: Path) -> None:
    published = filled(tmp_path / "place")
    assert names(tmp_path) == ["place"]
    assert names(tmp_path / "place") == ["first", "last"]
    assert (published.path, published.bytes, published.sha256) == (tmp_path / "place", 3, "0" * 64)
    assert not published.reused


def test_nobody_sees_it_before_it_is_finished(tmp_path: Path) -> None:
    seen: list[list[str]] = []
    with new_folder(tmp_path / "place", ALONE) as folder:
        folder.publish(NoLog(), MARK, dict, lambda _: seen.append(names(tmp_path)))
    ((hidden,),) = seen
    assert hidden.startswith(".auditkit-")


def test_what_finishes_it_is_told_the_head_of_the_log_after_its_begin(tmp_path: Path) -> None:
    log = ExportLog(path=tmp_path / "log.jsonl")
    published = filled(tmp_path / "place", log=log)
    entries = read_export_log(tmp_path / "log.jsonl")
    assert entries.event.to_list() == ["begin", "commit"]
    assert entries.hash.to_list() == [(tmp_path / "place" / "last").read_text(), published.log_head]
    assert entries.path.to_list() == ["place", "place"]


def test_temporary_files_that_could_not_be_cleared_away_are_not_part_of_it(tmp_path: Path) -> None:
    with new_folder(tmp_path / "place", ALONE) as folder:
        for place in (folder.path, folder.subfolder("data")):
            (place / "kept").write_text("kept")
            (place / temporary_name()).hardlink_to(place / "kept")
        folder.publish(NoLog(), MARK, dict, lambda _: None)
    assert names(tmp_path / "place") == ["data", "kept"]
    assert names(tmp_path / "place" / "data") == ["kept"]


def test_a_folder_that_cannot_be_looked_through_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), new_folder(tmp_path / "place", ALONE) as folder:
        folder.publish(NoLog(), MARK, dict, lambda _: folder.path.rmdir())
    assert names(tmp_path) == []


def test_the_log_asks_about_it_again_once_it_is_whole(tmp_path: Path) -> None:
    told = {"rows": "at first"}
    log = ExportLog(path=tmp_path / "log.jsonl")
    with new_folder(tmp_path / "place", ALONE) as folder:
        folder.publish(log, MARK, lambda: told, lambda _: told.update(rows="in the end"))
    assert read_export_log(tmp_path / "log.jsonl").rows.to_list() == ["at first", "in the end"]


@pytest.mark.parametrize(
    ("mode", "expected"), [(ALONE, (0o700, 0o700)), (WITH_GROUP, (0o750, 0o750))], ids=["owner", "group"]
)
def test_permissions_are_the_same_whatever_the_umask(
    tmp_path: Path, mode: int, expected: tuple[int, int]
) -> None:
    before = os.umask(0o077)
    try:
        with new_folder(tmp_path / "place", mode) as folder:
            folder.subfolder("data")
            folder.publish(NoLog(), MARK, dict, lambda _: None)
    finally:
        os.umask(before)
    place = tmp_path / "place"
    assert tuple(stat.S_IMODE(p.stat().st_mode) for p in (place, place / "data")) == expected


# --- or not at all ---


class Trouble(Exception):
    pass


def troubled(folder: NewFolder, error: BaseException) -> None:
    (folder.path / "half").write_text("half")
    raise error


@pytest.mark.parametrize("error", [Trouble(), KeyboardInterrupt(), OSError(errno.ENOSPC, "full")], ids=repr)
def test_a_failure_while_it_is_filled_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), new_folder(tmp_path / "sub" / "place", ALONE) as folder:
        troubled(folder, error)
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [Trouble(), OSError(errno.ENOSPC, "full")], ids=repr)
def test_a_failure_while_it_is_finished_leaves_nothing_and_is_logged(
    tmp_path: Path, error: Exception
) -> None:
    log = ExportLog(path=tmp_path / "log.jsonl")
    with pytest.raises(type(error)), new_folder(tmp_path / "place", ALONE) as folder:
        folder.publish(log, MARK, dict, lambda _: troubled(folder, error))
    assert names(tmp_path) == ["log.jsonl"]
    assert read_export_log(tmp_path / "log.jsonl").event.to_list() == ["begin", "failed"]


def test_an_interruption_while_it_is_finished_leaves_nothing_and_is_logged(tmp_path: Path) -> None:
    log = ExportLog(path=tmp_path / "log.jsonl")
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "place", ALONE) as folder:
        folder.publish(log, MARK, dict, lambda _: troubled(folder, KeyboardInterrupt()))
    assert names(tmp_path) == ["log.jsonl"]
    assert read_export_log(tmp_path / "log.jsonl").event.to_list() == ["begin", "failed"]


def test_a_parent_that_was_there_before_stays(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    with pytest.raises(Trouble), new_folder(tmp_path / "sub" / "place", ALONE) as folder:
        troubled(folder, Trouble())
    assert names(tmp_path / "sub") == []


def test_its_removal_follows_no_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")

    def fill(folder: NewFolder) -> None:
        (folder.path / "link").symlink_to(outside)
        (folder.path / "kept").hardlink_to(outside / "kept")
        raise Trouble

    with pytest.raises(Trouble), new_folder(tmp_path / "place", ALONE) as folder:
        fill(folder)
    assert names(tmp_path) == ["outside"]
    assert (outside / "kept").read_text() == "kept"


def test_an_error_names_the_file_that_was_to_be(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, new_folder(tmp_path / "place", ALONE) as folder:
        (folder.path / "data" / "a.csv").write_text("")
    assert caught.value.filename == str(tmp_path / "place" / "data" / "a.csv")
    assert caught.value.errno == errno.ENOENT


def test_an_error_about_another_file_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, new_folder(tmp_path / "place", ALONE):
        (tmp_path / "elsewhere").read_text()
    assert caught.value.filename == str(tmp_path / "elsewhere")


# --- never in the place of anything else ---


def a_file(place: Path) -> None:
    place.write_text("mine")


def a_folder(place: Path) -> None:
    place.mkdir()
    (place / "mine").write_text("mine")


def a_link_to_nowhere(place: Path) -> None:
    place.symlink_to("nowhere")


MADE = [a_file, a_folder, a_link_to_nowhere]


@pytest.mark.parametrize("make", [*MADE, Path.mkdir], ids=lambda make: make.__name__)
def test_a_taken_place_is_refused_before_anything_is_made(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "place")
    with pytest.raises(ExportExistsError, match="never replaced"), new_folder(tmp_path / "place", ALONE):
        pytest.fail("it was entered")
    assert names(tmp_path) == ["place"]


@pytest.mark.parametrize("make", [*MADE, Path.mkdir], ids=lambda make: make.__name__)
def test_a_place_that_is_taken_meanwhile_is_refused_too(tmp_path: Path, make: Any) -> None:
    log = ExportLog(path=tmp_path / "log.jsonl")
    with pytest.raises(ExportExistsError), new_folder(tmp_path / "place", ALONE) as folder:
        folder.publish(log, MARK, dict, lambda _: make(tmp_path / "place"))
    assert names(tmp_path) == ["log.jsonl", "place"]
    assert read_export_log(tmp_path / "log.jsonl").event.to_list() == ["begin", "failed"]


@pytest.mark.parametrize("make", MADE, ids=lambda make: make.__name__)
def test_even_the_move_itself_replaces_nothing(tmp_path: Path, make: Any) -> None:
    """The system refuses what was put there between the look and the move."""
    make(tmp_path / "place")
    before = os.lstat(tmp_path / "place")
    (tmp_path / "new").mkdir()
    with pytest.raises(OSError, match="place") as caught:
        move(tmp_path / "new", tmp_path / "place")
    assert caught.value.filename == str(tmp_path / "place")
    assert os.lstat(tmp_path / "place").st_ino == before.st_ino


def test_a_move_that_is_reported_as_failed_though_it_was_made_is_one(tmp_path: Path) -> None:
    """As network disks do: the system refuses the name `..`, and the folder stands at its place."""
    (tmp_path / "place" / "in").mkdir(parents=True)
    move(tmp_path / "place" / "in" / "..", tmp_path / "place")
    with pytest.raises(OSError, match="busy"):
        move(tmp_path / "place" / "in" / "..", tmp_path / "other")


# --- what was left by a kill ---

KILLED = """
import os, signal, sys
from pathlib import Path
from auditkit.folders import new_folder

with new_folder(Path(sys.argv[1]), 0o600) as folder:
    (folder.path / "half").write_text("half")
    if sys.argv[2] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    print(folder.path, flush=True)
    sys.stdin.read()
"""


def started(place: Path, what: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", KILLED, str(place), what],
        env=environment(),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def aged(path: Path, seconds: float = TWO_HOURS) -> Path:
    then = time.time() - seconds
    os.utime(path, (then, then), follow_symlinks=False)
    return path


@contextmanager
def leftover(parent: Path) -> Iterator[Path]:
    """What a killed process leaves."""
    child = started(parent / "dead", "die")
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL
    (path,) = (entry for entry in parent.iterdir() if entry.name.startswith(".auditkit-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def test_what_a_kill_left_goes_once_it_is_an_hour_old(tmp_path: Path) -> None:
    with leftover(tmp_path) as path:
        filled(tmp_path / "young")
        assert path.exists()
        aged(path)
        filled(tmp_path / "old")
        assert not path.exists()
    assert names(tmp_path) == ["old", "young"]


def test_a_live_one_is_left_alone_however_old(tmp_path: Path) -> None:
    child = started(tmp_path / "live", "live")
    assert child.stdout is not None
    path = aged(Path(child.stdout.readline().strip()))
    filled(tmp_path / "place")
    assert (path / "half").exists()
    child.communicate("", timeout=60)
    assert names(tmp_path) == ["place"]


def test_a_file_or_link_of_such_a_name_is_left_alone(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    link, file = tmp_path / temporary_name(), tmp_path / temporary_name()
    link.symlink_to(outside)
    file.write_text("")
    for path in (link, file, outside):
        aged(path)
    filled(tmp_path / "place")
    assert names(tmp_path) == sorted([link.name, file.name, "outside", "place"])
    assert names(outside) == ["kept"]


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give a folder away")
    other = tmp_path / temporary_name()
    other.mkdir()
    os.chown(other, 12345, -1)
    aged(other)
    filled(tmp_path / "place")
    assert other.exists()
