"""Run files read the slow, plain way with the standard library: what a file means, or that it means nothing.

Written from DESIGN §2 and the README; no line shared with the package. Reading is strict: whatever breaks the
table of fields refuses the whole file.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import reference_exporter as reference
from records import OTHERS, RESULT_COLUMNS, RUN_COLUMNS, Record
from reference_exporter import COUNTS, DOUBLES, FLAT_KEYS, RESULT_KEYS, RUN_KEYS

_ACTIONS = ("allow", "flag_for_review", "escalate", "override")
_DIFFICULTIES = ("easy", "medium", "hard", "expert")
_ALLOWED = {
    "deviationType": ("none", "minor", "major", "critical"),
    "suggestedAction": _ACTIONS,
    "actionTaken": _ACTIONS,
    "taskDifficulty": _DIFFICULTIES,
    "status": ("completed", "failed", "running"),
}
_TIMES = ("timestamp", "startedAt", "completedAt")
_OPTIONAL = frozenset({"completedAt", "averageDeviation", "actionTaken", "notes"})
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_DEEPEST = 200

CSV_FIELDS = {label: (owner, key) for label, owner, key in reference.CSV_COLUMNS}
_CSV_WITHOUT_METADATA = [label for label, _, _ in reference.CSV_COLUMNS[:-6]]


class Refused(Exception):
    """These bytes are no sound run file."""


def nested(data: bytes) -> list[Record]:
    """The meanings of a run object, of an array of them, or of several one after another."""
    documents = _documents(_text(data))
    listed = documents[0] if len(documents) == 1 and isinstance(documents[0], list) else documents
    return _unique([_run(document) for document in listed])


def flat(data: bytes) -> list[Record]:
    """The meanings of the runs in an array of flat records."""
    documents = _documents(_text(data))
    if len(documents) != 1 or not isinstance(documents[0], list):
        raise Refused("not one array")
    return _grouped(map(_record, documents[0]))


def lines(data: bytes) -> list[Record]:
    """The meanings of the runs in JSON Lines, wherever their lines break; none in an empty file."""
    if not data:
        return []
    return _grouped(map(_record, _documents(_text(data))))


def rows(data: bytes) -> list[Record]:
    """The meanings of the runs in a CSV."""
    text = _text(data)
    if not text.endswith(("\n", "\r")):
        raise Refused("cut off")
    try:
        header, *found = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    except (csv.Error, ValueError) as error:
        raise Refused(str(error)) from None
    if sorted(header) not in (sorted(CSV_FIELDS), sorted(_CSV_WITHOUT_METADATA)):
        raise Refused("other columns")
    if any(len(row) != len(header) for row in found):
        raise Refused("cells too many or too few")
    return _grouped(_csv_row(dict(zip(header, row, strict=True))) for row in found)


def sound(run: Mapping[str, Any], absent: Sequence[str] = ()) -> bool:
    """Whether the meaning of a run keeps to the table, but for the frame columns that are absent."""
    header = [key for key, column in RUN_COLUMNS.items() if column not in absent or key == "id"]
    carried = [key for key, column in RESULT_COLUMNS.items() if column not in absent]
    try:
        _header(dict(run), header)
        for row in run["results"]:
            _fields(row, carried)
        for row in (run, *run["results"]):
            _check_other(json.loads(row.get(OTHERS, "{}")), 0)
    except (Refused, ValueError):
        return False
    return True


# --- a run and a row -----------------------------------------------------------------------------------


def _run(document: Any) -> Record:
    if not isinstance(document, dict) or not isinstance(document.get("results"), list):
        raise Refused("no object with a list of results")
    header = {key: value for key, value in document.items() if key != "results"}
    keys = ("id",) if header.keys() == {"id"} else RUN_KEYS
    results = [_fields(result, RESULT_KEYS) | _others(result, RESULT_KEYS) for result in document["results"]]
    others = _others(header, RUN_KEYS) if keys is RUN_KEYS else {}
    return _header(header, keys) | others | {"results": results}


def _record(document: Any) -> tuple[Record, Record]:
    """What a flat record says of its run, and its result."""
    if not isinstance(document, dict):
        raise Refused("no object")
    known = {key: document.get(audit_key) for audit_key, key in FLAT_KEYS.items()}
    others = _others(document, (*RESULT_KEYS, *FLAT_KEYS))
    return _flat_header(known), _fields(document, RESULT_KEYS) | others


def _csv_row(cells: Mapping[str, str]) -> tuple[Record, Record]:
    header: Record = dict.fromkeys(FLAT_KEYS.values())
    result: Record = {}
    for label, cell in cells.items():
        owner, key = CSV_FIELDS[label]
        (header if owner == "run" else result)[key] = _csv_value(owner, key, cell)
    carried = tuple(key for owner, key in CSV_FIELDS.values() if owner == "result")
    return _flat_header(header, without=("reviewer",)), _fields(result, carried)


def _csv_value(owner: str, key: str, cell: str) -> Any:
    if key in DOUBLES or key in COUNTS:
        if _NUMBER.fullmatch(cell):
            return float(cell) if key in DOUBLES or set(cell) & set(".eE") else int(cell[:400])
        return cell or None
    if key in reference.GUARDED_KEYS:
        cell = reference.unguard(cell)
        return (cell or None) if key in ("reviewer", "notes") else cell
    return cell or None


def _flat_header(values: Record, without: Sequence[str] = ()) -> Record:
    """The fields of a run as each of its rows gives them; alone the id, if they were left out."""
    if all(value is None for key, value in values.items() if key != "id"):
        return _header(values, ("id",))
    return _header(values, [key for key in values if key not in without])


def _grouped(found: Iterable[tuple[Record, Record]]) -> list[Record]:
    runs: list[Record] = []
    for header, result in found:
        if not runs or runs[-1]["id"] != header["id"]:
            runs.append(header | {"results": []})
        elif header != {key: value for key, value in runs[-1].items() if key != "results"}:
            raise Refused("rows of a run that differ in what they say of it")
        runs[-1]["results"].append(result)
    return _unique(runs)


def _unique(runs: list[Record]) -> list[Record]:
    if len({run["id"] for run in runs}) < len(runs):
        raise Refused("a run stands in it twice")
    return runs


# --- the table of fields -------------------------------------------------------------------------------


def _header(values: Record, keys: Sequence[str]) -> Record:
    header = _fields(values, keys)
    if len(header["id"]) > 1024 or any(unicodedata.category(letter) == "Cc" for letter in header["id"]):
        raise Refused("no run id")
    return header


def _fields(values: Any, keys: Sequence[str]) -> Record:
    if not isinstance(values, dict):
        raise Refused("no object")
    found: Record = {}
    for key in keys:
        value = values.get(key)
        if value is not None:
            found[key] = _checked(key, value)
        elif key not in _OPTIONAL and (key != "reviewer" or "submissionId" not in keys):
            raise Refused(f"{key} is missing")
    return found


def _checked(key: str, value: Any) -> Any:
    if key in DOUBLES or key in COUNTS:
        return _number(key, value)
    if not isinstance(value, str) or any("\ud800" <= character <= "\udfff" for character in value):
        raise Refused(f"{key} is no text")
    if key in _ALLOWED and value not in _ALLOWED[key]:
        raise Refused(f"{key} is none of those allowed")
    if key in _TIMES and not _is_time(value):
        raise Refused(f"{key} is no timestamp")
    return value


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(f"{key} is no number")
    try:
        as_float = float(value)
    except OverflowError:
        raise Refused(f"{key} is too large") from None
    if not math.isfinite(as_float):
        raise Refused(f"{key} is not finite")
    if key in DOUBLES:
        return as_float
    if value != int(value) or abs(value) >= 2**63:
        raise Refused(f"{key} is no count")
    return int(value)


def _is_time(text: str) -> bool:
    match = _TIME.fullmatch(text)
    if match is None:
        return False
    year, month, day = (int(part) for part in match.groups()[:3])
    try:
        date(year or 4, month, day)
    except ValueError:
        return False
    return True


def _others(values: Any, known: Sequence[str]) -> Record:
    if not isinstance(values, dict):
        raise Refused("no object")
    others = {key: value for key, value in values.items() if key not in known}
    for key, value in others.items():
        _check_other(key, 0)
        _check_other(value, 1)
    return {OTHERS: reference.json_text(others)} if others else {}


def _check_other(value: Any, level: int) -> None:
    if level > _DEEPEST:
        raise Refused("nested too deeply")
    if isinstance(value, str):
        _checked("notes", value)
    elif isinstance(value, float):
        _number("userScore", value)
    elif isinstance(value, dict):
        for key, item in value.items():
            _checked("notes", key)
            _check_other(item, level + 1)
    elif isinstance(value, list):
        for item in value:
            _check_other(item, level + 1)


# --- bytes ---------------------------------------------------------------------------------------------


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise Refused("not UTF-8") from None


def _documents(text: str) -> list[Any]:
    """All JSON values of a text, one behind the other; NaN passes, to be refused where it counts."""
    decoder = json.JSONDecoder()
    documents: list[Any] = []
    text = text.strip(" \t\r\n")
    while text:
        try:
            document, end = decoder.raw_decode(text)
        except (ValueError, RecursionError):
            raise Refused("not JSON") from None
        documents.append(document)
        text = text[end:].lstrip(" \t\r\n")
    if not documents:
        raise Refused("empty")
    return documents
