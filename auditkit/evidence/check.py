"""Whether an evidence bag is what was exported: everything that is wrong with it, at once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from auditkit.errors import Problem, VerificationError
from auditkit.evidence.bag import CONTROL_ROWS, DECLARATION, LOG_HEAD, MANIFEST, TAGMANIFEST
from auditkit.evidence.bagfolder import opened_bag
from auditkit.evidence.examination import Examination


@dataclass(frozen=True, kw_only=True)
class BagReport:
    """An evidence bag in which everything agrees.

    Attributes
    ----------
    path : Path
    files : int
        How many files stand in `data/`.
    rows : int
        The results of its runs.
    bytes : int
        The size of the payload.
    sha256, tagmanifest_sha256 : str
        Of its two manifests. Who got the second one another way knows that the bag is that one.
    recounted : bool
        Whether rows and sums of scores were counted again: in an encrypted bag they cannot be, nor where
        a run stands there in formats only that cannot be loaded.
    not_compared : tuple of str
        Besides, what nothing in the bag could be compared with, in words: files that cannot be loaded, and
        findings that the files of their run cannot tell.
    log_head : str or None
        The head of the export log when the bag was entered there: an anchor for `verify_exports`.
    signed_by : str or None
        The fingerprint of the key that signed.
    signers : tuple of str
        Whose key that is, according to `allowed_signers`. Empty without that file: anybody can have signed.
    """

    path: Path
    files: int
    rows: int
    bytes: int
    sha256: str
    tagmanifest_sha256: str
    recounted: bool
    not_compared: tuple[str, ...]
    log_head: str | None
    signed_by: str | None
    signers: tuple[str, ...]

    def in_words(self) -> str:
        """The report as some sentences."""
        files = "1 file" if self.files == 1 else f"{self.files:,} files"
        lines = [f"{self.path}: {files} with {self.rows:,} results, whole and as described."]
        if not self.recounted:
            lines.append("The control totals were not counted again: not every run can be read here.")
        lines += [f"Not compared with anything: {what}." for what in self.not_compared]
        if self.signers:
            lines.append(f"Signed by {', '.join(self.signers)}: {self.signed_by}")
        elif self.signed_by is not None:
            lines.append(
                f"Signed with the key {self.signed_by}. Whose it is, a file of allowed signers tells."
            )
        else:
            lines.append(
                "Nobody signed it. Compare the SHA-256 of its tag manifest with what the exporter says: "
                f"{self.tagmanifest_sha256}"
            )
        return "\n".join(lines)


def verify_bag(
    path: str | os.PathLike[str], allowed_signers: str | os.PathLike[str] | None = None
) -> BagReport:
    """Check an evidence bag: files against manifests, totals, description and signature, in every direction.

    Without a signature of somebody you trust, this tells damage from none; it cannot tell whether
    somebody made all of it anew.

    Parameters
    ----------
    path : path or receipt
        The folder of the bag, or a link to it. What it holds is taken for a stranger's: no link is followed,
        nothing outside of it is read.
    allowed_signers : path, optional
        Whose signatures count, as for `ssh-keygen -Y verify`; with it, the bag has to be signed.

    Returns
    -------
    BagReport

    Raises
    ------
    VerificationError
        With everything that is changed, missing or unexpected, and what is wrong with the signature.
    FileNotFoundError
        If there is nothing at `path`.
    InvalidKeyError
        If `allowed_signers` cannot be understood.
    MissingExtraError
        If the bag is signed, and cryptography is not installed.

    Examples
    --------
    >>> import auditkit as ak
    >>> bag = ak.export_evidence("run-001", folder / "case-17", "csv", source="sample_data/runs")
    >>> report = ak.verify_bag(bag)
    >>> report.rows, report.recounted, report.signed_by
    (8, True, None)
    >>> with open(bag.path / "data" / bag.files[0], "a") as file:
    ...     _ = file.write("one line more")
    >>> ak.verify_bag(bag)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    auditkit.errors.VerificationError: 2 problems in ... (2 changed). The first is ...
    """
    place = Path(path)
    report, problems = _examined(Path(os.path.realpath(place, strict=True)), allowed_signers, None)
    if report is None:
        raise VerificationError.of(str(place), problems)
    return replace(report, path=place)


def check_bag(
    path: Path, allowed_signers: Any = None, record: Mapping[str, Any] | None = None
) -> Iterable[Problem]:
    """Everything that is wrong with a bag; `record` is the entry of the export log that made it."""
    return _examined(path, allowed_signers, record)[1]


def is_bag(path: Path) -> bool:
    """Whether a path is a folder, and no link to one, with the declaration of a bag."""
    return path.is_dir() and not path.is_symlink() and os.path.lexists(path / DECLARATION)


def looks_like_bag(path: Path) -> bool:
    """Whether a path is a folder, or a link to one, that is a bag or was one: what `verify_bag` is for."""
    return path.is_dir() and any(os.path.lexists(path / name) for name in (DECLARATION, MANIFEST))


def _examined(
    path: Path, allowed_signers: Any, record: Mapping[str, Any] | None
) -> tuple[BagReport | None, list[Problem]]:
    if not looks_like_bag(path):
        return None, [Problem("missing", DECLARATION, "there is none: this is no folder of a bag")]
    with contextlib.ExitStack() as opened:
        try:
            bag = opened.enter_context(opened_bag(path))
        except OSError as error:
            return None, [Problem("changed", DECLARATION, f"the bag cannot be read: {error.strerror}")]
        seen = Examination(bag, allowed_signers)
        problems = list(seen.problems(record))
        return None if problems else _report(path, seen), problems


def _report(path: Path, seen: Examination) -> BagReport:
    return BagReport(
        path=path,
        files=len(seen.payload),
        rows=int(seen.info[CONTROL_ROWS]),
        bytes=sum(seen.payload.values()),
        sha256=seen.sha256(MANIFEST) or "",
        tagmanifest_sha256=seen.sha256(TAGMANIFEST) or "",
        recounted=seen.recounted,
        not_compared=tuple(seen.not_compared),
        log_head=seen.info.get(LOG_HEAD),
        signed_by=seen.signer.fingerprint if seen.signer else None,
        signers=seen.signer.identities if seen.signer else (),
    )
