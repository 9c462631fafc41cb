"""Settings of an export: traits that say in words what is wrong, and which of them a format heeds."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

import traitlets

from auditkit.errors import InvalidOptionError, InvalidRunIdError
from auditkit.formats import BUILT_IN, ENTRY_POINTS, get_format
from auditkit.formats.base import COMPRESSION_SUFFIXES, SelectionFormat, WriteOptions
from auditkit.naming import stem

Check = Callable[[str, Any], Any]

COMPRESSIONS = tuple(COMPRESSION_SUFFIXES)
_FLAGS = {name: not usual for name, usual in vars(WriteOptions()).items() if isinstance(usual, bool)}
_CHANGED: dict[str, Any] = {**_FLAGS, "compression": COMPRESSIONS[0]}
"""Each option with a value that is not its default."""


class Setting(traitlets.TraitType[Any, Any]):
    """A trait that travels to the page; its check gives the value, or raises InvalidOptionError."""

    def __init__(self, usual: Any, check: Check):
        super().__init__(usual)
        self._check = check
        self.tag(sync=True)

    def validate(self, obj: Any, value: Any) -> Any:
        """The value as it is kept."""
        return self._check(str(self.name), value)


def one_of(*allowed: str) -> Check:
    """A check that a value is one of some."""

    def check(name: str, value: Any) -> Any:
        if not isinstance(value, str) or value not in allowed:
            raise InvalidOptionError(f"{name}={value!r} is none of {', '.join(allowed)}. Give one of them.")
        return value

    return check


def yes_or_no(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise InvalidOptionError(f"{name}={value!r} is neither True nor False. Give one of them.")
    return value


def known_format(name: str, value: Any) -> str:
    """The name of a format that is built in or installed."""
    if not isinstance(value, str):
        raise InvalidOptionError(f"{name}={value!r} names no format. Give one of {', '.join(formats())}.")
    get_format(value)
    return value


def known_compression(name: str, value: Any) -> Any:
    """The name of a compression, or None."""
    return None if value is None else one_of(*COMPRESSIONS)(name, value)


def folder(name: str, value: Any) -> str:
    """A path as text."""
    path = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        raise InvalidOptionError(f"{name}={value!r} is no folder. Give the path of one.")
    return path


def part_of_file_name(name: str, value: Any) -> str:
    """A text that can be part of a file name, or an empty one."""
    if isinstance(value, str) and not value:
        return value
    try:
        stem(value)
    except InvalidRunIdError:
        raise InvalidOptionError(
            f"{name}={value!r} cannot be part of a file name. Give a short text, or '' for the usual."
        ) from None
    return str(value)


def formats() -> list[str]:
    """The names of all formats, the built-in ones first."""
    return [*BUILT_IN, *sorted(entry_points(group=ENTRY_POINTS).names - BUILT_IN.keys())]


def heeded(format: str) -> tuple[str, ...]:
    """The options that mean something to a format."""
    return tuple(name for name, changed in _CHANGED.items() if _accepts(format, {name: changed}))


def holds_several_runs(format: str) -> bool:
    """Whether a format puts rows of several runs into one file."""
    return isinstance(get_format(format), SelectionFormat)


def _accepts(format: str, options: dict[str, Any]) -> bool:
    try:
        get_format(format, WriteOptions(**options))
    except InvalidOptionError:
        return False
    return True
