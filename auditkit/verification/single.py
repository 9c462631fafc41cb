"""One mailed file against a hash, the export log or its `.sha256`."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditkit.beside import checksum_of, checksum_path
from auditkit.errors import InvalidOptionError, Problem, VerificationError
from auditkit.exportlog.chain import Chain
from auditkit.exportlog.log import ExportLog
from auditkit.exportlog.reading import default_log, held_still, log_of
from auditkit.exportlog.standing import standing
from auditkit.store import Location, StorePath, location_of
from auditkit.verification.anchor import SHA256
from auditkit.verification.comparison import compared, sha256_of, size_of

_MADE = ("commit", "recovered")
_GONE = " of {}, replaced or removed since"


@dataclass(frozen=True, kw_only=True)
class FileReport:
    """A file that is what it was, and what says so.

    Attributes
    ----------
    path : Path or StorePath
    sha256 : str
    against : str
        What it was compared with: the hash given, the export log, as which export if under another name, or
        its `.sha256`.
    """

    path: Path | StorePath
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

    A file that the log does not know by its place it may know by its content: a copy under another name,
    or a decrypted one.

    Parameters
    ----------
    path : path, URL or receipt
    sha256 : str, optional
        64 hexadecimal digits.
    log : path, optional
        The export log, where it does not stand in the folder of the file. Then only the log counts.

    Raises
    ------
    VerificationError
        If the file is changed, or missing, the log is damaged, or the log that is named does not know it.
    FileNotFoundError
        If neither the file nor anything about it is there, or no log where one is named.
    IsADirectoryError
        If it is a folder.
    InvalidOptionError
        If nothing says what the file should be, or `sha256` is none.

    Examples
    --------
    >>> import auditkit as ak
    >>> receipt = ak.export_audit_run("run-001", "csv", source="sample_data/runs", output_dir=folder)
    >>> ak.verify_file(receipt).against
    'the export log'
    """
    place = _file_place(path)
    expected, against = _expected(place, sha256, log)
    problem = compared(place.name, place, expected)
    if problem and problem.kind == "missing" and "time" not in expected:
        problem = Problem("missing", place.name, f"is not there, and {against} names it")
    if problem:
        raise VerificationError.of(str(place), [problem])
    return FileReport(path=place, sha256=expected["sha256"], against=against)


def _file_place(path: str | os.PathLike[str]) -> Location:
    if not os.fspath(path):
        raise InvalidOptionError(f"{path!r} names no file. Give the path of one.")
    place = location_of(path)
    if isinstance(place, Path) and place.is_dir() and not place.is_symlink():
        why = "This is a folder, not a file (verify_exports checks a folder of exports, verify_bag a bag)"
        raise IsADirectoryError(errno.EISDIR, why, str(place))
    return place


def _expected(place: Location, sha256: Any, log: Any) -> tuple[Mapping[str, Any], str]:
    """What a file should be, and what says so."""
    if sha256 is not None:
        size_of(place)
        return {"sha256": _digits(sha256)}, "the hash given"
    if log is not None:
        return _in_that_log(log_of(place.parent, log), place)
    beside = default_log(place.parent)
    known = _in_log(beside, place) if beside.exists() else None
    if known is not None:
        return known
    checksum = checksum_of(place)
    if checksum is not None:
        return {"sha256": checksum}, checksum_path(place).name
    size_of(place)
    raise InvalidOptionError(
        f"Nothing says what {place} should be: it is in no export log beside it, and there is no "
        f"{checksum_path(place).name}. Give its SHA-256 (sha256=, --sha256), or its log (log=, --log)."
    )


def _digits(sha256: Any) -> str:
    if not isinstance(sha256, str) or not SHA256.fullmatch(sha256.lower()):
        raise InvalidOptionError(f"{sha256!r} is no SHA-256. Give its 64 hexadecimal digits.")
    return sha256.lower()


def _in_that_log(log: Path, place: Location) -> tuple[Mapping[str, Any], str]:
    """What a log says of a file that has to be in it."""
    os.stat(log)
    known = _in_log(log, place)
    if known is None:
        size_of(place)
        problem = Problem("unexpected", place.name, f"is in no entry of the log {log}")
        raise VerificationError.of(str(place), [problem])
    return known


def _in_log(log: Path, place: Location) -> tuple[Mapping[str, Any], str] | None:
    """What a log says of a file, which it knows by its place or else by its content."""
    with held_still(log) as (chain, _):
        if chain.damage:
            raise VerificationError.of(str(log), [Problem("log", log.name, text) for text in chain.damage])
    present = standing(chain.entries).present
    record = present.get(ExportLog(path=log).located(place))
    if record is not None:
        return record, "the export log"
    own = sha256_of(place)
    return None if own is None else _of_that_content(own, chain, present)


def _of_that_content(
    sha256: str, chain: Chain, present: Mapping[str, Mapping[str, Any]]
) -> tuple[Mapping[str, Any], str] | None:
    """The export that has some content, encrypted or not; rather one that stands there still."""
    made = [entry.record for entry in reversed(chain.entries) if entry.record["event"] in _MADE]
    for record, then in (*((one, "") for one in present.values()), *((one, _GONE) for one in made)):
        since = then.format(record.get("time"))
        if record.get("sha256") == sha256:
            return {"sha256": sha256}, f"the export log, as {record['path']}{since}"
        if record.get("plain_sha256") == sha256:
            return {"sha256": sha256}, f"the export log, as the content of {record['path']}{since}"
    return None
