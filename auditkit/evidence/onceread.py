"""The files of a bag, each read once: what is parsed, hashed and signed are the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

from auditkit.errors import Problem
from auditkit.evidence.bagfolder import BagFolder

Parsed = TypeVar("Parsed")
Judged = Generator[Problem, None, Parsed]
"""Problems as they are found, and in the end a result."""


class OnceRead:
    """An opened bag.

    Parameters
    ----------
    bag : BagFolder
    whole : iterable of str
        The tag files that are needed as a whole; they are read at once.
    """

    def __init__(self, bag: BagFolder, whole: Iterable[str]):
        self.bag = bag
        self._data: dict[str, bytes] = {}
        self._reasons: dict[str, str] = {}
        self._hashes: dict[str, str | None] = {}
        for name in whole:
            self._read(name)

    def data(self, name: str) -> bytes | None:
        """The bytes of one of the tag files, or None if they could not be had."""
        return self._data.get(name)

    def parsed(self, name: str, parse: Callable[[bytes], Parsed]) -> Judged[Parsed | None]:
        """What one of the tag files says, or None with the problem that it has."""
        reason = self._reasons.get(name)
        if reason is None:
            try:
                return parse(self._data[name])
            except ValueError as error:
                reason = str(error)
        yield Problem("changed" if name in self.bag.sizes else "missing", name, reason)
        return None

    def sha256(self, name: str) -> str | None:
        """The SHA-256 of any file, or None if it is not there or cannot be read."""
        if name not in self._hashes:
            try:
                self._hashes[name] = self.bag.sha256(name)
            except OSError:
                self._hashes[name] = None
        return self._hashes[name]

    def _read(self, name: str) -> None:
        try:
            self._data[name] = self.bag.read(name)
            self._hashes[name] = hashlib.sha256(self._data[name]).hexdigest()
        except FileNotFoundError:
            self._reasons[name] = "there is none"
        except OSError:
            self._reasons[name] = "it cannot be read"
        except ValueError as error:
            self._reasons[name], self._hashes[name] = str(error), None
