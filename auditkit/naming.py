"""Run id <-> file name: no id leaves the folder, collides with another, or is refused for its letters."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import unicodedata
from datetime import UTC, datetime

from auditkit.errors import InvalidOptionError, InvalidRunIdError

LONGEST_ID = 1024
MANIFEST_SUFFIX = ".parts.json"
_LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}", re.ASCII)
_WINDOWS_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE | re.ASCII)
_SUFFIX = re.compile(r"\.[a-z0-9]+", re.ASCII)
_DATE = r"\d{4}-\d{2}-\d{2}"
_EXPORT = re.compile(
    rf"audit-(?:run|results)-(?P<id>[A-Za-z0-9][A-Za-z0-9._~-]*?)-(?P<date>{_DATE})"
    r"(?:-(?P<version>[1-9][0-9]*))?(?:\.part-[0-9]{5,}|\.parts(?=\.json(?:\.age)?$))?"
    r"\.(?P<format>[a-z0-9]+)(?P<packed>\.gz|\.zst)?(?P<sealed>\.age)?",
    re.ASCII,
)


def check_run_id(run_id: str) -> str:
    """The id itself, if it can be one.

    Raises
    ------
    InvalidRunIdError
        If it is no text, holds control characters or lone surrogates, or is over 1,024 characters long.
    """
    if not isinstance(run_id, str):
        raise InvalidRunIdError(f"{run_id!r} is no text. Take run ids from list_available_runs.")
    rule = broken_id_rule(run_id)
    if rule:
        shown = run_id if len(run_id) <= 60 else run_id[:60] + "…"
        raise InvalidRunIdError(f"{shown!r} cannot be a run id: {rule}. Give the run another id.")
    return run_id


def broken_id_rule(run_id: str) -> str | None:
    """Which rule a run id breaks, in words, or None."""
    if len(run_id) > LONGEST_ID:
        return f"a run id has at most {LONGEST_ID:,} characters"
    if run_id.isascii() and run_id.isprintable():
        return None
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in run_id):
        return "a run id holds no control characters"
    return None


def stem(run_id: str) -> str:
    """The part of a file name that stands for a run id: the id itself where it is plainly safe.

    Any other id becomes `slug~` and 16 base-32 characters of its SHA-256. `~` is not among the plain
    characters, so the two kinds never meet.
    """
    check_run_id(run_id)
    safe = _PLAIN.fullmatch(run_id) and ".." not in run_id and not run_id.endswith(".")
    if safe and not _WINDOWS_DEVICE.fullmatch(run_id):
        return run_id
    slug = "-".join(re.findall(r"[A-Za-z0-9]+", run_id)).lower()[:40].strip("-") or "run"
    digest = hashlib.sha256(run_id.encode()).digest()
    return f"{slug}~{base64.b32encode(digest)[:16].decode().lower()}"


def run_file_name(run_id: str, suffix: str, day: str | None = None) -> str:
    """`audit-run-{run id}-{date}{suffix}`; the date is that of today unless one is given."""
    return f"audit-run-{stem(run_id)}-{day or export_date()}{suffix}"


def selection_file_name(name: str, suffix: str, day: str | None = None) -> str:
    """`audit-results-{name}-{date}{suffix}`; the date is that of today unless one is given."""
    return f"audit-results-{stem(name)}-{day or export_date()}{suffix}"


def part_file_name(run_id: str, number: int, suffix: str, day: str | None = None) -> str:
    """`audit-run-{run id}-{date}.part-{number, from 1}{suffix}`: no run has a file of that name.

    For in the name of a whole run the date stands right in front of the suffix, which holds no `-`.
    """
    return run_file_name(run_id, f".part-{number:05}{suffix}", day)


def manifest_file_name(run_id: str, suffix: str, day: str | None = None) -> str:
    """`audit-run-{run id}-{date}.parts.json{suffix}`: what lists the parts."""
    return run_file_name(run_id, f"{MANIFEST_SUFFIX}{suffix}", day)


def version_name(name: str, version: int) -> str:
    """The name with its version before the suffix: `a-2024-01-15.csv` -> `a-2024-01-15-2.csv`."""
    if version == 1:
        return name
    match = _EXPORT.fullmatch(name)
    cut = match.end("date") if match else len(name)
    return f"{name[:cut]}-{version}{name[cut:]}"


def version_of(name: str) -> str | None:
    """The name whose second or later version this is, or None."""
    match = _EXPORT.fullmatch(name)
    if match is None or match["version"] is None:
        return None
    return name[: match.end("date")] + name[match.end("version") :]


def set_of(name: str) -> str | None:
    """What the manifest and the parts of a run share in their names, in all versions; None for others."""
    match = _EXPORT.fullmatch(name)
    if match is None or ".part" not in name[match.end("date") :]:
        return None
    return name[: match.end("date")]


def export_date() -> str:
    """The UTC day of the export, or of `SOURCE_DATE_EPOCH` where that is set."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if not epoch:
        return datetime.now(UTC).strftime("%Y-%m-%d")
    if not re.fullmatch("[0-9]{1,20}", epoch) or int(epoch) > _LAST_SECOND:
        raise InvalidOptionError(
            f"SOURCE_DATE_EPOCH is {epoch!r}, not a number of seconds since 1970. Correct or unset it."
        )
    return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%d")


def is_suffix(text: str) -> bool:
    """Whether a file name of ours may end so: a dot, then lower-case letters and digits."""
    return _SUFFIX.fullmatch(text) is not None


def export_format(name: str) -> str | None:
    """The format suffix (`csv`, `json`, …) of a file named by our pattern, or None for any other file."""
    match = _EXPORT.fullmatch(name)
    return match["format"] if match else None
