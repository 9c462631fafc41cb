"""A folder appears whole or not at all, and never in the place of anything else."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from auditkit.disk import OWNER_ONLY, named_errors, opened_folder, sync, sync_folder, tidy
from auditkit.errors import AuditkitError, ExportExistsError
from auditkit.leftovers import is_temporary, sweep, temporary_name
from auditkit.locking import lock
from auditkit.publish import Draft, Published, PublishLog, Staged

_ALONE, _WITH_GROUP, _WHATEVER = 0o700, 0o750, 0o777  # the last as the umask has it


@dataclass(frozen=True, kw_only=True)
class Mark:
    """The file by which a folder is known again after a crash: its size and hash."""

    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class NewFolder:
    """A folder that is being filled under a name of its own, beside the place where it is to be seen."""

    place: Path
    path: Path
    mode: int
    started: float
    descriptor: int | None = None

    @property
    def number(self) -> int:
        """Its descriptor, where there can be one."""
        return -1 if self.descriptor is None else self.descriptor

    def subfolder(self, name: str) -> Path:
        """A new folder in it, with its permissions."""
        path = self.path / name
        _make(path, self.mode)
        return path

    def seen(self, error: Exception) -> Exception:
        """An OS error about something in it, under the name that this was to have."""
        named = getattr(error, "filename", None)
        if not isinstance(error, OSError) or isinstance(error, AuditkitError) or not isinstance(named, str):
            return error
        if not Path(named).is_relative_to(self.path):
            return error
        return OSError(error.errno, error.strerror, str(self.place / Path(named).relative_to(self.path)))

    def publish(
        self,
        log: PublishLog,
        mark: Mark,
        about: Callable[[], Mapping[str, Any]],
        finish: Callable[[str | None], None],
    ) -> Published:
        """Let it be seen, once everything in it is synced.

        Parameters
        ----------
        log : PublishLog
            Holds its lock from `begin` to `commit`.
        mark : Mark
            What the log writes down at `begin`.
        about : callable
            For the log; asked at `begin` and again at `commit`.
        finish : callable
            Is given the head of the log after `begin`, writes what depends on it, and syncs that.

        Raises
        ------
        ExportExistsError
            If something stands at the place by now; it is left as it is.
        OSError
            If something cannot be written, moved or synced.
        """
        staged = self._staged(mark, about)
        with opened_folder(self.place.parent) as parent, log.publishing([staged]) as begun:
            outcome = self._outcome(staged, begun.head, finish)
            with named_errors(self.place.parent):
                sync(parent)
            head = begun.commit([outcome])
        if isinstance(outcome, Exception):
            raise outcome
        return replace(outcome, log_head=head)

    def _staged(self, mark: Mark, about: Callable[[], Mapping[str, Any]]) -> Staged:
        draft = Draft(
            folder=self.place.parent, name=self.place.name, write=_nothing, mode=self.mode, about=about
        )
        return Staged(
            draft=draft,
            temporary=self.path,
            descriptor=self.number,
            bytes=mark.bytes,
            sha256=mark.sha256,
            plain_sha256=None,
            started=self.started,
        )

    def _outcome(
        self, staged: Staged, head: str | None, finish: Callable[[str | None], None]
    ) -> Published | Exception:
        try:
            finish(head)
            _clear(self.path)
            with named_errors(self.place):
                sync(self.descriptor)
            refuse_existing(self.place)
            move(self.path, self.place)
        except Exception as error:
            return self.seen(error)
        return Published(path=self.place, bytes=staged.bytes, sha256=staged.sha256, reused=False)


@contextlib.contextmanager
def new_folder(place: Path, mode: int) -> Iterator[NewFolder]:
    """A folder to be filled and published; whatever happens before that, it is gone afterwards.

    Raises
    ------
    ExportExistsError
        If anything stands at the place.
    OSError
        With a path that the caller knows, if something cannot be made or written.
    """
    started = time.perf_counter()
    refuse_existing(place)
    with _parents(place.parent, mode):
        sweep(place.parent, stat.S_ISDIR, partial(shutil.rmtree, ignore_errors=True))
        path = place.parent / temporary_name()
        folder = NewFolder(place=place, path=path, mode=mode, started=started)
        try:
            _make(path, mode)
            with opened_folder(path) as descriptor:
                opened = replace(folder, descriptor=descriptor)
                with contextlib.suppress(OSError):  # no file system locks everything
                    lock(opened.number)  # as long as we live, nobody takes it for a leftover
                yield opened
        except OSError as error:
            seen = folder.seen(error)
            if seen is error:
                raise
            raise seen from error
        finally:
            shutil.rmtree(path, ignore_errors=True)  # never follows a link


@contextlib.contextmanager
def _parents(folder: Path, mode: int) -> Iterator[None]:
    """Let a folder be there, with all above it; what this made goes again if something fails."""
    with contextlib.ExitStack() as tidying:
        missing = [path for path in (folder, *folder.parents) if not path.is_dir()]
        for path in reversed(missing):
            try:
                path.mkdir(_WHATEVER if path != folder else _ALONE if mode == OWNER_ONLY else _WITH_GROUP)
                tidying.callback(_remove_made, path, os.lstat(path))
            except FileExistsError:  # somebody was quicker
                if not path.is_dir():
                    raise
            sync_folder(path.parent)
        yield
        tidying.pop_all()


def _remove_made(path: Path, made: os.stat_result) -> None:
    """Remove an empty folder, if it is still the one that was made."""
    if _stands_at(path, made):
        tidy(os.rmdir, path)


def refuse_existing(place: Path) -> None:
    """Nothing, if the place is free.

    Raises
    ------
    ExportExistsError
        If anything stands there, a link that leads nowhere included.
    """
    if os.path.lexists(place):
        raise ExportExistsError(
            errno.EEXIST, "Something stands there, and is never replaced. Give another path", str(place)
        )


def _make(path: Path, mode: int) -> None:
    path.mkdir(mode=_ALONE)
    if mode != OWNER_ONLY:
        path.chmod(_WITH_GROUP)  # whatever the umask


def _clear(folder: Path) -> None:
    """Remove the temporary files that publishing in it could not clear away.

    Raises
    ------
    OSError
        If they cannot be removed now either.
    """
    for place, _, names in os.walk(folder, onerror=_raise):
        temporary = [name for name in names if is_temporary(name)]
        for name in temporary:
            os.unlink(os.path.join(place, name))
        if temporary:
            sync_folder(Path(place))


def _raise(error: OSError) -> None:
    raise error


def move(path: Path, place: Path) -> None:
    """Move a folder to a place that was free; the system refuses all but an empty folder there."""
    moved = os.lstat(path)
    try:
        os.rename(path, place)
    except OSError as error:
        if not _stands_at(place, moved):  # network disks may report as failed what they have done
            raise OSError(error.errno, error.strerror, str(place)) from error


def _stands_at(place: Path, wanted: os.stat_result) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samestat(os.lstat(place), wanted)
    return False


def _nothing(_: Any) -> None:
    """A folder is not written as one stream of bytes."""
