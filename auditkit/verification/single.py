"""One mailed file against a hash, the export log or its `.sha256`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditkit.destination import CHECKSUM_SUFFIX
from auditkit.errors import InvalidOptionError, Problem, VerificationError
from auditkit.exportlog.log import ExportLog
from auditkit.exportlog.reading import held_still, log_path
from auditkit.exportlog.standing import standing
from auditkit.verification.anchor import SHA256
from auditkit.verification.comparison import compared

_CHECKSUM = re.compile(r"(?P<sha256>[0-9a-f]{64}) [ *](?P<name>[^\n]+)\n?")


@dataclass(frozen=True, kw_only=True)
class FileReport:
    """A file that is what it was, and what says so.

    Attributes
    ----------
    path : Path
    sha256 : str
    against : str
        What it was compared with: the hash given, the export log, or its `.sha256`.
    """

    path: Path
    sha256: str
    against: str

    def in_words(self) -> str:
        """The report as a sentence."""
        return f"{self.path} is unchanged, says {self.against}: SHA-256 {self.sha256}"


def verify_file(
    path: str | os.PathLike[str],
    sha256: str | None = None,
    *,
    log: str | os.PathLike[str] | None = None,
) -> FileReport:
    """Check one file against a hash, or else the export log beside it, or else its `.sha256`.

    Parameters
    ----------
    path : path or receipt
    sha256 : str, optional
        64 hexadecimal digits.
    log : path, optional
        The export log, where it does not stand in the folder of the file.

    Raises
    ------
    VerificationError
        If the file is changed, or missing, or the log is damaged.
    FileNotFoundError
        If neither the file nor anything about it is there.
    InvalidOptionError
        If nothing says what the file should be, or `sha256` is none.

    Examples
    --------
    >>> import auditkit as ak
    >>> receipt = ak.export_audit_run("run-001", "csv", source="sample_data/runs", output_dir=folder)
    >>> ak.verify_file(receipt).against
    'the export log'
    """
    place = Path(path)
    expected, against = _expected(place, sha256, log)
    problem = compared(place.name, place, expected)
    if problem:
        raise VerificationError.of(str(place), [problem])
    return FileReport(path=place, sha256=expected["sha256"], against=against)


def _expected(place: Path, sha256: str | None, log: Any) -> tuple[Mapping[str, Any], str]:
    """What a file should be, and what says so."""
    if sha256 is not None:
        if not SHA256.fullmatch(sha256.lower()):
            raise InvalidOptionError(f"{sha256!r} is no SHA-256. Give its 64 hexadecimal digits.")
        return {"sha256": sha256.lower()}, "the hash given"
    beside = log_path(place.parent if log is None else log)
    if beside.exists():
        with held_still(beside) as (chain, _):
            if chain.damage:
                problems = [Problem("log", beside.name, detail) for detail in chain.damage]
                raise VerificationError.of(str(beside), problems)
        record = standing(chain.entries).present.get(ExportLog(path=beside).located(place))
        if record is not None:
            return record, "the export log"
    with suppress(OSError, UnicodeDecodeError):
        match = _CHECKSUM.fullmatch(place.with_name(place.name + CHECKSUM_SUFFIX).read_text("utf-8"))
        if match and match["name"] == place.name:
            return {"sha256": match["sha256"]}, f"{place.name}{CHECKSUM_SUFFIX}"
    os.lstat(place)
    raise InvalidOptionError(
        f"Nothing says what {place} should be: it is in no export log beside it, and there is no "
        f"{place.name}{CHECKSUM_SUFFIX}. Give its SHA-256."
    )
