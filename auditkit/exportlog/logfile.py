"""The file of an export log: locked, appended to, and never left with half a line."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from auditkit.disk import named_errors, sync_folder, tidy, write_all
from auditkit.exportlog.chain import START, Chain, Entry, line_hash, read_chain, read_line, sealed
from auditkit.locking import lock

LOG_NAME = "export-log.jsonl"
TORN_SUFFIX = ".torn"
_TAIL_BYTES = 1 << 16
_READING = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC"))
_APPENDING = _READING | os.O_RDWR | os.O_CREAT | os.O_APPEND


@contextmanager
def open_log(path: Path, mode: int) -> Iterator[OpenLog]:
    """The log with its lock held; it is made if there is none.

    Raises
    ------
    OSError
        If it cannot be opened, or is no regular file: a link may lead anywhere.
    """
    descriptor = _locked(path, mode)
    try:
        yield OpenLog(path, descriptor, mode)
    finally:
        tidy(os.close, descriptor)


def regular_file(path: Path, flags: int = _READING, mode: int = 0) -> int:
    """The descriptor of a log.

    Raises
    ------
    OSError
        If it cannot be opened, or is no regular file: a link may lead anywhere, a pipe nowhere.
    """
    with named_errors(path):
        descriptor = os.open(path, flags, mode)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "The export log is no regular file", str(path))
        except BaseException:
            tidy(os.close, descriptor)
            raise
        return descriptor


def opened_to_read(path: Path) -> BinaryIO:
    """A log as a file; it is opened as `regular_file` does, and closed by whoever reads it."""
    with named_errors(path):
        return open(path, "rb", opener=lambda name, flags: regular_file(path))


def _locked(path: Path, mode: int) -> int:
    while True:
        descriptor = regular_file(path, _APPENDING, mode)
        try:
            with named_errors(path), suppress(FileNotFoundError):
                lock(descriptor)
                if os.path.samestat(os.fstat(descriptor), os.lstat(path)):
                    return descriptor
        except BaseException:
            tidy(os.close, descriptor)
            raise
        tidy(os.close, descriptor)  # moved away while we waited for the lock


class OpenLog:
    """A log whose lock is held."""

    def __init__(self, path: Path, descriptor: int, mode: int):
        self._path = path
        self._descriptor = descriptor
        self._mode = mode
        self.look_again()

    def look_again(self) -> None:
        """Learn from the file where it ends, half a line set aside."""
        with named_errors(self._path):
            self._set_aside_torn()
            last = self._last_line()
            record = _understood(last)
            self._seq: int = record["seq"] if record else self._count_lines()
        self.head = line_hash(last) if last else START
        self.open_exports: int = record.get("open", 0) if record else self._seq
        """How many exports at most have begun and are not settled; with the lock in hand they are dead."""
        self.undecided = 0
        """How many of them it cannot be told what became of now: they stay open."""

    def append(self, records: Sequence[Mapping[str, Any]]) -> str:
        """Write some lines and sync them, all of them or none; the new head.

        Raises
        ------
        OSError
            With the path, if they cannot be written; then none of them is.
        """
        lines, seq, head, left = [], self._seq, self.head, self.open_exports
        for record in records:
            seq += 1
            left = record.get("open", 0) + self.undecided
            lines.append(sealed({**record, "open": left} if left else record, seq, head))
            head = line_hash(lines[-1])
        if lines:
            self._write(b"".join(lines))
        self._seq, self.head, self.open_exports = seq, head, left
        return head

    @property
    def next_seq(self) -> int:
        """The number of the next line."""
        return self._seq + 1

    def chain(self) -> Chain:
        """All its lines."""
        with named_errors(self._path), open(self._descriptor, "rb", closefd=False) as lines:
            lines.seek(0)
            return read_chain(lines)

    def unsettled(self) -> list[Entry]:
        """The lines that began an export which died; the last lines are read, and all only if need be."""
        wanted = _TAIL_BYTES
        with named_errors(self._path):
            while True:
                lines, whole = self._end(wanted)
                found = read_chain(lines).unsettled() if self.open_exports else []
                if whole or len(found) >= self.open_exports:
                    return found
                wanted *= 4

    def _end(self, wanted: int) -> tuple[list[bytes], bool]:
        """The last lines, in about so many bytes, and whether they are all there are."""
        size = os.fstat(self._descriptor).st_size
        start = max(0, size - wanted)
        lines = io.BytesIO(_read_from(self._descriptor, start, size - start)).readlines()
        return lines[bool(start) :], start == 0

    def _write(self, data: bytes) -> None:
        with named_errors(self._path):
            size = os.fstat(self._descriptor).st_size
            try:
                write_all(self._descriptor, data)
                os.fsync(self._descriptor)
            except BaseException:  # Ctrl-C, too, leaves no half line
                tidy(os.ftruncate, self._descriptor, size)
                raise

    def _set_aside_torn(self) -> None:
        """Move what a power cut or a full disk left of a line into a file of its own, and say so."""
        torn = self._tail().rpartition(b"\n")[2]
        self._torn = torn
        if not torn:
            return
        aside = regular_file(self._path.with_name(self._path.name + TORN_SUFFIX), _APPENDING, self._mode)
        try:
            write_all(aside, torn + b"\n")
            os.fsync(aside)
            sync_folder(self._path.parent)
        finally:
            tidy(os.close, aside)
        os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - len(torn))

    @property
    def torn(self) -> dict[str, Any] | None:
        """What was set aside on opening, for an entry of its own."""
        if not self._torn:
            return None
        return {"torn_bytes": len(self._torn), "torn_sha256": hashlib.sha256(self._torn).hexdigest()}

    def _last_line(self) -> bytes:
        tail = self._tail()
        return tail[tail.rfind(b"\n", 0, -1) + 1 :]

    def _tail(self) -> bytes:
        """The end of the file, with at least its last whole line and what is torn behind it."""
        size = os.fstat(self._descriptor).st_size
        wanted = _TAIL_BYTES
        while True:
            start = max(0, size - wanted)
            tail = _read_from(self._descriptor, start, size - start)
            if start == 0 or tail.count(b"\n") >= 2:
                return tail
            wanted *= 4

    def _count_lines(self) -> int:
        with open(self._descriptor, "rb", closefd=False) as lines:
            lines.seek(0)
            return sum(1 for _ in lines)


def _read_from(descriptor: int, start: int, count: int) -> bytes:
    os.lseek(descriptor, start, os.SEEK_SET)
    parts = []
    while count > 0 and (part := os.read(descriptor, count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _understood(line: bytes) -> dict[str, Any] | None:
    try:
        return read_line(line)
    except ValueError:
        return None
