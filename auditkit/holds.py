"""Holds: which exports have to stay, by the export log, and how one gets on that list."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection
from pathlib import Path

from auditkit.disk import named_errors
from auditkit.errors import InvalidOptionError, Problem, VerificationError
from auditkit.exportlog.chain import Chain, read_chain
from auditkit.exportlog.log import ExportLog
from auditkit.exportlog.logfile import opened_to_read
from auditkit.exportlog.reading import log_of
from auditkit.exportlog.standing import standing
from auditkit.store import Location, StorePath, location_of, require_found


def hold_export(
    path: str | os.PathLike[str],
    *,
    release: bool = False,
    reason: str | None = None,
    log: str | os.PathLike[str] | None = None,
) -> str:
    """Keep an export from being cleaned up or replaced, or release it; the head of the log, which says so.

    Cleaning then leaves the `.sha256` of the file, too.

    Parameters
    ----------
    path : path, URL or receipt
        What the log says stands there, and does: an export, its `.sha256`, an evidence bag.
    release : bool
        End the hold.
    reason : str, optional
        For the log: a case number, for example.
    log : path, optional
        The export log, where it does not stand in the folder of the file; of a store: in the working folder.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or no log: none is made.
    InvalidOptionError
        If the log knows of no such file.

    Examples
    --------
    >>> import auditkit as ak
    >>> receipt = ak.export_audit_run("run-001", "csv", source="sample_data/runs", output_dir=folder)
    >>> head = ak.hold_export(receipt, reason="case 17")
    >>> ak.cleanup_old_exports(folder, days_old=0)
    []
    """
    place = location_of(path)
    is_link = _is_link(place)
    export_log = ExportLog(path=log_of(place.parent, log))
    if not os.path.lexists(export_log.path):
        raise FileNotFoundError(
            errno.ENOENT,
            "There is no export log, and nothing else can hold an export. Name the one that knows it "
            "(log=, --log)",
            str(export_log.path),
        )
    facts = {"path": export_log.located(place)} | ({} if reason is None else {"reason": reason})
    with export_log.opened() as opened:
        says = standing(opened.chain().entries)
        if is_link or facts["path"] not in (says.held if release else says.present):
            raise _not_held(place, export_log.path) if release else _not_holdable(place, export_log.path)
        return opened.append([export_log.entry("released" if release else "held", facts)])


def _is_link(place: Location) -> bool:
    """Whether what stands there is a link; it is an error if nothing does."""
    if isinstance(place, StorePath):
        require_found(place)
        return False
    return stat.S_ISLNK(os.lstat(place).st_mode)


def held_by(log: Path, chain: Chain, left: str) -> Collection[str]:
    """The paths that a log holds; `left` says what was therefore left undone.

    Raises
    ------
    VerificationError
        If it is damaged: a line that was changed, or is gone, may be a hold. A file in which no line is
        sound is no log, and holds nothing.
    """
    if chain.damage and chain.entries:
        raise VerificationError(
            f"The export log {log} is damaged: {chain.damage[0]}. What it holds cannot be told, and {left}. "
            "Go back to a sound copy of it; `verify_exports` lists everything.",
            [Problem("log", log.name, detail) for detail in chain.damage],
        )
    return standing(chain.entries).held.keys()


def whole_lines(log: Path) -> Chain:
    """The lines of a log as they are now, none if there is no log.

    Half a line at its end is left out: it is being written, or whoever writes next sets it aside.
    """
    try:
        with named_errors(log), opened_to_read(log) as lines:
            return read_chain(line for line in lines if line.endswith(b"\n"))
    except FileNotFoundError:
        return Chain()


def _not_holdable(place: Location, log: Path) -> InvalidOptionError:
    return InvalidOptionError(
        f"{place} cannot be held: the export log {log} knows of no such file that stands there. Give an "
        "export, its .sha256 or an evidence bag, as the log calls it, or the log that knows it (log=, --log)."
    )


def _not_held(place: Location, log: Path) -> InvalidOptionError:
    return InvalidOptionError(
        f"{place} is not held in the export log {log}. Name what is, or the log that holds it (log=, --log)."
    )
