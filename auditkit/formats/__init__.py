"""The table of formats: the built-in ones by module, any other by entry point."""

from __future__ import annotations

import difflib
import importlib
from functools import cache
from typing import Any

from auditkit.errors import UnknownFormatError
from auditkit.formats.base import ConfigurableFormat, Format, ReadableFormat, WriteOptions
from auditkit.naming import is_suffix

BUILT_IN = {
    "csv": "auditkit.formats.csv:Csv",
    "json": "auditkit.formats.json:Json",
    "jsonl": "auditkit.formats.json:JsonLines",
    "parquet": "auditkit.formats.parquet:Parquet",
    "xlsx": "auditkit.formats.xlsx:Xlsx",
}
_READ_IN_TURN = ("parquet", "csv", "jsonl", "json", "xlsx")
ENTRY_POINTS = "auditkit.formats"


def get_format(name: str, options: WriteOptions | None = None) -> Format:
    """The format of that name, under some options.

    Raises
    ------
    UnknownFormatError
        If no built-in or installed format has that name, or the installed one cannot be imported.
    InvalidOptionError
        If an option makes no sense with it.
    """
    format = _built_in(name) if name in BUILT_IN else _installed(name)
    options = options or WriteOptions()
    if isinstance(format, ConfigurableFormat):
        return format.configured(options)
    options.refuse(name, "include_metadata", "flatten_results", "formula_guard", "excel")
    return format


def recognise(head: bytes) -> ReadableFormat | None:
    """The format that takes an input with this head for its own."""
    return next((format for format in _readers() if format.recognises(head)), None)


@cache
def _readers() -> tuple[ReadableFormat, ...]:
    """The formats that can be asked for every file: looking at their protocol each time would take longer."""
    formats = map(_built_in, _READ_IN_TURN)
    return tuple(format for format in formats if isinstance(format, ReadableFormat))


def _built_in(name: str) -> Format:
    module, _, attribute = BUILT_IN[name].partition(":")
    format: Format = getattr(importlib.import_module(module), attribute)()
    return format


def _installed(name: str) -> Format:
    from importlib.metadata import entry_points

    found = entry_points(group=ENTRY_POINTS)
    if name not in found.names:
        known = [*BUILT_IN, *sorted(found.names)]
        near = difflib.get_close_matches(str(name).lower(), known, 1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise UnknownFormatError(f"No format {name!r}. {hint}There are {', '.join(known)}.")
    try:
        made: Any = found[name].load()
        format = made() if isinstance(made, type) else made
    except Exception as error:
        raise UnknownFormatError(
            f"The installed format {name!r} cannot be imported: {error}. Repair or remove its package."
        ) from error
    if not isinstance(format, Format) or not is_suffix(str(format.suffix)):
        raise UnknownFormatError(
            f"The installed format {name!r} lacks a name, a write, or a suffix such as '.txt'. "
            "Repair or remove its package."
        )
    return format
