"""A disk that fails at the n-th operation of an export: every system call below a folder is counted."""

from __future__ import annotations

import builtins
import errno
import fcntl
import io
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

BY_PATH = ("open", "link", "rename", "replace", "unlink", "mkdir", "scandir", "listdir", "lstat", "stat")
BY_DESCRIPTOR = ("write", "fsync", "close", "ftruncate", "fstat", "lseek", "read", "fchmod")
CHANGING = ("write", "fsync", "ftruncate", "fchmod", "create", "link", "rename", "replace", "unlink", "mkdir")
GROWING = ("write", "fsync", "create", "link", "rename", "replace", "mkdir")

_CLOSE = os.close


class Call(NamedTuple):
    """A system call, and the path or the file of the descriptor that it was given."""

    name: str
    place: str


class Fault(NamedTuple):
    """What happens at which call, counted from 1."""

    kind: str
    at: int

    @property
    def deadly(self) -> bool:
        return self.kind in ("kill", "tear")


def faults_for(number: int, call: Call) -> Iterator[Fault]:
    """All that can happen at a call.

    A kill behind it is the kill in front of the next one, and a call that only looks leaves a kill nothing
    else to find than the call before it.
    """
    yield Fault("EIO", number)
    yield Fault("interrupt", number)
    if call.name in CHANGING:
        yield Fault("kill", number)
        yield Fault("gone", number)
    if call.name == "write":
        yield Fault("tear", number)
        yield Fault("short", number)
    if call.name in CHANGING:
        yield Fault("late", number)
    if call.name in GROWING:
        yield Fault("ENOSPC", number)
        yield Fault("full", number)
    if call.name in BY_PATH or call.name == "create":
        yield Fault("EACCES", number)


