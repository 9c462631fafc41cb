"""The form of a bag (BagIt 1.0, RFC 8493): its files, manifests and bag-info, written and read."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from auditkit.errors import Problem, VerificationError
from auditkit.evidence.bagfolder import opened_bag
from auditkit.exportlog.remains import BAG_MANIFEST

PAYLOAD = "data/"
MANIFEST = BAG_MANIFEST
TAGMANIFEST = "tagmanifest-sha256.txt"
SIGNATURE = TAGMANIFEST + ".sig"
DECLARATION = "bagit.txt"
INFO = "bag-info.txt"
FINDINGS = "findings.csv"
INSTRUCTIONS = "VERIFY.txt"

DECLARED = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"

LOG_HEAD = "Log-Head"
OXUM = "Payload-Oxum"
DATE = "Bagging-Date"
AGENT = "Bag-Software-Agent"
PSEUDONYMISED = "Pseudonymised"
CONTROL_ROWS = "Control-Rows"
CONTROL_SUMS = {
    "user_score": "Control-Sum-User-Score",
    "ai_score": "Control-Sum-AI-Score",
    "deviation": "Control-Sum-Deviation",
}

_LINE = re.compile(r"(?P<sha256>[0-9a-f]{64})  (?P<name>[^\n]+)\n")
_ENCODED = {"%": "%25", "\n": "%0A", "\r": "%0D"}
_DECODED = {code: character for character, code in _ENCODED.items()}
_WIDTH, _INDENT = 79, "  "


def manifest_text(hashes: Mapping[str, str]) -> bytes:
    """A manifest: a line for each file, by name, as `sha256sum -c` reads it."""
    lines = (f"{hashes[name]}  {_encoded(name)}\n" for name in sorted(hashes))
    return "".join(lines).encode()


def read_manifest(data: bytes) -> dict[str, str]:
    """The SHA-256 of each file that a manifest names.

    Raises
    ------
    ValueError
        In words, if it is not as `manifest_text` writes it: a line that is none, a name that stands
        twice, another order.
    """
    hashes: dict[str, str] = {}
    for number, line in enumerate(_lines(data), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"line {number} is not a SHA-256, two blanks and a name")
        name = _decoded(match["name"])
        if name in hashes:
            raise ValueError(f"line {number} names {shown(name)} once more")
        hashes[name] = match["sha256"]
    if manifest_text(hashes) != data:
        raise ValueError("its lines are not in order, or not as they were written")
    return hashes


def info_text(tags: Sequence[tuple[str, str]]) -> bytes:
    """A bag-info: a label and a value a line, folded at blanks where it would be too long."""
    return "".join(_folded(f"{label}: {value}") for label, value in tags).encode()


def read_info(data: bytes) -> dict[str, str]:
    """The value of each label of a bag-info, folded lines joined by a blank.

    Raises
    ------
    ValueError
        In words, if a line is none, or a label stands twice.
    """
    tags: dict[str, list[str]] = {}
    label = ""
    for number, line in enumerate(_lines(data), 1):
        if line[0] in " \t" and label:
            tags[label].append(line.strip())
            continue
        label, colon, value = line.partition(":")
        if not colon or not label or label != label.strip():
            raise ValueError(f"line {number} is no label and value")
        if label in tags:
            raise ValueError(f"line {number} gives {shown(label)} once more")
        tags[label] = [value.strip()]
    return {label: " ".join(pieces).strip() for label, pieces in tags.items()}


def bag_info(path: Path) -> dict[str, str]:
    """What the bag-info of a bag says, by label.

    Raises
    ------
    VerificationError
        If it is missing or cannot be understood.
    """
    try:
        with opened_bag(path) as bag:
            return read_info(bag.read(INFO))
    except OSError as error:
        reason = error.strerror or "it cannot be read"
    except ValueError as error:
        reason = str(error)
    raise VerificationError.of(str(path), [Problem("changed", INFO, reason)])


def shown(name: str) -> str:
    """A name out of a bag, fit for a message: short, and without what would move a cursor."""
    text = name if name.isprintable() else ascii(name)[1:-1]
    return text if len(text) <= 200 else text[:200] + "…"


def _lines(data: bytes) -> Iterable[str]:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    if not text.endswith("\n"):
        raise ValueError("it is empty, or its last line has no end")
    return (line + "\n" for line in text[:-1].split("\n"))


def _folded(line: str) -> str:
    """A line in pieces of at most 79 characters; a word that is longer stays whole."""
    pieces = textwrap.wrap(
        line, _WIDTH, subsequent_indent=_INDENT, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(pieces) + "\n"


def _encoded(name: str) -> str:
    return re.sub("[%\n\r]", lambda match: _ENCODED[match[0]], name)


def _decoded(name: str) -> str:
    return re.sub("%(?:25|0A|0D)", lambda match: _DECODED[match[0]], name)
