"""The export log of a folder: who made which file when, from what; written around every export."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from auditkit.disk import sync_folder
from auditkit.errors import MissingExtraError, in_words
from auditkit.exportlog.chain import START, Entry
from auditkit.exportlog.logfile import OpenLog, open_log
from auditkit.exportlog.remains import find_whole_file
from auditkit.publish import Begun, Published, Staged
from auditkit.store import Location, StorePath, located_from

ACTOR = "AUDITKIT_ACTOR"
_INTERRUPTED = "interrupted before the file was there"


@dataclass(frozen=True, kw_only=True)
class ExportLog:
    """A hash-chained log in a file: one canonical JSON object a line.

    An export holds the log's lock from its `begin`, when the bytes are on disk under a name of their
    own, to its `commit`. So a `begin` that nothing follows, seen with the lock in hand, is of an export
    that died; whoever writes next settles it: `recovered` if its whole file stands there, else `failed`.
    `open` in a line is how many exports had begun and were not settled by then.

    Parameters
    ----------
    path : Path
    mode : int
        Permissions of a log that has to be made.
    """

    path: Path
    mode: int = 0o600

    @contextmanager
    def opened(self) -> Iterator[OpenLog]:
        """The log with its lock held, everything that died before settled."""
        with open_log(self.path, self.mode) as log:
            self._settle(log)
            yield log

    @contextmanager
    def publishing(self, staged: Sequence[Staged]) -> Iterator[Begun]:
        """`begin` on entering, then `commit` or `failed` for each; the lock is held throughout."""
        with self.opened() as log:
            self._sync_new(log, staged)
            seqs = [log.next_seq + index for index in range(len(staged))]
            head = log.append([self._begin(one, index + 1) for index, one in enumerate(staged)])
            try:
                yield Begun(head=head, commit=partial(self._commit, log, staged, seqs))
            except BaseException:
                with suppress(OSError):  # the error that is under way says more
                    log.look_again()
                    self._settle(log)
                raise

    def located(self, path: Location) -> str:
        """A file as the log calls it: seen from the log's own folder, so that both can move; or its URL."""
        if isinstance(path, StorePath):
            return str(path)
        if path.parent == self.path.parent:
            return path.name
        folder = os.path.realpath(path.parent)
        return Path(os.path.relpath(folder, os.path.realpath(self.path.parent)), path.name).as_posix()

    def entry(self, event: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        """An entry of that kind, made now by whoever runs this."""
        from auditkit import __version__

        return {**facts, "event": event, "time": _now(), "actor": actor(), "version": __version__}

    def _sync_new(self, log: OpenLog, staged: Sequence[Staged]) -> None:
        """Let a new log outlast a power cut, unless it stands in a folder that is synced anyway."""
        if log.head == START and all(one.draft.folder != self.path.parent for one in staged):
            sync_folder(self.path.parent)

    def _begin(self, staged: Staged, open_exports: int) -> dict[str, Any]:
        target = staged.draft.folder / staged.draft.name
        return self.entry("begin", {**self._facts(staged, target), "open": open_exports})

    def _facts(self, staged: Staged, path: Location) -> dict[str, Any]:
        facts = {**staged.draft.about(), "path": self.located(path)}
        facts |= {"bytes": staged.bytes, "sha256": staged.sha256}
        return facts | ({"plain_sha256": staged.plain_sha256} if staged.plain_sha256 else {})

    def _commit(
        self,
        log: OpenLog,
        staged: Sequence[Staged],
        seqs: Sequence[int],
        outcomes: Sequence[Published | Exception],
    ) -> str:
        records = []
        for one, seq, outcome in zip(staged, seqs, outcomes, strict=True):
            facts: dict[str, Any] = {"begin": seq, "seconds": round(time.perf_counter() - one.started, 3)}
            if isinstance(outcome, Published):
                facts |= self._facts(one, outcome.path) | ({"reused": True} if outcome.reused else {})
                records.append(self.entry("commit", facts))
            else:
                facts |= {"path": self.located(one.draft.folder / one.draft.name)}
                records.append(self.entry("failed", {**facts, "error": in_words(outcome)}))
        return log.append(_counted_down(records))

    def _settle(self, log: OpenLog) -> None:
        """Say of every export that died what became of it, and of half a line that it was set aside."""
        begun = log.unsettled()
        fates = [fate for one in begun if (fate := self._fate(one)) is not None]
        log.undecided = len(begun) - len(fates)
        records = [self.entry("recovered", log.torn)] if log.torn else []
        records += fates
        if records:
            log.append(_counted_down(records))

    def _fate(self, begun: Entry) -> dict[str, Any] | None:
        """What became of an export that died; None if that cannot be told now, and is left to others."""
        facts = {name: begun.record[name] for name in _KEPT if name in begun.record}
        facts["begin"] = begun.record["seq"]
        try:
            found = find_whole_file(located_from(self.path.parent, begun.record["path"]), begun.record)
            if found is None:
                return self.entry("failed", {**facts, "error": _INTERRUPTED})
            if isinstance(found, Path):
                sync_folder(found.parent)  # whoever died may not have come to it
        except (OSError, MissingExtraError):
            return None
        return self.entry("recovered", {**facts, "path": self.located(found)})


_KEPT = (
    "bytes",
    "filter",
    "format",
    "options",
    "path",
    "plain_sha256",
    "rows",
    "run_ids",
    "sha256",
    "source",
)


def _counted_down(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The records, each with how many of them are still to come."""
    return [
        {**record, "open": left} for left, record in zip(reversed(range(len(records))), records, strict=True)
    ]


def actor() -> str:
    """Who exports: the environment variable AUDITKIT_ACTOR, or else the login name."""
    named = os.environ.get(ACTOR)
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        return f"uid {os.getuid()}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
