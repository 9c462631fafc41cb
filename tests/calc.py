"""LibreOffice Calc without a window: what a spreadsheet makes of a file."""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tools import require

TOO_SLOW = 120
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"


class Cell(NamedTuple):
    """What stands in a cell: a text or a number, and the formula that made it."""

    value: str | float | None
    formula: str | None


NOTHING = Cell(None, None)


def converted(files: Sequence[Path], to: str, folder: Path, *, reading: str | None = None) -> list[Path]:
    """The files that Calc makes of some, all in one start; `reading` is its import filter with options."""
    out = folder / "out"
    command = [require("soffice"), "--headless", f"-env:UserInstallation={(folder / 'profile').as_uri()}"]
    command += [f"--infilter={reading}"] if reading else []
    command += ["--convert-to", to, "--outdir", str(out), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TOO_SLOW, check=False)
    made = [out / f"{file.stem}.{to.partition(':')[0]}" for file in files]
    assert all(file.exists() for file in made), done.stdout + done.stderr
    return made


def sheet(file: Path) -> list[list[Cell]]:
    """The rows of the first sheet of a .fods, each up to its last cell that holds something."""
    table = next(ET.parse(file).getroot().iter(f"{_TABLE}table"))
    rows = (
        (_cells(row), row.get(f"{_TABLE}number-rows-repeated")) for row in table.iter(f"{_TABLE}table-row")
    )
    return _spread(rows, [])


def _cells(row: ET.Element) -> list[Cell]:
    repeated = f"{_TABLE}number-columns-repeated"
    return _spread(((_cell(element), element.get(repeated)) for element in row), NOTHING)


def _spread(items: Iterable[tuple[Any, str | None]], empty: Any) -> list[Any]:
    """Items as often as they are repeated, but for the empty ones behind the last."""
    spread: list[Any] = []
    waiting = 0
    for item, repeated in items:
        if item == empty:
            waiting += int(repeated or 1)
        else:
            spread += [empty] * waiting + [item] * int(repeated or 1)
            waiting = 0
    return spread


def _cell(element: ET.Element) -> Cell:
    kind = element.get(f"{_OFFICE}value-type")
    value: str | float | None = None
    if kind == "float":
        value = float(element.get(f"{_OFFICE}value", ""))
    elif kind is not None:
        value = "\n".join(map(_line, element.findall(f"{_TEXT}p")))
    return Cell(value, element.get(f"{_TABLE}formula"))


def _line(paragraph: ET.Element) -> str:
    text = paragraph.text or ""
    for part in paragraph:
        if part.tag == f"{_TEXT}s":
            text += " " * int(part.get(f"{_TEXT}c", 1))
        elif part.tag == f"{_TEXT}tab":
            text += "\t"
        else:
            text += "".join(part.itertext())
        text += part.tail or ""
    return text
