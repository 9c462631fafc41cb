"""Rows of `audit_runs` <-> run headers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from auditkit.formats.json.values import is_object
from auditkit.formats.problems import Problems
from auditkit.rules import check_values
from auditkit.run import RunHeader
from auditkit.schema import EXTRA, RUN_FIELDS, RUN_ID, result_schema
from auditkit.sources.sql.tables import ABSENT

_COLUMNS = frozenset(field.column for field in RUN_FIELDS) | frozenset(result_schema().names)


def header_of(record: Mapping[str, Any], problems: Problems) -> RunHeader | None:
    """The header that a row holds, or None after telling what is wrong with it.

    Parameters
    ----------
    record : mapping
        By column, as the driver gave it.
    problems : Problems
        Is told of every value that breaks the table of fields.
    """
    before = problems.count
    problems.run_id = record[RUN_ID] if isinstance(record[RUN_ID], str) else None
    absent = _absent(record.get(ABSENT), problems)
    carried = [field for field in RUN_FIELDS if field.column == RUN_ID or field.column not in absent]
    values = {field.key: record[field.column] for field in carried}
    checked = check_values(carried, values, problems.in_row(None))
    extra = record.get(EXTRA)
    if extra is not None and not (isinstance(extra, str) and is_object(extra)):
        problems.report("not the JSON text of an object", field=EXTRA, value=extra)
    if problems.count > before:
        return None
    named = {field.attribute: checked.get(field.column) for field in RUN_FIELDS}
    return RunHeader(**named, extra=extra, absent_fields=absent)  # type: ignore[arg-type]


def record_of(header: RunHeader) -> dict[str, Any]:
    """The row of a header, by column."""
    record = {field.column: getattr(header, field.attribute) for field in RUN_FIELDS}
    absent = json.dumps(header.absent_fields) if header.absent_fields else None
    return record | {EXTRA: header.extra, ABSENT: absent}


def _absent(text: Any, problems: Problems) -> tuple[str, ...]:
    if text is None:
        return ()
    try:
        names = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        names = None
    if isinstance(names, list) and all(isinstance(name, str) and name in _COLUMNS for name in names):
        return tuple(names)
    problems.report("not a JSON list of columns", field=ABSENT, value=text)
    return ()
