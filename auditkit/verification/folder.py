"""Exports against their log, and the log against itself and an anchor: everything that is wrong, at once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditkit.errors import Problem, VerificationError
from auditkit.exportlog.reading import held_still, log_of
from auditkit.store import StorePath, location_of
from auditkit.verification.anchor import anchor_head
from auditkit.verification.review import Review


@dataclass(frozen=True, kw_only=True)
class VerificationReport:
    """What was found right.

    Attributes
    ----------
    path : Path or StorePath
        The folder.
    files : int
        How many files and bags stand there as their export left them.
    log_head : str
        The head of the log: keep it elsewhere, and it is an anchor for the next verification.
    log_entries : int
    anchored : bool
        Whether an anchor was given, and found in the log. Without one nobody can tell that the last
        lines of a log were cut off, or that all of it was written anew.
    live : tuple of str
        What is being exported at this moment, and was not judged.
    """

    path: Path | StorePath
    files: int
    log_head: str
    log_entries: int
    anchored: bool
    live: tuple[str, ...] = ()

    def in_words(self) -> str:
        """The report as some sentences."""
        lines = [
            f"{self.path}: {self.files:,} {'file' if self.files == 1 else 'files'} as exported; "
            f"the log is whole, {self.log_entries:,} entries.",
            *(f"Being exported right now, and not judged: {path}" for path in self.live),
            f"Head of the log: {self.log_head}",
            "It has the anchor among its lines."
            if self.anchored
            else "Without an anchor nobody can tell whether its end was cut off. Keep this head elsewhere, "
            "and give it as anchor next time.",
        ]
        return "\n".join(lines)


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
    output_dir : path or URL
        Every file in it has to be in the log, but for hidden ones and folders that are no bags.
    anchor : str, receipt, or path, optional
        A head printed earlier (64 hexadecimal digits), a receipt, an evidence bag, or a signed
        checkpoint.
    allowed_signers : path, optional
        Whose signatures count, as for `ssh-keygen -Y verify`; a signed checkpoint needs it.
    log : path, optional
        The log, where it does not stand in the folder; of a store: in the working folder.

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
    >>> ak.verify_exports(folder)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    auditkit.errors.VerificationError: 1 problem in ... (1 changed). It is audit-run-...: changed: ...
    """
    folder = location_of(output_dir)
    if isinstance(folder, Path):
        os.stat(folder)
    head = None if anchor is None else anchor_head(anchor, allowed_signers)
    path = log_of(folder, log)
    if not path.exists():
        problem = Problem("log", path.name, "there is none: nothing vouches for these files")
        raise VerificationError.of(str(folder), [problem])
    with held_still(path) as (chain, quiet):
        review = Review(folder, path, chain, quiet, allowed_signers)
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
