"""What a URL of a store is, and the path that stands for it; nothing here reaches out to it."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

from auditkit.errors import InvalidOptionError

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_FLATTENED = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):/[^/]")
_LOCAL = frozenset({"file", "local"})
_BUCKETS = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "az", "oss", "oci"})
_KEYED = frozenset({"s3", "s3a", "gs", "gcs"})
"""Stores in whose URLs a bucket is all that stands in front of the path."""
_SIGNED = re.compile(r"\?.*(signature|credential|token|sig|key)[^=]*=", re.IGNORECASE)
_QUERIED = frozenset({"http", "https"})
_NO_SECRETS = (
    "Leave the password out: credentials come from the environment (AWS_ACCESS_KEY_ID, …) or from the "
    "configuration of fsspec."
)


@dataclass(frozen=True, order=True)
class StorePath(os.PathLike[str]):
    """A place in a store: what can be asked of its name, as of that of a `Path`.

    It holds no secret and no connection: it can be shown, logged, compared and pickled.

    Attributes
    ----------
    url : str
        As `pandas.read_csv` takes it: `s3://bucket/exports/name.csv`.
    """

    url: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", _checked(self.url))

    def __fspath__(self) -> str:
        return self.url

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> StorePath:
        return StorePath(f"{self.url}/{name}")

    @property
    def name(self) -> str:
        """What stands behind the last slash; of a bucket, nothing."""
        return self._parts[1]

    @property
    def parent(self) -> StorePath:
        """The folder that it stands in; that of a bucket is itself."""
        folder = self._parts[0]
        return StorePath(folder) if folder else self

    @property
    def root(self) -> str:
        """The bucket, as it is called."""
        return self.url.partition("://")[2].partition("/")[0]

    @property
    def in_bucket(self) -> bool:
        """Whether it stands in a bucket, which has to be there before anything can be put into it."""
        return _scheme(self.url) in _BUCKETS

    @property
    def suffix(self) -> str:
        """The last ending of the name, with its dot."""
        return os.path.splitext(self.name)[1]

    def with_name(self, name: str) -> StorePath:
        """Another name in the same folder."""
        return self.parent / name

    def as_posix(self) -> str:
        """The URL."""
        return self.url

    def open(self, mode: str = "rb") -> BinaryIO:
        """Its bytes, to be read."""
        from auditkit.store.access import open_stream

        if mode != "rb":
            raise InvalidOptionError(f"{self} cannot be opened as {mode!r}. It can be read: 'rb'.")
        return open_stream(self)

    @property
    def _parts(self) -> tuple[str, str]:
        scheme, _, rest = self.url.partition("://")
        folder, slash, name = rest.rpartition("/")
        return (f"{scheme}://{folder}", name) if slash else ("", "")


Location = Path | StorePath


def is_store(text: Any) -> bool:
    """Whether it is a place in a store, or written as one of a kind that fsspec knows; no `file://`."""
    if isinstance(text, StorePath):
        return True
    scheme = _scheme(text) if isinstance(text, str) else ""
    return bool(scheme) and scheme not in _LOCAL and _known(scheme)


def location_of(place: str | os.PathLike[str]) -> Location:
    """The local path or place in a store that is meant; `file://` is the local path.

    Raises
    ------
    InvalidOptionError
        If it is a URL of another kind, or one that lost a slash, or one with a password in it.
    """
    if isinstance(place, StorePath):
        return place
    text = os.fspath(place)
    scheme = _scheme(text) if isinstance(text, str) else ""
    if not scheme:
        _refuse_flattened(text, place)
        return Path(text)
    if scheme in _LOCAL:
        return Path(_local_path(text))
    if _known(scheme):
        return StorePath(text)
    raise InvalidOptionError(
        f"Nothing of the kind {scheme}:// can be used here. Give a folder, or the URL of a store such as "
        "s3://bucket/exports."
    )


def local_place(place: str | os.PathLike[str], what: str) -> Path:
    """The local path that is meant, where what is to be made cannot be made in a store.

    Raises
    ------
    InvalidOptionError
        If it is in a store.
    """
    path = location_of(place)
    if isinstance(path, Path):
        return path
    raise InvalidOptionError(
        f"{path} is in a store, and {what} can only be made in a folder of this machine. Make it there, "
        "verify it, and copy it."
    )


def located_from(folder: Path, path: str) -> Location:
    """What a log in that folder means by a path."""
    if is_store(path) and _scheme(path) not in _QUERIED:
        with suppress(InvalidOptionError):  # whoever wrote that has not exported there
            return StorePath(path)
    return folder / path


def _checked(url: str) -> str:
    match = _URL.fullmatch(url)
    if match is None:
        raise InvalidOptionError(f"{url!r} is no URL of a store. Give one such as s3://bucket/exports.")
    scheme, rest = match["scheme"].lower(), match["rest"].rstrip("/")
    authority = rest.partition("/")[0]
    if ":" in authority.rpartition("@")[0]:
        raise InvalidOptionError(f"The {scheme}:// URL holds a password. {_NO_SECRETS}")
    if "@" in authority and scheme in _KEYED:
        raise InvalidOptionError(f"The {scheme}:// URL holds a key. {_NO_SECRETS}")
    if (scheme in _QUERIED and "?" in rest) or _SIGNED.search(rest):
        raise InvalidOptionError(
            f"The URL {scheme}://{rest.partition('?')[0]} has a query, which may be a secret. "
            "Fetch the file, and give its path."
        )
    if not rest.lstrip("/") or "::" in rest:
        raise InvalidOptionError(
            f"The {scheme}:// URL names no bucket, or several places at once. Give one such as "
            "s3://bucket/exports."
        )
    return f"{scheme}://{rest}"


def _scheme(text: str) -> str:
    match = _URL.match(text)
    return match["scheme"].lower() if match else ""


@cache
def _known(scheme: str) -> bool:
    from fsspec import available_protocols

    return scheme in available_protocols()


def _local_path(url: str) -> str:
    rest = url.partition("://")[2]
    return unquote(rest.removeprefix("localhost")) or "."


def _refuse_flattened(text: Any, place: object) -> None:
    """`Path("s3://bucket")` is `s3:/bucket`, a folder that nobody meant."""
    match = _FLATTENED.match(text) if isinstance(place, Path) else None
    if match and not os.path.lexists(text.partition("/")[0]) and _known(match["scheme"].lower()):
        raise InvalidOptionError(
            f"{text!r} was a URL and lost a slash when it became a Path. Give the URL as text."
        )
