"""The text formats written the slow, plain way from DESIGN §2 and §4: what the package is compared with.

Standard library only, and no line shared with the package. A run is the object its nested JSON file holds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any, NoReturn

RESULT_KEYS = (
    "id",
    "submissionId",
    "userId",
    "userScore",
    "aiScore",
    "deviation",
    "deviationType",
    "suggestedAction",
    "actionTaken",
    "taskTitle",
    "skillArea",
    "taskDifficulty",
    "timestamp",
    "reviewer",
    "notes",
)
RUN_KEYS = (
    "id",
    "reviewer",
    "startedAt",
    "completedAt",
    "taskTitle",
    "taskDifficulty",
    "skillArea",
    "status",
    "totalSubmissions",
    "averageDeviation",
    "criticalFlags",
)
FLAT_KEYS = {
    "auditRunId": "id",
    "auditReviewer": "reviewer",
    "auditStartedAt": "startedAt",
    "auditCompletedAt": "completedAt",
    "auditStatus": "status",
    "auditTotalSubmissions": "totalSubmissions",
    "auditAverageDeviation": "averageDeviation",
    "auditCriticalFlags": "criticalFlags",
}
DOUBLES = frozenset({"userScore", "aiScore", "deviation", "averageDeviation"})
COUNTS = frozenset({"totalSubmissions", "criticalFlags"})

# CSV header, whose field it is, and the JSON key.
CSV_COLUMNS = (
    ("Audit Run ID", "run", "id"),
    ("Submission ID", "result", "submissionId"),
    ("User ID", "result", "userId"),
    ("Task Title", "result", "taskTitle"),
    ("Skill Area", "result", "skillArea"),
    ("Difficulty", "result", "taskDifficulty"),
    ("User Score", "result", "userScore"),
    ("AI Score", "result", "aiScore"),
    ("Deviation", "result", "deviation"),
    ("Deviation Type", "result", "deviationType"),
    ("Suggested Action", "result", "suggestedAction"),
    ("Action Taken", "result", "actionTaken"),
    ("Reviewer", "result", "reviewer"),
    ("Timestamp", "result", "timestamp"),
    ("Notes", "result", "notes"),
    ("Audit Status", "run", "status"),
    ("Total Submissions", "run", "totalSubmissions"),
    ("Average Deviation", "run", "averageDeviation"),
    ("Critical Flags", "run", "criticalFlags"),
    ("Audit Started", "run", "startedAt"),
    ("Audit Completed", "run", "completedAt"),
)
CSV_METADATA_COLUMNS = 6
GUARDED_KEYS = frozenset({"id", "submissionId", "userId", "taskTitle", "skillArea", "reviewer", "notes"})

SEPARATORS = frozenset(",;\t\r\n|")
BLANKS = frozenset(" \u00a0\ufeff\u200b\u3000")
FORMULA_STARTS = frozenset("=+-@%\0\uff1d\uff0b\uff0d\uff20")
FORMULA_STARTS_OF_CELL = FORMULA_STARTS | frozenset("\t\r\n|")

Record = dict[str, Any]


def parse(text: str) -> Record:
    """The run a nested JSON text holds, its integers with all their digits."""
    run = json.loads(text.removeprefix("\ufeff"), parse_int=int, parse_float=float, parse_constant=_refuse)
    assert isinstance(run, dict)
    return run


def csv(
    run: Record, *, include_metadata: bool = True, formula_guard: bool = True, excel: bool = False
) -> bytes:
    columns = CSV_COLUMNS if include_metadata else CSV_COLUMNS[:-CSV_METADATA_COLUMNS]
    rows = [[label for label, _, _ in columns]]
    for result in run["results"]:
        owners = {"run": run, "result": _with_reviewer(result, run)}
        rows.append([_csv_cell(key, owners[owner].get(key), formula_guard) for _, owner, key in columns])
    line_end = "\r\n" if excel else "\n"
    text = "".join(",".join(row) + line_end for row in rows)
    return text.encode("utf-8-sig" if excel else "utf-8")


def nested_json(run: Record, *, include_metadata: bool = True) -> bytes:
    if include_metadata:
        header = _known(run, RUN_KEYS) | _extras(run, (*RUN_KEYS, "results"))
    else:
        header = _known(run, ("id",))
    results = [_known(result, RESULT_KEYS) | _extras(result, RESULT_KEYS) for result in run["results"]]
    return (json_text(header | {"results": results}, indent="  ") + "\n").encode()


def flat_json(run: Record, *, include_metadata: bool = True) -> bytes:
    records = list(_flat_records(run, include_metadata))
    return (json_text(records, indent="  ") + "\n").encode()


def jsonl(run: Record, *, include_metadata: bool = True) -> bytes:
    return "".join(json_text(record) + "\n" for record in _flat_records(run, include_metadata)).encode()


def guard(cell: str) -> str:
    """`cell` with one apostrophe at every place where a spreadsheet could see a formula begin."""
    return "".join(
        "'" + char if _is_place(cell, index) and _is_risky(cell, index) else char
        for index, char in enumerate(cell)
    )


def unguard(cell: str) -> str:
    """The text whose guarded form is `cell`."""
    return "".join(char for index, char in enumerate(cell) if not (char == "'" and _is_place(cell, index)))


def js_number(x: float) -> str:
    """`x` as JavaScript's Number.prototype.toString writes it; a Python int keeps all its digits."""
    if isinstance(x, int):
        return str(x)
    if not math.isfinite(x):
        raise ValueError(f"{x} is no JSON number")
    if x == 0:
        return "0"
    sign, digit_tuple, exponent = Decimal(repr(x)).normalize().as_tuple()
    assert isinstance(exponent, int)
    digits = "".join(map(str, digit_tuple))
    return "-" * sign + _placed_point(digits, len(digits) + exponent)


