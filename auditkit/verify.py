"""Exports against their log, and the log against itself and an anchor: everything that is wrong, at once."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditkit.errors import InvalidOptionError, Problem, VerificationError
from auditkit.evidence.bag import LOG_HEAD, bag_info
from auditkit.evidence.check import check_bag, is_bag
from auditkit.evidence.checkpoint import CHECKPOINT_NAME, read_checkpoint
from auditkit.exportlog.chain import Chain
from auditkit.exportlog.logfile import LOG_NAME, TORN_SUFFIX
from auditkit.exportlog.reading import held_still, log_path
from auditkit.exportlog.remains import file_sha256, whole_file
from auditkit.exportlog.standing import Standing, standing
from auditkit.locking import try_lock
from auditkit.publish import is_temporary

_SHA256 = re.compile("[0-9a-f]{64}")
_OWN = (LOG_NAME, LOG_NAME + TORN_SUFFIX, CHECKPOINT_NAME, CHECKPOINT_NAME + ".sig")


@dataclass(frozen=True, kw_only=True)
class VerificationReport:
    """What was found right.

    Attributes
    ----------
    path : Path
        The folder.
    files : int
        How many files stand there as their export left them, those in bags included.
    log_head : str
        The head of the log: keep it elsewhere, and it is an anchor for the next verification.
    log_entries : int
    anchored : bool
        Whether an anchor was given, and found in the log. Without one nobody can tell that the last
        lines of a log were cut off, or that all of it was written anew.
    live : tuple of str
        What is being exported at this moment, and was not judged.
    """

    path: Path
    files: int
    log_head: str
    log_entries: int
    anchored: bool
    live: tuple[str, ...] = ()


def verify_exports(
    output_dir: str | os.PathLike[str] = "exports",
    anchor: Any = None,
    *,
    allowed_signers: str | os.PathLike[str] | None = None,
    log: str | os.PathLike[str] | None = None,
) -> VerificationReport:
    """Check every file of an exports folder against its log, and the log against itself.

    The lines of the log vouch for one another, but no line vouches that it is the last: a log whose end
    was cut off, or that was written anew from some line on, looks whole. An anchor tells: a head of the
    log that was kept elsewhere has to be the hash of one of its lines. It vouches for what stands in
    front of it.

    Parameters
    ----------
    output_dir : path
        Every file in it has to be in the log, but for hidden ones and folders that are no bags.
    anchor : str, receipt, or path, optional
        A head printed earlier (64 hexadecimal digits), a receipt, an evidence bag, or a signed
        checkpoint.
    allowed_signers : path, optional
        Whose signatures count, as for `ssh-keygen -Y verify`; a signed checkpoint needs it.
    log : path, optional
        The log, where it does not stand in the folder.

    Returns
    -------
    VerificationReport

    Raises
    ------
    VerificationError
        With every file that is changed, missing, unexpected or half-done, and every damage to the log.
    FileNotFoundError
        If there is no such folder.
    InvalidOptionError
        If the anchor is none.

    Examples
    --------
    >>> import auditkit as ak
    >>> receipt = ak.export_audit_run("run-001", "csv", source="sample_data/runs", output_dir=folder)
    >>> report = ak.verify_exports(folder, anchor=receipt)
    >>> report.files, report.log_entries, report.anchored
    (1, 2, True)
    >>> with open(receipt, "a") as file:
    ...     _ = file.write("one line more")
    >>> ak.verify_exports(folder)
    Traceback (most recent call last):
    auditkit.errors.VerificationError: 1 problem in ... (1 changed). It is ...
    """
    folder = Path(output_dir)
    os.stat(folder)
    head = None if anchor is None else _anchor_head(anchor, allowed_signers)
    path = folder / LOG_NAME if log is None else log_path(log)
    if not path.exists():
        problem = Problem("log", path.name, "there is none: nothing vouches for these files")
        raise VerificationError.of(str(folder), [problem])
    with held_still(path) as (chain, quiet):
        review = _Review(folder, path, chain, quiet, allowed_signers)
        problems = [*review.of_log(head), *review.of_files(), *review.of_leftovers()]
    if problems:
        raise VerificationError.of(str(folder), problems)
    return VerificationReport(
        path=folder,
        files=review.sound,
        log_head=chain.head,
        log_entries=len(chain.entries),
        anchored=head is not None,
        live=tuple(review.live),
    )


class _Review:
    """One look at a folder and its log."""

    def __init__(self, folder: Path, log: Path, chain: Chain, quiet: bool, allowed_signers: Any):
        self._folder = folder
        self._log = log
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
            try:
                place = self._place(path)
                self._judged.add(os.path.abspath(place))
                yield from self._of_file(path, place, record)
            except ValueError:  # a zero byte, or a lone surrogate
                yield Problem("log", self._log.name, f"names a file that cannot be: {path!r}")
        for record in self._pending if self._quiet else ():
            found = whole_file(self._place(record["path"]), record)
            said = f"and left its whole file as {found.name}" if found else "and left no whole file"
            yield Problem(
                "half-done", record["path"], f"was begun on {record.get('time')} and never ended, {said}"
            )
            if found:
                self._judged.add(os.path.abspath(found))

    def _of_file(self, path: str, place: Path, record: Mapping[str, Any]) -> Iterator[Problem]:
        if record.get("format") == "bag":
            if place.is_dir() and not place.is_symlink():
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
        live = {os.path.abspath(self._place(path)) for path in self.live}
        for name in sorted(os.listdir(self._folder)):
            place = self._folder / name
            if is_temporary(name):
                if _abandoned(place):
                    yield Problem("half-done", name, "is what an export that died was writing")
            elif not self._accounted(name, place) and os.path.abspath(place) not in live:
                yield self._unexpected(name, place)

    def _accounted(self, name: str, place: Path) -> bool:
        if name.startswith(".") or name in _OWN or os.path.abspath(place) in self._judged:
            return True
        if place.is_dir() and not place.is_symlink():
            return not is_bag(place)
        return bool(self._says.plain) and _sha256_of(place) in self._says.plain

    def _unexpected(self, name: str, place: Path) -> Problem:
        gone = self._says.removed.get(name)
        if gone and _sha256_of(place) == gone.get("sha256"):
            return Problem("half-done", name, "is logged as removed, and still there")
        return Problem("unexpected", name, "is not in the log")

    def _place(self, path: str) -> Path:
        return self._log.parent / path


def compared(path: str, place: Path, record: Mapping[str, Any]) -> Problem | None:
    """A file against the entry that made it, or against any size (None: whichever) and SHA-256."""
    try:
        found = os.lstat(place)
    except FileNotFoundError:
        return Problem("missing", path, f"was exported on {record.get('time', 'some day')}")
    if not stat.S_ISREG(found.st_mode):
        return Problem("changed", path, "is no regular file any more")
    if found.st_size != record.get("bytes", found.st_size):
        return Problem("changed", path, f"has {found.st_size:,} bytes instead of {record['bytes']:,}")
    own = _sha256_of(place)
    if own is None:
        return Problem("changed", path, "cannot be read")
    if own != record.get("sha256"):
        return Problem("changed", path, f"has the SHA-256 {own[:16]}…, not {str(record.get('sha256'))[:16]}…")
    return None


def _anchor_head(anchor: Any, allowed_signers: Any) -> str:
    head = getattr(anchor, "log_head", anchor)
    if isinstance(head, str) and _SHA256.fullmatch(head):
        return head
    try:
        path = Path(head)
    except TypeError:
        path = Path()
    if is_bag(path):
        return bag_info(path)[LOG_HEAD]
    if path.is_file():
        return read_checkpoint(path, allowed_signers)
    raise InvalidOptionError(
        f"anchor={anchor!r} is no anchor. Give a head of the log (64 hexadecimal digits), a receipt, an "
        "evidence bag or a signed checkpoint."
    )


def _abandoned(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return os.path.lexists(path)
    try:
        return try_lock(descriptor) and os.path.lexists(path)
    finally:
        os.close(descriptor)


def _sha256_of(path: Path) -> str | None:
    try:
        return file_sha256(path) if stat.S_ISREG(os.lstat(path).st_mode) else None
    except OSError:
        return None
