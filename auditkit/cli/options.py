"""Options and output that commands share."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from typing import Any

import click

from auditkit import errors

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""What would move the cursor, or turn the direction of the rest of the line."""

source_option = click.option(
    "--source",
    metavar="PATH",
    help="Folder, glob or file, URL of a database or store, TOML file, or parquet:PATH "
    "[default: the environment variable AUDITKIT_SOURCE].",
)
output_dir_option = click.option(
    "--output-dir",
    default="exports",
    show_default=True,
    metavar="DIR",
    help="Folder of the exports, or its URL in a store.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for other programs.")


def echo_json(value: Any) -> None:
    """Print a value, dataclasses and paths included, as JSON."""
    click.echo(json.dumps(value, default=_plain, indent=2))  # in ASCII: any terminal can show it


def echo_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows as aligned columns, numbers to the right; control characters are made visible."""
    texts = [[visible(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *texts, strict=True)]
    right = [
        bool(rows) and all(isinstance(row[i], int | float | None) for row in rows) for i in range(len(header))
    ]
    for line in (header, *texts):
        cells = [
            cell.rjust(width) if numeric else cell.ljust(width)
            for cell, width, numeric in zip(line, widths, right, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())


def visible(cell: Any) -> str:
    """A value as text that leaves the terminal as it is."""
    text = "-" if cell is None else f"{cell:,}" if isinstance(cell, int | float) else str(cell)
    return _UNSAFE.sub("�", text)


def in_words(error: Exception) -> str:
    """An error as one line that leaves the terminal as it is."""
    return visible(errors.in_words(error))


def _plain(value: Any) -> Any:
    if isinstance(value, Exception):
        return {"error": type(value).__name__, "message": in_words(value)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return str(value)
