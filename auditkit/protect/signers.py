"""The allowed signers file of ssh-keygen: whose a key is, what it may sign, from when and until when."""

from __future__ import annotations

import calendar
import fnmatch
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from auditkit.errors import InvalidKeyError
from auditkit.protect.ssh import ED25519, Fields, ed25519_point, from_base64

_LARGEST_BYTES = 1 << 20
_LONGEST_BYTES = 1000  # of patterns; ssh takes a text over 1,022 for no match
_BLANKS = " \t"

_LINE = re.compile(r'(?:"(?P<quoted>[^"]+)"|(?P<plain>[^" \t]+))[ \t]+(?P<rest>.+)', re.DOTALL)
_OPTION = re.compile(
    r"(?P<flag>cert-authority)"
    r'|(?P<name>namespaces|valid-after|valid-before)="(?P<value>(?:[^"\\]|\\"|\\(?!"))*)"',
    re.IGNORECASE | re.ASCII,
)
_KEY = re.compile(r"(?P<kind>[A-Za-z0-9.@-]+)[ \t]+(?P<base64>[A-Za-z0-9+/=]+)(?:[ \t].*)?", re.DOTALL)
_TIME = re.compile(r"(?P<date>[0-9]{8})(?P<time>[0-9]{4}(?:[0-9]{2})?)?(?P<utc>Z?)")


@dataclass(frozen=True, kw_only=True)
class AllowedSigner:
    """One line of the file; `after` and `before` are seconds since 1970, and the key is valid at both."""

    line: int
    identities: tuple[str, ...]
    public: bytes
    authority: bool = False
    namespaces: str | None = None
    after: int | None = None
    before: int | None = None

    def objection(self, namespace: str, when: datetime) -> str | None:
        """Why the key may not have signed this, or None."""
        patterns = ",".join(self.identities)
        if not any(_matches(identity, patterns) for identity in self.identities):
            return f"line {self.line} allows nobody, for it names {patterns!a}"
        if self.namespaces is not None and not _matches(namespace, self.namespaces):
            return f"line {self.line} allows it in namespaces {self.namespaces!a}, not in {namespace!a}"
        seconds = when.timestamp()
        if self.after is not None and seconds < self.after:
            return f"line {self.line} allows it from {_utc(self.after)} on, not at {_utc(seconds)}"
        if self.before is not None and seconds > self.before:
            return f"line {self.line} allows it until {_utc(self.before)}, not at {_utc(seconds)}"
        return None


def read_allowed_signers(path: str | os.PathLike[str]) -> list[AllowedSigner]:
    """The lines of an allowed signers file, in its order, without comments.

    The format is that of `ssh-keygen -Y verify`, see ALLOWED SIGNERS in its manual, with one difference:
    a line that cannot be read is an error and not passed over, for it may be the one that matters.

    Parameters
    ----------
    path : path
        Of the file, in UTF-8 and of at most 1 MiB.

    Raises
    ------
    InvalidKeyError
        If a line cannot be read, with its number.
    OSError
        If the file cannot be read.
    """
    name = os.fspath(path)
    with open(path, "rb") as file:
        data = file.read(_LARGEST_BYTES + 1)
    if len(data) > _LARGEST_BYTES:
        raise InvalidKeyError(f"{name} holds over 1 MiB. Give a file of allowed signers.")
    found = []
    for number, line in enumerate(data.split(b"\n"), 1):
        try:
            text = line.decode("utf-8").removesuffix("\r").strip(_BLANKS)
            if text and not text.startswith("#"):
                found.append(_signer(number, text))
        except ValueError as error:
            why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error
            raise InvalidKeyError(
                f"Line {number} of {name} names no allowed signer: {why}. "
                "Write: identities, options if any, the key. Or put # in front of it."
            ) from None
    return found


def _signer(number: int, text: str) -> AllowedSigner:
    line = _LINE.fullmatch(text)
    if line is None:
        raise ValueError("it has no key behind the identities")
    identities = _identities(line["quoted"] or line["plain"])
    options, key = _options(line["rest"])
    after, before = _seconds(options.get("valid-after")), _seconds(options.get("valid-before"))
    if after is not None and before is not None and before <= after:
        raise ValueError("valid-before is not after valid-after")
    return AllowedSigner(
        line=number,
        identities=identities,
        public=_public(key),
        authority="cert-authority" in options,
        namespaces=options.get("namespaces"),
        after=after,
        before=before,
    )


def _identities(text: str) -> tuple[str, ...]:
    identities = tuple(text.split(","))
    if not all(identity and identity.isprintable() for identity in identities):
        raise ValueError("an identity is empty or has characters that cannot be seen")
    if len(text.encode("utf-8")) > _LONGEST_BYTES:
        raise ValueError(f"its identities are longer than {_LONGEST_BYTES:,} bytes")
    return identities


def _options(text: str) -> tuple[Mapping[str, str], str]:
    """The options by name, and what comes behind them."""
    found: dict[str, str] = {}
    at = 0
    while match := _OPTION.match(text, at):
        name, value = _option(match)
        if name in found:
            raise ValueError(f"{name} stands there twice")
        found[name] = value
        at = match.end() + 1
        if text[match.end() : at] in _BLANKS:
            return found, text[at:].lstrip(_BLANKS)
        if text[match.end()] != ",":
            break
    if found:
        raise ValueError(
            'it has an option other than cert-authority, namespaces="…", valid-after="…" and valid-before="…"'
        )
    return found, text


def _option(match: re.Match[str]) -> tuple[str, str]:
    name = (match["flag"] or match["name"]).lower()
    value = (match["value"] or "").replace('\\"', '"')
    if not value.isprintable() or len(value.encode("utf-8")) > _LONGEST_BYTES:
        raise ValueError(f"{name} is over {_LONGEST_BYTES:,} bytes or has characters that cannot be seen")
    return name, value


def _public(text: str) -> bytes:
    match = _KEY.fullmatch(text)
    if match is None:
        raise ValueError("it has no key of the form `ssh-ed25519 AAAA…` behind identities and options")
    kind, public = match["kind"].encode("ascii"), from_base64(match["base64"].encode("ascii"))
    if Fields(public).field() != kind:
        raise ValueError("the key is not of the type that it is said to be")
    if kind == ED25519:
        ed25519_point(public)
    return public


def _seconds(text: str | None) -> int | None:
    """A time of an option as seconds since 1970; one without Z is meant in the time zone of this machine."""
    if text is None:
        return None
    match = _TIME.fullmatch(text)
    try:
        if match is None:
            raise ValueError(text)
        digits = match["date"] + (match["time"] or "").ljust(6, "0")
        fields = datetime.strptime(digits, "%Y%m%d%H%M%S").timetuple()
        # ssh takes a time of this machine for one without daylight saving, in summer too
        seconds = calendar.timegm(fields) if match["utc"] else int(time.mktime((*fields[:8], 0)))
    except (ValueError, OverflowError):
        seconds = 0
    if seconds <= 0:
        raise ValueError(f"{text!a} is no time after 1970 of the form YYYYMMDD[HHMM[SS]][Z]")
    return seconds


def _matches(text: str, patterns: str) -> bool:
    """Whether one of the patterns fits, and none of those behind a `!`."""
    fits = False
    for pattern in patterns.encode("utf-8").split(b","):
        wanted = pattern.removeprefix(b"!").replace(b"[", b"[[]")  # ssh knows * and ? alone, for bytes
        if fnmatch.fnmatchcase(text.encode("utf-8"), wanted):
            if pattern.startswith(b"!"):
                return False
            fits = True
    return fits


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
