"""Tasks in the export log: what a task that runs twice finds that it has done before."""

from __future__ import annotations

import dataclasses
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from auditkit.exportlog.chain import line_hash, read_line
from auditkit.exportlog.log import ExportLog
from auditkit.exportlog.logfile import OpenLog, opened_to_read
from auditkit.store import StorePath, found_at, located_from

TASK = "task"
"""What an entry calls the task that it is of: the name of a batch, `-`, and a number."""

_MADE = ("commit", "recovered")
_TAIL_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Done:
    """An export that stands in the log, and its file in the folder: the entry, and the hash of its line."""

    record: Mapping[str, Any]
    hash: str


class TasksDone(Exception):
    """Some tasks of a group were done before."""

    def __init__(self, done: Mapping[str, Done]):
        super().__init__(", ".join(sorted(done)))
        self.done = done


@dataclass(frozen=True, kw_only=True)
class TaskLog(ExportLog):
    """The log as the tasks of a batch use it: with its lock in hand, none is done a second time.

    Parameters
    ----------
    batch : str
        The name of the batch.
    since : int
        How many bytes the log had when the batch began.
    tasks : tuple of str
        Those that are about to be done.
    """

    batch: str
    since: int
    tasks: tuple[str, ...] = ()

    def of(self, tasks: Sequence[str]) -> TaskLog:
        """The same for other tasks."""
        return dataclasses.replace(self, tasks=tuple(tasks))

    @contextmanager
    def opened(self) -> Iterator[OpenLog]:
        """The log with its lock held, everything that died before settled.

        Raises
        ------
        TasksDone
            If any of the tasks was done before.
        """
        with super().opened() as log:
            done = self._done()
            if done:
                raise TasksDone(done)
            yield log

    def done_before(self) -> dict[str, Done]:
        """Those of the tasks that were done before; whoever died over one of them is settled."""
        if not self._begun():
            return {}
        try:
            with self.opened():
                return {}
        except TasksDone as found:
            return dict(found.done)

    def _begun(self) -> set[str]:
        """Those of the tasks that somebody has begun, as far as can be told without the lock."""
        return set(self.tasks) & _glance(self.path, self.batch, self.since).begun()

    def _done(self) -> dict[str, Done]:
        wanted = self._begun()
        if not wanted:
            return {}
        begun: dict[int, str] = {}
        done: dict[str, Done] = {}
        named = [f'"{task}"'.encode() for task in wanted] + [b'"event":"recovered"']
        for line in _lines(self.path, self.since):
            if not any(name in line for name in named):
                continue
            record = read_line(line)
            task = record.get(TASK)
            if record["event"] == "begin" and task in wanted:
                begun[record["seq"]] = task
            elif record["event"] in _MADE and record.get("begin") in begun and self._stands(record):
                done[begun[record["begin"]]] = Done(record=record, hash=line_hash(line))
        return done

    def _stands(self, record: Mapping[str, Any]) -> bool:
        """Whether a file of that size is where the entry says."""
        place = located_from(self.path.parent, record["path"])
        try:
            if isinstance(place, StorePath):
                kept = found_at(place)
                return kept is not None and kept.bytes == record["bytes"]
            found = os.lstat(place)
        except OSError:
            return False
        return stat.S_ISREG(found.st_mode) and found.st_size == record["bytes"]


@dataclass(kw_only=True)
class _Glance:
    """What of a batch has begun: each line of the log is looked at once."""

    path: Path
    pattern: re.Pattern[bytes]
    at: int
    found: set[str] = field(default_factory=set)

    def begun(self) -> set[str]:
        """The tasks of the batch that the log names."""
        at = self.at
        for line in _lines(self.path, at):
            if match := self.pattern.search(line):
                self.found.add(match[1].decode())
            at += len(line)
        self.at = at  # at once: another thread may be looking, too
        return self.found


@lru_cache(maxsize=4)
def _glance(path: Path, batch: str, since: int) -> _Glance:
    pattern = re.compile(rb'"%s":"(%s-[0-9]+)"' % (TASK.encode(), re.escape(batch).encode()))
    return _Glance(path=path, pattern=pattern, at=since)


def _lines(path: Path, start: int) -> Iterator[bytes]:
    """The whole lines from some byte on; none where there is no log yet."""
    try:
        file = opened_to_read(path)
    except FileNotFoundError:
        return
    with file:
        file.seek(start)
        for line in file:
            if line.endswith(b"\n"):
                yield line


def size_of_log(path: Path) -> int:
    """How many bytes the whole lines of a log have; 0 if there is none. Half a line will be set aside."""
    try:
        with opened_to_read(path) as file:
            end = file.seek(0, os.SEEK_END)
            while end:
                start = max(0, end - _TAIL_BYTES)
                file.seek(start)
                newline = file.read(end - start).rfind(b"\n")
                if newline >= 0:
                    return start + newline + 1
                end = start
    except FileNotFoundError:
        pass
    return 0
