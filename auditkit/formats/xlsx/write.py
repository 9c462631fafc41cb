"""Rows -> a workbook, by xlsxwriter: in a folder of its own, from there to the sink."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from xlsxwriter import Workbook, __version__  # type: ignore[import-untyped]
from xlsxwriter.exceptions import FileCreateError  # type: ignore[import-untyped]
from xlsxwriter.worksheet import Worksheet  # type: ignore[import-untyped]

from auditkit.errors import InvalidRunError, MissingExtraError
from auditkit.formats.base import Sink
from auditkit.formats.js import js_number
from auditkit.formats.xlsx.cells import columns_of, labels, run_values
from auditkit.run import AuditRun

_SHEET = "Results"
_CREATED = datetime(1980, 1, 1)
"""The first day that a ZIP can name; without it, xlsxwriter takes the time."""
_SLICE_ROWS = 4096
_CHUNK_BYTES = 1 << 20
_SETTINGS = {
    "constant_memory": True,
    "use_zip64": True,  # only where a part is larger than 2 GiB
    "strings_to_numbers": False,
    "strings_to_formulas": False,
    "strings_to_urls": False,
}
_CONTROLS = "\x00-\x08\x0b-\x1f\ufffe\uffff"
_CONTROL = re.compile(f"[{_CONTROLS}]")
_SEEMS_ESCAPED = re.compile(f"_(?=x[0-9A-Fa-f]{{4}}[_{_CONTROLS}])")
_REPLACED = ("_escape_control_characters", "_xml_number_element", "_xml_rich_inline_string")
_USED = ("_xml_inline_string",)


def write_runs(runs: Sequence[AuditRun], sink: Sink, include_metadata: bool) -> None:
    """Write the results of all runs as one workbook, once it is whole."""
    _check_version()
    with tempfile.TemporaryDirectory(prefix="auditkit-") as folder:
        path = os.path.join(folder, "workbook.xlsx")
        workbook = Workbook(path, {**_SETTINGS, "tmpdir": folder})
        workbook.set_properties({"created": _CREATED})
        sheet = workbook.add_worksheet(_SHEET, _Sheet)
        try:
            _fill(sheet, workbook.add_format({"num_format": "@"}), runs, include_metadata)
            workbook.close()
        except FileCreateError as error:
            raise error.args[0] from None  # the OSError that it wraps
        finally:
            sheet.let_go()
        with open(path, "rb") as made:
            while chunk := made.read(_CHUNK_BYTES):
                sink.write(chunk)


class _Sheet(Worksheet):  # type: ignore[misc]
    """A worksheet in which every text and every number comes back as it was.

    That of xlsxwriter cuts numbers at 16 digits, takes a text from `<r>` to `</r>` for markup of its own,
    and of `_x0041_x0041_`, or `_x0041` before a control character, escapes too little.
    """

    @staticmethod
    def _escape_control_characters(data: str) -> str:
        data = _SEEMS_ESCAPED.sub("_x005F_", data)
        return _CONTROL.sub(lambda match: f"_x{ord(match.group()):04X}_", data)

    def _xml_number_element(self, number: float, attributes: Sequence[tuple[str, Any]] = ()) -> None:
        named = "".join(f' {name}="{value}"' for name, value in attributes)
        digits = str(number) if isinstance(number, int) else js_number(number)
        self.fh.write(f"<c{named}><v>{digits}</v></c>")

    def _xml_rich_inline_string(self, string: str, attributes: Sequence[tuple[str, Any]] = ()) -> None:
        self._xml_inline_string(string, False, attributes)

    def let_go(self) -> None:
        """Close its files, whatever became of them."""
        for file in (self.row_data_fh, self.fh):
            with suppress(OSError):
                file.close()


def _check_version() -> None:
    if not all(hasattr(Worksheet, name) for name in (*_REPLACED, *_USED)):
        raise MissingExtraError(
            f"The format 'xlsx' does not know xlsxwriter {__version__}. Install another one: xlsxwriter 3."
        )


def _fill(sheet: _Sheet, text: Any, runs: Sequence[AuditRun], include_metadata: bool) -> None:
    names = labels(include_metadata)
    sheet.freeze_panes(1, 0)
    sheet.ignore_errors({"number_stored_as_text": f"A1:{chr(ord('A') + len(names) - 1)}1048576"})
    for row, values in enumerate(_rows(names, runs, include_metadata)):
        for column, value in enumerate(values):
            if isinstance(value, str):
                code = sheet.write_string(row, column, value, text)
            elif value is not None:
                code = sheet.write_number(row, column, value)
            else:
                continue
            if code:
                raise InvalidRunError(
                    f"{names[column]} of row {row + 1} does not fit into the sheet (xlsxwriter says {code}). "
                    "Nothing was written. Export CSV or Parquet instead."
                )


def _rows(names: list[str], runs: Sequence[AuditRun], include_metadata: bool) -> Iterator[Sequence[Any]]:
    yield names
    for run in runs:
        first, *behind = (value for _, value in run_values(run, include_metadata))
        for batch in run.batches():
            for start in range(0, len(batch), _SLICE_ROWS):
                part = batch.slice(start, _SLICE_ROWS)
                columns = (column.to_pylist() for _, column in columns_of(part, run))
                for values in zip(*columns, strict=True):
                    yield (first, *values, *behind)
