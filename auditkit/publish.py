"""A file appears whole or not at all, and never in the place of another one."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from auditkit.disk import OWNER_ONLY, named_errors, tidy
from auditkit.errors import ExportExistsError, InvalidOptionError
from auditkit.formats.base import Compression, Sink
from auditkit.leftovers import temporary_name
from auditkit.locking import lock
from auditkit.naming import version_name
from auditkit.places import NEW, Place, place_of
from auditkit.store import Location
from auditkit.writer import Seal, Writer

IfExists = Literal["version", "error", "replace"]
POLICIES = ("version", "error", "replace")


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A file that is to be: where, and who writes it. `about` is for the log, asked once it is written."""

    folder: Location
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

    path: Location
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
        places = {folder: place_of(folder) for folder in {draft.folder: None for draft in drafts}}
        for place in places.values():
            place.sweep()
        for draft in drafts:
            outcomes.append(_attempt(cleaning.enter_context, _staged(draft, places[draft.folder])))
        staged = [outcome for outcome in outcomes if isinstance(outcome, Staged)]
        if staged:
            folders = {one.draft.folder: None for one in staged}
            syncs = [cleaning.enter_context(places[folder].opened()) for folder in folders]
            with (log or NoLog()).publishing(staged) as begun:
                placed = [_attempt(_place, places[one.draft.folder], one, if_exists) for one in staged]
                for sync in syncs:
                    sync()
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
def _staged(draft: Draft, place: Place) -> Iterator[Staged]:
    """The draft as a synced file of a temporary name, gone again afterwards."""
    target = draft.folder / draft.name
    started = time.perf_counter()
    with contextlib.ExitStack() as tidying:
        with named_errors(target):
            folder = place.prepare(draft.mode)
        with named_errors(target if folder == draft.folder else folder):
            temporary = folder / temporary_name()
            tidying.callback(tidy, os.unlink, temporary)  # before it is made: Ctrl-C may come right then
            descriptor = os.open(temporary, NEW, OWNER_ONLY)
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


def _place(place: Place, staged: Staged, if_exists: IfExists) -> Published:
    """Give a staged file its name, or the next one that is free or holds the same bytes."""
    version = 1
    while True:
        path = staged.draft.folder / version_name(staged.draft.name, version)
        with named_errors(path):
            if place.holds(path, staged):
                return _published(staged, path, reused=True)
            try:
                place.give_name(staged, path, replace=if_exists == "replace")
            except FileExistsError:
                if place.holds(path, staged):  # somebody was quicker with the same
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


def _published(staged: Staged, path: Location, *, reused: bool = False) -> Published:
    return Published(
        path=path,
        bytes=staged.bytes,
        sha256=staged.sha256,
        reused=reused,
        plain_sha256=staged.plain_sha256,
    )
