"""Ids found and replaced wherever they occur in texts, many texts at a time."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, compress, count
from operator import not_
from typing import TYPE_CHECKING, TypeAlias
from unicodedata import combining, is_normalized, normalize

if TYPE_CHECKING:
    import numpy as np

SHORTEST_INSIDE = 4
"""Ids of fewer characters, composed, are found as whole tokens only."""

_APART = "\ud800"  # between texts: a lone surrogate, which no text and no id holds
_SCANNED_CHARACTERS = 1 << 18
_FACTORS = (2654435761, 2246822519, 3266489917, 668265263)  # odd, for the four characters of a beginning
_TABLE_BITS = 20
_LAST_OF_TABLE = 0xFFFF
_SPELT_OTHERWISE = re.compile(r"[^ !#-\[\]-~]")  # not ASCII, or escaped in JSON
_NO_MARK = 255  # above all combining classes
# where folding would make several characters of one (CaseFolding.txt, status F), and the i without a dot
_SPECIAL = re.compile(
    "([\u00df\u0130\u0131\u0149\u01f0\u0390\u03b0\u0587\u1e96-\u1e9e\u1f50-\u1ffc\ufb00-\ufb17])"
)
_DOT = "\u0307"
_UNITS = re.compile(f"[Ii]{_DOT}|.", re.DOTALL)  # an i with its dot is one, as \u0130 is
_ALIKE = {"\u0130": "i", "\u0131": "i", "\u1fd3": "\u0390", "\u1fe3": "\u03b0", "\ufb05": "\ufb06"}


Seen: TypeAlias = tuple[str, Sequence[int]]


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


def _is_plain(text: str) -> bool:
    """Whether characters that are equivalent are the same ones in it: composed, and without marks apart."""
    return text.isascii() or (not any(map(combining, text)) and is_normalized("NFC", text))


def _seen(text: str) -> Seen:
    """The text as it is searched, and which place of the text each place of that is, -1 for none."""
    return _seen_plain(text) if _is_plain(text) else _seen_apart(text)


def _seen_plain(text: str) -> Seen:
    return fold(text), range(len(text) + 1)


def _seen_apart(text: str) -> Seen:
    """The same with its characters decomposed; a place inside one of them is none of the text."""
    import numpy as np

    units = _units(text)
    forms = [*map(_decomposed, units)]
    apart = "".join(forms)
    places = np.full(len(apart) + 1, -1, np.int64)
    places[_ends(forms)] = _ends(units)
    if not is_normalized("NFD", apart):
        places[[*_torn(apart)]] = -1
        apart = _ordered(apart)
    return fold(apart), places.data


def _ends(parts: Sequence[str]) -> np.ndarray:
    """Where each part begins in the whole, and where the last one ends."""
    import numpy as np

    return np.cumsum([0, *map(len, parts)])


def _units(text: str) -> Sequence[str]:
    return _UNITS.findall(text) if _DOT in text else text


@lru_cache(1 << 12)
def _decomposed(unit: str) -> str:
    return normalize("NFD", unit) if unit != "\u0130" and len(unit) == 1 else "i"


def _ordered(text: str) -> str:
    """The text with its marks in canonical order, which `normalize` finds in quadratic time."""
    classes = [*map(combining, text)]
    if not any(classes):
        return text
    runs = accumulate(not one for one in classes)
    return "".join(character for *_, character in sorted(zip(runs, classes, count(), text, strict=False)))


def _composed(text: str) -> str:
    return fold(normalize("NFC", _ordered(text)))


def _torn(apart: str) -> Iterator[int]:
    """The places across which marks change their order when they are put in the canonical one."""
    classes = [combining(character) for character in apart]
    highest = accumulate(classes, lambda high, one: max(high, one) if one else 0)
    lowest = accumulate([one or _NO_MARK for one in reversed(classes)], _lower)
    for at, (before, after) in enumerate(zip(highest, [*lowest][-2::-1], strict=False), 1):
        if before > after:
            yield at


def _lower(low: int, one: int) -> int:
    return one if one == _NO_MARK else min(low, one)


def _spellings(one: str) -> set[str]:
    """An id as it may stand in what is searched: composed, decomposed, in JSON."""
    if not _SPELT_OTHERWISE.search(one):
        return {fold(one)}
    spellings = {fold(json.dumps(one)[1:-1])}
    for text in {one, json.dumps(one, ensure_ascii=False)[1:-1]}:
        composed = _composed(text)
        apart = _ordered("".join(map(_decomposed, _units(text))))
        spellings |= {composed, normalize("NFC", composed), fold(apart)}
    for text in () if one.isascii() else (one, fold(one), "".join(map(_capital, one))):
        spellings |= {fold(json.dumps(normalize(form, _ordered(text)))[1:-1]) for form in ("NFC", "NFD")}
    return spellings


@lru_cache(1 << 12)
def _capital(character: str) -> str:
    return character.upper() if fold(character.upper()) == fold(character) else character


class Replacement:
    """Replaces ids in texts: the leftmost first, the longest of those that begin there, in any spelling.

    That is in capitals or not, composed or decomposed (canonically equivalent), and as JSON has it, such as
    `\\u00e9`. An id of fewer than four characters, composed, is replaced only where it is a token of its
    own: where no word character (`\\w`) stands beside it. Where ids differ in spelling alone, a text that is
    exactly one of them means that one, and any other the first of them in the order of their characters.

    Parameters
    ----------
    ids : iterable of str
        Not empty, without lone surrogates.
    name_of : callable
        Gives what an id is replaced by.
    """

    def __init__(self, ids: Iterable[str], name_of: Callable[[str], str]):
        self._name_of = name_of
        self._long: dict[str, str] = {}
        self._short: dict[str, str] = {}
        self._doubles: set[str] = set()
        for one in ids:
            self._add(one)
        self._lengths = _lengths_by_beginning(self._long, SHORTEST_INSIDE)
        self._short_lengths = _lengths_by_beginning(self._short, 1)
        self._beginnings, self._first_characters = _tables(self._lengths, self._short_lengths)

    def _add(self, one: str) -> None:
        spellings = _spellings(one)
        ids = self._short if min(map(len, spellings)) < SHORTEST_INSIDE else self._long
        for spelling in spellings:
            other = ids.setdefault(spelling, one)
            if other != one:
                self._doubles |= {other, one}
                ids[spelling] = min(other, one)

    def __contains__(self, one: str) -> bool:
        spelling = fold(one) if one.isascii() else _composed(one)
        return self._long.get(spelling) == one or self._short.get(spelling) == one or one in self._doubles

    def text(self, text: str) -> str:
        """One text with every id in it replaced."""
        return self._replaced(text, *_seen(text))

    def texts(self, texts: Sequence[str]) -> list[str]:
        """Texts without lone surrogates, with every id in them replaced."""
        done: list[str] = []
        for some in _portions(texts):
            plain = [*map(_is_plain, some)]
            done += self._joined(some, _seen_plain) if all(plain) else self._in_turn(some, plain)
        return done

    def _in_turn(self, texts: Sequence[str], plain: Sequence[bool]) -> Iterator[str]:
        quick = iter(self._joined([*compress(texts, plain)], _seen_plain))
        slow = iter(self._joined([*compress(texts, map(not_, plain))], _seen_apart))
        return (next(quick if one else slow) for one in plain)

    def _joined(self, texts: Sequence[str], seen: Callable[[str], Seen]) -> list[str]:
        joined = _APART.join(texts)
        return self._replaced(joined, *seen(joined)).split(_APART)

    def _replaced(self, text: str, folded: str, where: Sequence[int]) -> str:
        pieces = []
        end = 0
        for at in self._candidates(folded):
            start = where[at]
            if start >= end and (found := self._found(text, folded, where, at)):
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

    def _found(self, text: str, folded: str, where: Sequence[int], at: int) -> tuple[str, int] | None:
        """The id that begins at a place, and where it ends in the text."""
        start, ids = where[at], self._long
        for length in self._lengths.get(folded[at : at + SHORTEST_INSIDE], ()):
            spelling = folded[at : at + length]
            if (known := ids.get(spelling)) and (end := where[at + len(spelling)]) >= 0:
                return self._meant(text[start:end], known), end
        for length in self._short_lengths.get(folded[at], ()) if self._short else ():
            spelling = folded[at : at + length]
            end = where[at + len(spelling)]
            if (known := self._short.get(spelling)) and end >= 0 and _is_token(text, start, end):
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


def _lengths_by_beginning(spellings: Iterable[str], size: int) -> dict[str, tuple[int, ...]]:
    """For each beginning of that size the lengths of the spellings that have it, longest first."""
    lengths: dict[str, set[int]] = defaultdict(set)
    for one in spellings:
        lengths[one[:size]].add(len(one))
    return {beginning: tuple(sorted(some, reverse=True)) for beginning, some in lengths.items()}


def _tables(beginnings: Iterable[str], first_characters: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """Which hashes of a beginning there are, and which characters a short id begins with."""
    import numpy as np

    hashes = np.zeros(1 << _TABLE_BITS, bool)
    codes = np.frombuffer("".join(beginnings).encode("utf-32-le"), np.uint32)
    hashes[_hashed(codes.reshape(-1, SHORTEST_INSIDE))] = True
    characters = np.zeros(_LAST_OF_TABLE + 1, bool)
    for one in first_characters:
        characters[min(ord(one), _LAST_OF_TABLE)] = True
    return hashes, characters


def _hashed(windows: np.ndarray) -> np.ndarray:
    import numpy as np

    mixed = np.zeros(len(windows), np.uint32)
    for at, factor in enumerate(_FACTORS):
        mixed += windows[:, at] * np.uint32(factor)
    return mixed >> np.uint32(32 - _TABLE_BITS)
