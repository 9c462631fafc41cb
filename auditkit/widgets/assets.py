"""The scripts and styles of a widget, put together from the files in `static`."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w-]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|class) )", re.MULTILINE)


@cache
def script(name: str) -> str:
    """A widget's ES module with the modules that it imports written out in front of it.

    The notebook loads a widget's script from memory, where `./` leads nowhere.
    """
    return "".join(_written_out(name, set()))


@cache
def style(*names: str) -> str:
    """Style sheets, one behind the other."""
    return "".join(_text(name) for name in names)


def _written_out(name: str, seen: set[str]) -> list[str]:
    text = _text(name)
    parts: list[str] = []
    for imported in _IMPORT.findall(text):
        if imported not in seen:
            seen.add(imported)
            parts += [_EXPORT.sub("", part) for part in _written_out(imported, seen)]
    return [*parts, _IMPORT.sub("", text)]


def _text(name: str) -> str:
    return (files("auditkit.widgets") / "static" / name).read_text(encoding="utf-8")