@dataclass
class Disk:
    """The calls of this process below a folder, as they are made; the fault strikes one of them.

    kill, tear: the process dies before it, or half way through a write. short: half of a write is done.
    EIO, ENOSPC, EACCES: it is refused. late: it is done, and EIO reported all the same. interrupt: Ctrl-C
    comes while it is done. full: from there on nothing grows. gone: from there on nothing works.
    """

    root: Path
    fault: Fault | None = None
    links: bool = True
    """Whether it knows hard links; FAT does not."""
    calls: list[Call] = field(default_factory=list)
    files: dict[int, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def struck(self) -> Call:
        """The call that the fault struck."""
        if self.fault is None or len(self.calls) < self.fault.at:
            return Call("nothing", "")
        return self.calls[self.fault.at - 1]

    @contextmanager
    def watched(self) -> Iterator[Disk]:
        """Every call goes through this disk."""
        before = [(os, name, getattr(os, name)) for name in (*BY_PATH, *BY_DESCRIPTOR)]
        before += [(io, "open", io.open), (builtins, "open", builtins.open), (fcntl, "flock", fcntl.flock)]
        for module, name, real in before:
            answer = real if self.links or name != "link" else _no_links
            wrapped = self._opening(real) if module in (io, builtins) else self._call(name, answer)
            setattr(module, name, wrapped)
        try:
            yield self
        finally:
            for module, name, real in before:
                setattr(module, name, real)

    def through(self, call: Call, act: Callable[[], Any], write: Callable[[float], int] | None = None) -> Any:
        """The outcome of a call; `write` does a part of it."""
        with self.lock:
            self.calls.append(call)
            number = len(self.calls)
        if self.fault is None or number < self.fault.at:
            return act()
        kind, first = self.fault.kind, number == self.fault.at
        if kind == "gone" or (kind == "full" and call.name in GROWING):
            return self._refuse(kind, call, act, write if first and kind == "full" else None)
        return self._strike(kind, call, act, write) if first else act()

    def _strike(
        self, kind: str, call: Call, act: Callable[[], Any], write: Callable[[float], int] | None
    ) -> Any:
        if kind in ("kill", "tear"):
            if kind == "tear" and write:
                write(0.5)
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "short" and write:
            return write(0.5)
        if kind == "interrupt":
            made = act()
            if hasattr(made, "close"):  # nobody takes it any more
                made.close()
            raise KeyboardInterrupt
        return self._refuse(kind, call, act, None)

    def _refuse(
        self, kind: str, call: Call, act: Callable[[], Any], write: Callable[[float], int] | None
    ) -> Any:
        if kind == "late" or call.name == "close":  # a descriptor is gone even where closing it fails
            made = act()
            if isinstance(made, io.IOBase):
                made.close()
            elif call.name == "create":  # a file was made, but nobody has it open
                self.files.pop(made)
                _CLOSE(made)
        if write:
            return write(0.5)
        code = {"ENOSPC": errno.ENOSPC, "full": errno.ENOSPC, "EACCES": errno.EACCES}.get(kind, errno.EIO)
        named = (call.place,) if call.name in BY_PATH or call.name == "create" else ()
        raise OSError(code, os.strerror(code), *named)

    def _call(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            place = self._place(arguments[0])
            if place is None:
                return real(*arguments, **options)
            creating = name == "open" and arguments[1] & os.O_CREAT

            def act() -> Any:
                return self._keep_account(name, place, arguments, real(*arguments, **options))

            def part(share: float) -> int:
                descriptor, data = arguments
                return int(real(descriptor, bytes(data)[: max(1, int(len(data) * share))]))

            return self.through(
                Call("create" if creating else name, place), act, part if name == "write" else None
            )

        return call

    def _keep_account(self, name: str, place: str, arguments: Any, outcome: Any) -> Any:
        if name == "open":
            self.files[outcome] = place
        elif name == "close":
            self.files.pop(arguments[0], None)
        elif name == "scandir":
            return _Entries(self, place, outcome)
        return outcome

    def _opening(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def opening(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            place = self._place(file)
            if place is None:
                return real(file, mode, *arguments, **options)
            name = "create" if set(mode) & set("wax") else "open"
            plain = mode.replace("b", "").replace("t", "")
            how = {key: options[key] for key in ("closefd", "opener") if key in options}
            raw = self.through(Call(name, place), lambda: _Raw(self, place, file, plain, **how))
            whole = io.BufferedReader(raw) if "r" in mode else io.BufferedWriter(raw)
            return whole if "b" in mode else io.TextIOWrapper(whole, "utf-8", newline="")

        return opening

    def _place(self, file: Any) -> str | None:
        if isinstance(file, int):
            return self.files.get(file)
        path = os.path.abspath(os.fspath(file))
        return path if Path(path) == self.root or self.root in Path(path).parents else None


class _Raw(io.FileIO):
    """A file that Python reads or writes for itself."""

    def __init__(self, disk: Disk, place: str, file: Any, mode: str, **how: Any):
        self._disk, self._at = disk, place
        super().__init__(file, mode, **how)

    def readinto(self, buffer: Any) -> Any:
        return self._disk.through(Call("read", self._at), lambda: io.FileIO.readinto(self, buffer))

    def readall(self) -> Any:
        return self._disk.through(Call("read", self._at), lambda: io.FileIO.readall(self))

    def write(self, data: Any) -> Any:
        def part(share: float) -> int:
            return io.FileIO.write(self, bytes(data)[: max(1, int(len(data) * share))])

        return self._disk.through(Call("write", self._at), lambda: io.FileIO.write(self, data), part)

    def close(self) -> None:
        if not self.closefd:
            super().close()
        elif not self.closed:
            self._disk.files.pop(self.fileno(), None)
            self._disk.through(Call("close", self._at), lambda: io.FileIO.close(self))


class _Entries:
    """The entries of a folder; reading them is a call as well."""

    def __init__(self, disk: Disk, place: str, entries: Any):
        self._disk, self._at, self._entries, self._read = disk, place, entries, False

    def __enter__(self) -> _Entries:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._entries.close()

    def __iter__(self) -> _Entries:
        return self

    def __next__(self) -> Any:
        if self._read:
            return next(self._entries)
        self._read = True
        return self._disk.through(Call("getdents", self._at), lambda: next(self._entries))


def _no_links(source: Any, target: Any) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM), source, None, target)
