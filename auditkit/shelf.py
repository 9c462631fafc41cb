"""The exports folder: what stands in it, and what may go."""

from __future__ import annotations

import logging
import os
import stat
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from auditkit.errors import InvalidOptionError
from auditkit.naming import export_format

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
    output_dir : path

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
    found = _exports(Path(output_dir))
    total = sum(status.st_size for _, status in found)
    newest = sorted(found, key=lambda item: (-item[1].st_mtime_ns, item[0]))
    counts = Counter(export_format(name) or "" for name, _ in found)
    return ExportStats(
        total_files=len(found),
        files_by_format=dict(sorted(counts.items())),
        total_bytes=total,
        total_size=size_in_words(total),
        recent_exports=[name for name, _ in newest[:_RECENT]],
    )


def cleanup_old_exports(
    output_dir: str | os.PathLike[str] = "exports", *, days_old: float = 30, dry_run: bool = False
) -> list[Path]:
    """Remove exports whose last change is more than some days ago.

    Touches regular files that auditkit named, never follows a link and never enters a subfolder.

    Parameters
    ----------
    output_dir : path
        A folder that does not exist holds nothing to remove.
    days_old : float
        Age in days of 24 hours, 0 or more.
    dry_run : bool
        Only say what would be removed.

    Returns
    -------
    list of Path
        What was removed, or would be, by name.

    Raises
    ------
    InvalidOptionError
        If `days_old` is not a number of days.
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
    folder = Path(output_dir)
    cutoff = time.time() - days_old * _DAY_SECONDS
    old = sorted(name for name, status in _exports(folder) if status.st_mtime < cutoff)
    return [folder / name for name in old if dry_run or _removed(folder / name)]


def _removed(path: Path) -> bool:
    try:
        os.unlink(path)
    except FileNotFoundError:  # somebody else was quicker
        return False
    log.info("removed old export %s", path)
    return True


def size_in_words(size_bytes: int) -> str:
    """A size in units of 1,024 with two decimals: `12.34 KB`."""
    size = size_bytes / 1024
    for unit in _UNITS[:-1]:
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} {_UNITS[-1]}"


def _exports(folder: Path) -> list[tuple[str, os.stat_result]]:
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        if export_format(name) is None:
            continue
        try:
            status = os.lstat(folder / name)
        except FileNotFoundError:  # removed by somebody else in the meantime
            continue
        if stat.S_ISREG(status.st_mode):
            found.append((name, status))
    return found
