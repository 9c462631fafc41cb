"""Ids found and replaced wherever they occur in texts, many texts at a time."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SHORTEST_INSIDE = 4
"""Ids of fewer characters are found as whole tokens only."""

_APART = "\ud800"  # between texts: a lone surrogate, which no text and no id holds
_SCANNED_CHARACTERS = 1 << 18
_FACTORS = (2654435761, 2246822519, 3266489917, 668265263)  # odd, for the four characters of a beginning
_TABLE_BITS = 20
_LAST_OF_TABLE = 0xFFFF
# where folding would make several characters of one (CaseFolding.txt, status F), and the i without a dot
_SPECIAL = re.compile(
    "([\u00df\u0130\u0131\u0149\u01f0\u0390\u03b0\u0587\u1e96-\u1e9e\u1f50-\u1ffc\ufb00-\ufb17])"
)
_ALIKE = {"\u0130": "i", "\u0131": "i", "\u1fd3": "\u0390", "\u1fe3": "\u03b0", "\ufb05": "\ufb06"}


def fold(text: str) -> str:
    """The text with its capitals folded, character by character: as long as it was.

    Two characters fold to the same one where `re.IGNORECASE` takes them for the same.
    """
    if text.isascii():
        return text.lower()
    parts = _SPECIAL.split(text)
    return "".join(_folded_one(part) if at % 2 else part.casefold() for at, part in enumerate(parts))


def _folded_one(character: str) -> str:
    candidates = (_ALIKE.get(character, ""), character.casefold(), character.lower(), character)
    return next(folded for folded in candidates if len(folded) == 1)


class Replacement:
    """Replaces ids in texts: the leftmost first, the longest of those that begin there, in capitals or not.

    An id of fewer than four characters is replaced only where it is a token of its own: where no word
    character (`\\w`) stands beside it. Where ids differ in capitals alone, a text that is exactly one of
    them means that one, and any other spelling the first of them in the order of their characters.

    Parameters
    ----------
    ids : iterable of str
        Not empty, without lone surrogates.
    name_of : callable
        Gives what an id is replaced by.
    """

    def __init__(self, ids: Iterable[str], name_of: Callable[[str], str]):
        self._name_of = name_of
        self._ids: dict[str, str] = {}
        self._doubles: set[str] = set()
        for one in ids:
            self._add(one)
        self._lengths, self._short_lengths = _lengths_by_beginning(self._ids)
        self._beginnings, self._first_characters = _tables(self._lengths, self._ids)

    def _add(self, one: str) -> None:
        folded = fold(one)
        if folded == one:
            folded = one  # one text instead of two: there may be millions
        other = self._ids.setdefault(folded, one)
        if other != one:
            self._doubles |= {other, one}
            self._ids[folded] = min(other, one)

    def __contains__(self, one: str) -> bool:
        return self._ids.get(fold(one)) == one or one in self._doubles

    def text(self, text: str) -> str:
        """One text with every id in it replaced."""
        return self._replaced(text)

    def texts(self, texts: Sequence[str]) -> list[str]:
        """Texts without lone surrogates, with every id in them replaced."""
        done: list[str] = []
        for some in _portions(texts):
            done += self._replaced(_APART.join(some)).split(_APART)
        return done

    def _replaced(self, text: str) -> str:
        folded = fold(text)
        pieces = []
        end = 0
        for start in self._candidates(folded):
            if start >= end and (found := self._found(text, folded, start)):
                pieces += [text[end:start], self._name_of(found[0])]
                end = found[1]
        return "".join([*pieces, text[end:]]) if pieces else text

    def _candidates(self, folded: str) -> list[int]:
        """The places where an id may begin: all where one does, and a few more."""
        import numpy as np

        codes = np.frombuffer(folded.encode("utf-32-le", "surrogatepass"), np.uint32)
        if len(codes) < SHORTEST_INSIDE and not self._short_lengths:
            return []
        may = np.zeros(len(codes), bool)
        if len(codes) >= SHORTEST_INSIDE:
            windows = np.lib.stride_tricks.sliding_window_view(codes, SHORTEST_INSIDE)
            may[: len(windows)] = self._beginnings[_hashed(windows)]
        if self._short_lengths:
            may |= self._first_characters[np.minimum(codes, _LAST_OF_TABLE)]
        places: list[int] = np.flatnonzero(may).tolist()
        return places

    def _found(self, text: str, folded: str, start: int) -> tuple[str, int] | None:
        """The id that begins at a place, and where it ends."""
        for length in self._lengths.get(folded[start : start + SHORTEST_INSIDE], ()):
            if (known := self._ids.get(folded[start : start + length])) is not None:
                end = start + len(known)
                return self._meant(text[start:end], known), end
        for length in self._short_lengths:
            end = start + length
            if (known := self._ids.get(folded[start:end])) is not None and _is_token(text, start, end):
                return self._meant(text[start:end], known), end
        return None

    def _meant(self, written: str, known: str) -> str:
        return written if written in self._doubles else known


def _portions(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """The texts, some at a time, so that memory does not grow with their number."""
    start = size = 0
    for at, text in enumerate(texts, 1):
        size += len(text)
        if size >= _SCANNED_CHARACTERS or at == len(texts):
            yield texts[start:at]
            start, size = at, 0


def _is_token(text: str, start: int, end: int) -> bool:
    return not (start and _is_word(text[start - 1])) and not (end < len(text) and _is_word(text[end]))


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"  # as \w has it


def _lengths_by_beginning(folded_ids: Iterable[str]) -> tuple[dict[str, tuple[int, ...]], tuple[int, ...]]:
    """For each beginning the lengths of the ids that have it, longest first; and those of short ids."""
    lengths: dict[str, set[int]] = defaultdict(set)
    short = set()
    for one in folded_ids:
        if len(one) >= SHORTEST_INSIDE:
            lengths[one[:SHORTEST_INSIDE]].add(len(one))
        else:
            short.add(len(one))
    ordered = {beginning: tuple(sorted(some, reverse=True)) for beginning, some in lengths.items()}
    return ordered, tuple(sorted(short, reverse=True))


def _tables(beginnings: Iterable[str], folded_ids: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """Which hashes of a beginning there are, and which characters a short id begins with."""
    import numpy as np

    hashes = np.zeros(1 << _TABLE_BITS, bool)
    codes = np.frombuffer("".join(beginnings).encode("utf-32-le"), np.uint32)
    hashes[_hashed(codes.reshape(-1, SHORTEST_INSIDE))] = True
    characters = np.zeros(_LAST_OF_TABLE + 1, bool)
    for one in folded_ids:
        if len(one) < SHORTEST_INSIDE:
            characters[min(ord(one[0]), _LAST_OF_TABLE)] = True
    return hashes, characters


def _hashed(windows: np.ndarray) -> np.ndarray:
    import numpy as np

    mixed = np.zeros(len(windows), np.uint32)
    for at, factor in enumerate(_FACTORS):
        mixed += windows[:, at] * np.uint32(factor)
    return mixed >> np.uint32(32 - _TABLE_BITS)