def math_round(x: float) -> float:
    """JavaScript's Math.round: the nearest integer, a half up."""
    return float(math.floor(Fraction(x) + Fraction(1, 2)))


def json_text(value: Any, indent: str = "") -> str:
    """`value` as JSON.stringify(value, null, indent) writes it, but Python ints keep all their digits."""
    return _json_text(value, indent, "\n" if indent else "")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


def _known(source: Record, keys: Iterable[str]) -> Record:
    return {key: _typed(key, source[key]) for key in keys if source.get(key) is not None}


def _extras(source: Record, keys: Iterable[str]) -> Record:
    return {key: value for key, value in source.items() if key not in keys}


def _typed(key: str, value: Any) -> Any:
    return float(value) if key in DOUBLES else value


def _flat_records(run: Record, include_metadata: bool) -> Iterator[Record]:
    header = _known(run, RUN_KEYS)
    flat_keys = FLAT_KEYS if include_metadata else {"auditRunId": "id"}
    audit = {flat_key: header[key] for flat_key, key in flat_keys.items() if key in header}
    for result in run["results"]:
        extras = _extras(result, RESULT_KEYS)
        if taken := sorted(extras.keys() & FLAT_KEYS.keys()):
            raise ValueError(f"the flat formats use the key {taken[0]} themselves")
        yield audit | _known(result, RESULT_KEYS) | extras


def _json_text(value: Any, indent: str, line: str) -> str:
    if isinstance(value, dict):
        colon = ": " if indent else ":"
        members = [
            _json_string(key) + colon + _json_text(member, indent, line + indent)
            for key, member in value.items()
        ]
        return "{" + _block(members, indent, line) + "}"
    if isinstance(value, list):
        return "[" + _block([_json_text(item, indent, line + indent) for item in value], indent, line) + "]"
    if isinstance(value, str):
        return _json_string(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return js_number(value)


def _block(parts: list[str], indent: str, line: str) -> str:
    inner = line + indent
    return inner + ("," + inner).join(parts) + line if parts else ""


def _json_string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _placed_point(digits: str, point: int) -> str:
    """The digits of 0.digits x 10**point, laid out as ECMAScript's Number::toString does."""
    if len(digits) <= point <= 21:
        return digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{digits[0]}{fraction}e{point - 1:+d}"


def _with_reviewer(result: Record, run: Record) -> Record:
    if result.get("reviewer") is not None:
        return result
    return result | {"reviewer": run.get("reviewer")}


def _csv_cell(key: str, value: Any, formula_guard: bool) -> str:
    if value is None:
        return ""
    if key == "averageDeviation":
        return js_number(_rounded_to_cents(float(value)))
    if key in DOUBLES or key in COUNTS:
        return js_number(_typed(key, value))
    return _quoted(guard(value) if formula_guard and key in GUARDED_KEYS else value)


def _rounded_to_cents(x: float) -> float:
    hundredfold = x * 100
    # A number so large has no decimals to round, and JavaScript's answer, Infinity, would be invented.
    return x if math.isinf(hundredfold) else math_round(hundredfold) / 100


def _quoted(cell: str) -> str:
    if any(char in cell for char in ',"\n\r'):
        return '"' + cell.replace('"', '""') + '"'
    return cell


def _is_place(cell: str, index: int) -> bool:
    return index == 0 or cell[index - 1] in SEPARATORS


def _is_risky(cell: str, place: int) -> bool:
    if cell[place] == "'":
        return True
    after_blanks = next((char for char in cell[place:] if char not in BLANKS), None)
    return after_blanks in (FORMULA_STARTS_OF_CELL if place == 0 else FORMULA_STARTS)
