"""Two files of one run: where they contradict each other, but for what their formats lose."""

from __future__ import annotations

from typing import Any

from auditkit.evidence.digests import plain_json
from auditkit.evidence.reread import Reread
from auditkit.formats.js import half_up
from auditkit.run import RunHeader
from auditkit.schema import EXTRA, RUN_FIELDS


def disagreements(one: Reread, other: Reread) -> list[str]:
    """The columns in which two files disagree; `other` may be a CSV, and `one` was read for that."""
    if one.totals.rows != other.totals.rows:
        return ["the number of rows"]
    if one.header is None or other.header is None:
        return []
    lost = {*one.header.absent_fields, *other.header.absent_fields}
    return [*_of_header(one.header, other, lost), *_of_results(one, other, lost)]


def untold(one: Reread, other: Reread) -> list[str]:
    """The columns of a CSV with which nothing could be compared: it shows a reviewer that no other names."""
    if other.format != "csv" or one.header is None or other.header is None:
        return []
    return ["reviewer"] if "run_reviewer" in one.header.absent_fields else []


def _of_header(header: RunHeader, other: Reread, lost: set[str]) -> list[str]:
    assert other.header is not None
    named = {field.attribute: field.column for field in RUN_FIELDS if field.column not in lost}
    if "task_title" in named:  # both carry everything of the run
        named["extra"] = "extra fields of the run"
    return [
        column
        for attribute, column in named.items()
        if _told(header, attribute, in_csv=other.format == "csv") != _told(other.header, attribute)
    ]


def _told(header: RunHeader, attribute: str, *, in_csv: bool = False) -> Any:
    value = getattr(header, attribute)
    if attribute == "extra":
        return plain_json(value)
    rounded = in_csv and attribute == "average_deviation" and value is not None
    return half_up(value) if rounded else value


def _of_results(one: Reread, other: Reread, lost: set[str]) -> list[str]:
    csv = other.format == "csv"
    own = one.columns | (one.in_csv if csv else {})
    left_out = lost | ({EXTRA, *untold(one, other)} if csv else set())
    return [name for name in own if name not in left_out and own[name] != other.columns[name]]
