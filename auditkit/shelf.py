"""The exports folder: what stands in it, and what may go."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditkit import errors
from auditkit.beside import CHECKSUM_SUFFIX
from auditkit.errors import InvalidOptionError
from auditkit.exportlog.chain import Chain
from auditkit.exportlog.log import ExportLog
from auditkit.exportlog.reading import log_of
from auditkit.exportlog.standing import standing
from auditkit.holds import held_by, whole_lines
from auditkit.naming import export_format, set_of
from auditkit.shelves import Shelf, files_of, opened_shelf
from auditkit.store import Found, Location, StorePath, location_of

_RECENT = 5
_DAY_SECONDS = 86_400
_UNITS = ("KB", "MB", "GB", "TB")

log = logging.getLogger("auditkit")


@dataclass(frozen=True, kw_only=True)
class ExportStats:
    """What stands in an exports folder: files that auditkit named, and no others.

    Attributes
    ----------
    total_files : int
    files_by_format : dict of str to int
        By suffix, compressed files under the one in front of `.gz` or `.zst`.
    total_bytes : int
    total_size : str
        The same in words: `12.34 KB`.
    recent_exports : list of str
        The names of the five newest files, the newest first.
    """

    total_files: int
    files_by_format: dict[str, int]
    total_bytes: int
    total_size: str
    recent_exports: list[str]

    @property
    def csv_files(self) -> int:
        """The number of CSV files."""
        return self.files_by_format.get("csv", 0)

    @property
    def json_files(self) -> int:
        """The number of JSON files."""
        return self.files_by_format.get("json", 0)


def get_export_stats(output_dir: str | os.PathLike[str] = "exports") -> ExportStats:
    """What stands in an exports folder; zeros if there is no such folder.

    Parameters
    ----------
    output_dir : path or URL
        A folder, of this machine or of a store such as `s3://bucket/exports`.

    Returns
    -------
    ExportStats
        Counts, bytes and the newest names of the files that auditkit named.

    Examples
    --------
    >>> import auditkit as ak
    >>> ak.get_export_stats("no such folder").total_size
    '0.00 KB'
    """
    found = exports_in(location_of(output_dir))
    total = sum(export.bytes for export in found)
    newest = sorted(found, key=lambda export: (-export.modified_ns, export.name))
    counts = Counter(export_format(export.name) or "" for export in found)
    return ExportStats(
        total_files=len(found),
        files_by_format=dict(sorted(counts.items())),
        total_bytes=total,
        total_size=size_in_words(total),
        recent_exports=[export.name for export in newest[:_RECENT]],
    )


def cleanup_old_exports(
    output_dir: str | os.PathLike[str] = "exports",
    *,
    days_old: float = 30,
    dry_run: bool = False,
    log: str | os.PathLike[str] | None = None,
) -> list[Path | StorePath]:
    """Remove exports whose last change is more than some days ago, with their `.sha256` files.

    Touches regular files that auditkit named, never follows a link, never enters a subfolder, and keeps
    what is held (`hold_export`). What it removes is in the export log before it is gone. It works in the
    folder that it opened, whatever else takes that name meanwhile.

    Parameters
    ----------
    output_dir : path or URL
        A folder that does not exist holds nothing to remove.
    days_old : float
        Age in days of 24 hours, 0 or more.
    dry_run : bool
        Only say what would be removed.
    log : path, optional
        The export log, where it does not stand in the folder; of a store: not in the working folder.

    Returns
    -------
    list of Path or StorePath
        What was removed, or would be, by name.

    Raises
    ------
    InvalidOptionError
        If `days_old` is not a number of days.
    VerificationError
        If the log is damaged: what it holds cannot be told, and nothing is removed.
    OSError
        If a file cannot be removed.

    Examples
    --------
    >>> import auditkit as ak
    >>> ak.cleanup_old_exports("no such folder", days_old=90, dry_run=True)
    []
    """
    if not 0 <= days_old < float("inf"):
        raise InvalidOptionError(f"days_old={days_old!r} is not a number of days. Give 0 or more.")
    folder = location_of(output_dir)
    cutoff = (time.time() - days_old * _DAY_SECONDS) * 1e9
    with contextlib.ExitStack() as closing:
        try:
            shelf = closing.enter_context(opened_shelf(folder))
        except FileNotFoundError:
            return []
        exports = shelf.files(_is_export)
        young = {set_of(export.name) for export in exports if export.modified_ns >= cutoff} - {None}
        aged = (export.name for export in exports if export.modified_ns < cutoff)
        old = sorted(name for name in aged if set_of(name) not in young)
        if not old:
            return []
        cleaning = _Cleaning(folder, shelf, _log_of(folder, log))
        return [folder / name for name in (cleaning.told(old) if dry_run else cleaning.done(old))]


class _Cleaning:
    """The removal of some files from an opened folder."""

    def __init__(self, folder: Location, shelf: Shelf, log: ExportLog):
        self._folder = folder
        self._shelf = shelf
        self._log = log

    def told(self, names: Sequence[str]) -> list[str]:
        """What of some exports would go."""
        return self._free(names, whole_lines(self._log.path))

    def done(self, names: Sequence[str]) -> list[str]:
        """What of some exports is gone; it stands in the log before it is."""
        with self._log.opened() as log:
            self._shelf.check()
            chain = log.chain()
            present = standing(chain.entries).present
            leaving = self._free(names, chain)
            before = {name: present.get(self._path(name), {}) for name in leaving}
            log.append([self._entry("removed", name, before[name]) for name in leaving])
            kept: list[tuple[str, OSError]] = []
            gone = [name for name in leaving if self._removed(name, kept)]
            self._shelf.sync()
            log.append([self._after_all(name, before[name], error) for name, error in kept])
        if kept:
            raise kept[0][1]
        return gone

    def _free(self, names: Sequence[str], chain: Chain) -> list[str]:
        held = held_by(self._log.path, chain, "nothing was removed")
        sets = {set_of(path.rpartition("/")[2]) for path in held} - {None}  # a part is held with its run
        free = [name for name in names if self._path(name) not in held and set_of(name) not in sets]
        beside = {name + CHECKSUM_SUFFIX for name in free}
        there = [found.name for found in self._shelf.files(beside.__contains__)]
        return sorted([*free, *(name for name in there if self._path(name) not in held)])

    def _path(self, name: str) -> str:
        return self._log.located(self._folder / name)

    def _entry(self, event: str, name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        known = {key: facts[key] for key in ("format", "bytes", "sha256") if key in facts}
        return self._log.entry(event, {**known, "path": self._path(name)})

    def _after_all(self, name: str, facts: Mapping[str, Any], error: OSError) -> dict[str, Any]:
        """That a file could not be removed: it stands there as before."""
        return self._entry("recovered" if facts else "failed", name, facts) | {
            "error": errors.in_words(error)
        }

    def _is_gone(self, name: str) -> bool:
        with contextlib.suppress(OSError):
            return not self._shelf.files(name.__eq__)
        return False

    def _removed(self, name: str, kept: list[tuple[str, OSError]]) -> bool:
        try:
            self._shelf.remove(name)
        except FileNotFoundError:  # somebody else was quicker
            return False
        except OSError as error:
            if self._is_gone(name):  # a store may do what it reports as failed
                return True
            kept.append((name, OSError(error.errno, error.strerror, str(self._folder / name))))
            return False
        log.info("removed old export %s", self._folder / name)
        return True


def _log_of(folder: Location, log: str | os.PathLike[str] | None) -> ExportLog:
    """The log whose holds count, which of a store has to be there: it stands elsewhere, and may be missed."""
    path = log_of(folder, log)
    if isinstance(folder, StorePath) and not path.exists():
        why = f"No export log tells what of {folder} is held. Name the one that knows it (log=, --log)"
        raise FileNotFoundError(errno.ENOENT, why, str(path))
    return ExportLog(path=path)


def size_in_words(size_bytes: int) -> str:
    """A size in units of 1,024 with two decimals: `12.34 KB`."""
    size = size_bytes / 1024
    for unit in _UNITS[:-1]:
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} {_UNITS[-1]}"


def exports_in(folder: Location) -> list[Found]:
    """The exports of a folder."""
    return files_of(folder, _is_export)


def _is_export(name: str) -> bool:
    return export_format(name) is not None
