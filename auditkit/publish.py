"""A file appears whole or not at all, and never in the place of another one."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from auditkit.disk import OWNER_ONLY, make_folder, named_errors, opened_folder, sync, tidy
from auditkit.errors import ExportExistsError, InvalidOptionError
from auditkit.formats.base import Compression, Sink
from auditkit.leftovers import claim_name, sweep, temporary_name
from auditkit.locking import lock
from auditkit.naming import version_name
from auditkit.writer import Seal, Writer

IfExists = Literal["version", "error", "replace"]
POLICIES = ("version", "error", "replace")

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS}


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A file that is to be: where, and who writes it. `about` is for the log, asked once it is written."""

    folder: Path
    name: str
    write: Callable[[Sink], None]
    compression: Compression | None = None
    seal: Seal | None = None
    mode: int = OWNER_ONLY
    about: Callable[[], Mapping[str, Any]] = dict


@dataclass(frozen=True, kw_only=True)
class Staged:
    """A file that is whole on disk, under a name of its own, and not yet to be seen."""

    draft: Draft
    temporary: Path
    descriptor: int
    bytes: int
    sha256: str
    plain_sha256: str | None
    started: float


@dataclass(frozen=True, kw_only=True)
class Published:
    """A file in its place; `reused` if it stood there before with the same bytes."""

    path: Path
    bytes: int
    sha256: str
    reused: bool
    plain_sha256: str | None = None
    log_head: str | None = None


@dataclass(frozen=True, kw_only=True)
class Begun:
    """Exports that are in the log and not yet to be seen: the log's head, and how to tell what became."""

    head: str | None
    commit: Callable[[Sequence[Published | Exception]], str | None]
    """Told what became of each staged file, it gives the new head."""


@runtime_checkable
class PublishLog(Protocol):
    """Records that files become visible: `begin` on entering, then `commit` or `failed`."""

    def publishing(self, staged: Sequence[Staged]) -> AbstractContextManager[Begun]:
        """Hold the log's lock from `begin` to `commit`."""


class NoLog:
    """Records nothing."""

    def publishing(self, staged: Sequence[Staged]) -> AbstractContextManager[Begun]:
        """Nothing on entering, nothing on commit."""
        return nullcontext(Begun(head=None, commit=lambda outcomes: None))


def publish(
    drafts: Sequence[Draft], *, if_exists: IfExists = "version", log: PublishLog | None = None
) -> list[Published | Exception]:
    """Make the drafts visible as a group, which shares what has to be synced to disk.

    Returns
    -------
    list
        For each draft the published file, or the exception that its writing raised; such a draft
        leaves nothing behind and holds up no other.

    Raises
    ------
    InvalidOptionError
        If `if_exists` is none of version, error, replace.
    OSError
        With the path, if the log or a folder cannot be synced.
    """
    if if_exists not in POLICIES:
        raise InvalidOptionError(
            f"if_exists={if_exists!r} is none of {', '.join(POLICIES)}. Give one of them."
        )
    outcomes: list[Published | Exception | Staged] = []
    with contextlib.ExitStack() as cleaning:
        for folder in {draft.folder for draft in drafts}:
            sweep(folder, stat.S_ISREG, os.unlink)
        for draft in drafts:
            outcomes.append(_attempt(cleaning.enter_context, _staged(draft)))
        staged = [outcome for outcome in outcomes if isinstance(outcome, Staged)]
        if staged:
            folders = {
                folder: cleaning.enter_context(opened_folder(folder))
                for folder in {one.draft.folder: None for one in staged}
            }
            with (log or NoLog()).publishing(staged) as begun:
                placed = [_attempt(_place, one, if_exists) for one in staged]
                for folder, descriptor in folders.items():
                    with named_errors(folder):
                        sync(descriptor)
                head = begun.commit(placed)
            by_id = {id(one): _logged(outcome, head) for one, outcome in zip(staged, placed, strict=True)}
            outcomes = [by_id.get(id(outcome), outcome) for outcome in outcomes]
    return [outcome for outcome in outcomes if not isinstance(outcome, Staged)]


def _logged(outcome: Published | Exception, head: str | None) -> Published | Exception:
    return replace(outcome, log_head=head) if isinstance(outcome, Published) else outcome


def _attempt(action: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return action(*arguments)
    except Exception as error:
        return error


@contextlib.contextmanager
def _staged(draft: Draft) -> Iterator[Staged]:
    """The draft as a synced file of a temporary name, gone again afterwards."""
    target = draft.folder / draft.name
    started = time.perf_counter()
    with contextlib.ExitStack() as tidying:
        with named_errors(target):
            make_folder(draft.folder, draft.mode)
            temporary = draft.folder / temporary_name()
            tidying.callback(tidy, os.unlink, temporary)  # before it is made: Ctrl-C may come right then
            descriptor = os.open(temporary, _NEW, OWNER_ONLY)
            tidying.callback(tidy, os.close, descriptor)
            lock(descriptor)  # as long as we live, nobody takes it for a leftover
            writer = Writer(descriptor, draft.compression, draft.seal)
            if draft.mode != OWNER_ONLY:
                os.fchmod(descriptor, draft.mode)  # whatever the umask
            try:
                draft.write(writer)
                size, sha256 = writer.finish()
            finally:
                writer.stop()
            os.fsync(descriptor)
        yield Staged(
            draft=draft,
            temporary=temporary,
            descriptor=descriptor,
            bytes=size,
            sha256=sha256,
            plain_sha256=writer.plain_sha256,
            started=started,
        )


def _place(staged: Staged, if_exists: IfExists) -> Published:
    """Give a staged file its name, or the next one that is free or holds the same bytes."""
    version = 1
    while True:
        path = staged.draft.folder / version_name(staged.draft.name, version)
        with named_errors(path):
            if _holds_same_bytes(path, staged):
                return _published(staged, path, reused=True)
            try:
                _give_name(staged, path, os.replace if if_exists == "replace" else _link)
            except FileExistsError:
                if _holds_same_bytes(path, staged):  # somebody was quicker with the same
                    continue
                if if_exists == "error":
                    raise ExportExistsError(
                        errno.EEXIST,
                        "A file of that name has other bytes (if_exists='version' or 'replace' would do)",
                        str(path),
                    ) from None
                version += 1
                continue
        return _published(staged, path)


def _published(staged: Staged, path: Path, *, reused: bool = False) -> Published:
    return Published(
        path=path,
        bytes=staged.bytes,
        sha256=staged.sha256,
        reused=reused,
        plain_sha256=staged.plain_sha256,
    )


def _give_name(staged: Staged, path: Path, how: Callable[[Path, Path], None]) -> None:
    try:
        how(staged.temporary, path)
    except OSError:
        if not _is_there(staged, path):  # network disks may report as failed what they have done
            raise


def _is_there(staged: Staged, path: Path) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samestat(os.fstat(staged.descriptor), os.lstat(path))
    return False


def _link(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _claim_and_rename(temporary, path)


def _claim_and_rename(temporary: Path, path: Path) -> None:
    """Without hard links: whoever creates the lock file may rename, if the name is still free."""
    claim = path.with_name(claim_name(path.name))
    with contextlib.ExitStack() as tidying:
        descriptor = os.open(claim, _NEW, OWNER_ONLY)
        tidying.callback(tidy, os.unlink, claim)
        tidying.callback(tidy, os.close, descriptor)
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        os.rename(temporary, path)


def _holds_same_bytes(path: Path, staged: Staged) -> bool:
    try:
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode) or found.st_size != staged.bytes:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == staged.sha256
    except (FileNotFoundError, PermissionError):  # what cannot be read is not known to be the same
        return False
