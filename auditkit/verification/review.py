"""One look at a folder and its log: what is changed, missing, unexpected, half-done, damaged."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from auditkit.errors import Problem
from auditkit.evidence.check import check_bag, is_bag
from auditkit.evidence.checkpoint import CHECKPOINT_NAME
from auditkit.exportlog.chain import Chain, read_chain
from auditkit.exportlog.log import ExportLog
from auditkit.exportlog.logfile import LOG_NAME, TORN_SUFFIX, opened_to_read
from auditkit.exportlog.remains import whole_file
from auditkit.exportlog.standing import Standing, standing
from auditkit.leftovers import is_abandoned, is_temporary
from auditkit.naming import version_of
from auditkit.store import Location, StorePath, files_in, located_from
from auditkit.verification.comparison import compared, sha256_of

_OWN = (LOG_NAME, LOG_NAME + TORN_SUFFIX, CHECKPOINT_NAME, CHECKPOINT_NAME + ".sig")


class Review:
    """One look at a folder and its log."""

    def __init__(self, folder: Location, log: Path, chain: Chain, quiet: bool, allowed_signers: Any):
        self._folder = folder
        self._log = log
        self._located = ExportLog(path=log).located
        self._chain = chain
        self._says: Standing = standing(chain.entries)
        self._pending = [entry.record for entry in chain.unsettled()]
        self._quiet = quiet
        self._allowed_signers = allowed_signers
        self._judged: set[str] = set()
        self.sound = 0
        self.live = [] if quiet else [record["path"] for record in self._pending]

    def of_log(self, head: str | None) -> Iterator[Problem]:
        """What is wrong with the log itself."""
        for detail in self._chain.damage:
            yield Problem("log", self._log.name, detail)
        if head is not None and head not in self._chain.hashes:
            yield Problem(
                "log",
                self._log.name,
                f"the anchor {head[:16]}… is none of its lines: it was cut off, or written anew",
            )

    def of_files(self) -> Iterator[Problem]:
        """What is wrong with the files that the log says stand there."""
        for path, record in sorted(self._says.present.items()):
            if self._is_elsewhere(path):
                continue
            try:
                place = self._place(path)
                self._judged.add(path)
                yield from self._of_file(path, place, record)
            except ValueError:  # a zero byte, or a lone surrogate
                yield Problem("log", self._log.name, f"names a file that cannot be: {path!r}")
        for record in self._pending if self._quiet else ():
            if self._is_elsewhere(record["path"]):
                continue
            found = whole_file(self._place(record["path"]), record)
            said = f"and left its whole file as {found.name}" if found else "and left no whole file"
            yield Problem(
                "half-done", record["path"], f"was begun on {record.get('time')} and never ended, {said}"
            )
            if found:
                self._judged.add(self._located(found))

    def _is_elsewhere(self, path: str) -> bool:
        """Whether a file is in another place than the folder of a store: one log may know several."""
        if not isinstance(self._folder, StorePath):
            return False
        return not path.startswith(f"{self._folder}/")

    def _of_file(self, path: str, place: Location, record: Mapping[str, Any]) -> Iterator[Problem]:
        if record.get("format") == "bag" and _is_folder(place):
            problems = list(check_bag(place, self._allowed_signers, record))
            self.sound += not problems
            yield from (Problem(p.kind, f"{path}/{p.path}", p.detail) for p in problems)
            return
        problem = compared(path, place, record)
        if problem:
            yield problem
        else:
            self.sound += 1

    def of_leftovers(self) -> Iterator[Problem]:
        """What stands in the folder and is not in the log."""
        names = names_in(self._folder)
        coming = self._coming()
        for name in names:
            place = self._folder / name
            path = self._located(place)
            if isinstance(place, Path) and is_temporary(name):
                if is_abandoned(place):
                    yield Problem("half-done", name, "is what an export that died was writing")
            elif not self._accounted(path, place) and coming.isdisjoint((path, self._first(name))):
                yield self._unexpected(path, place)

    def _coming(self) -> set[str]:
        """What is being exported right now, or was while we looked: of that nobody can be surprised."""
        if self._quiet:
            return set()
        with opened_to_read(self._log) as lines:
            now = read_chain(lines)
        return {*standing(now.entries).present, *(entry.record["path"] for entry in now.unsettled())}

    def _first(self, name: str) -> str:
        """The path that a version was to have at first."""
        return self._located(self._folder / (version_of(name) or name))

    def _accounted(self, path: str, place: Location) -> bool:
        if place.name.startswith(".") or place.name in _OWN or path in self._judged:
            return True
        if _is_folder(place):
            return not is_bag(place)
        return bool(self._says.plain) and sha256_of(place) in self._says.plain

    def _unexpected(self, path: str, place: Location) -> Problem:
        gone = self._says.removed.get(path)
        if gone and sha256_of(place) == gone.get("sha256"):
            return Problem("half-done", place.name, "is logged as removed, and still there")
        return Problem("unexpected", place.name, "is not in the log")

    def _place(self, path: str) -> Location:
        return located_from(self._log.parent, path)


def names_in(folder: Location) -> list[str]:
    """What stands in a folder, by name; of a store the files alone."""
    if isinstance(folder, StorePath):
        return [found.name for found in files_in(folder)]
    return sorted(os.listdir(folder))


def _is_folder(place: Location) -> TypeGuard[Path]:
    return isinstance(place, Path) and place.is_dir() and not place.is_symlink()
