"""`datapackage.json`: what stands in every file of a bag, as a Frictionless Data Package."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import msgspec

from auditkit.evidence.bag import PAYLOAD
from auditkit.evidence.contents import FINDING_COLUMNS, PayloadFile
from auditkit.findings import Severity
from auditkit.formats.base import COMPRESSION_SUFFIXES
from auditkit.schema import CSV_FIELDS, CSV_RUN_FIELDS, Field
from auditkit.sources.logged import GUARD

ROWS, OTHER_ROWS = "rows", "auditkit:rows"
"""The rows of a table, which frictionless counts, and of any other file, which it could not."""

_HASH = "sha256:"
GUARDED = (
    "Formula guard: in text columns, a ' stands at the start of a cell and behind each , ; tab, line end or "
    "| inside it, wherever a spreadsheet could begin to see a formula, or a ' stood there before. Taking one "
    "' away at each of these places gives the recorded text again."
)
_UNGUARDED = "No formula guard: text that looks like a formula stands there as recorded."
_TYPES = {"number": "number", "count": "integer"}
# as text: no type of Frictionless takes every RFC 3339 timestamp with all its digits
_TIMESTAMP = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})"
_DATE_TIME = "http://www.w3.org/2001/XMLSchema#dateTime"


@dataclass(frozen=True, kw_only=True)
class Described:
    """What a data package says of a file; `rows` only where it is not encrypted."""

    bytes: int
    sha256: str
    rows: int | None


def description(
    files: Sequence[PayloadFile],
    findings: tuple[str, Described],
    *,
    guard: bool,
    encrypted: bool,
    changed: Any = None,
) -> bytes:
    """The data package of a bag as JSON.

    Parameters
    ----------
    findings : str and Described
        Path, size, hash and rows of `findings.csv`.
    guard : bool
        Whether the text of CSV files carries the formula guard.
    encrypted : bool
        Then it says of every file its name, size and hash, and no more.
    changed : object of JSON, optional
        What pseudonymising changed.
    """
    package: dict[str, Any] = {
        "name": "audit-evidence",
        "title": "Audit runs as evidence",
        "description": GUARDED if guard else _UNGUARDED,
        GUARD: guard,
    }
    if changed is not None:
        package["auditkit:pseudonymised"] = changed
    resources = [
        _bare(f"{file.format}-{file.run}", PAYLOAD + file.name, file.bytes, file.sha256) for file in files
    ]
    path, found = findings
    last = _bare("findings", path, found.bytes, found.sha256)
    if not encrypted:
        resources = [bare | _content(file) for bare, file in zip(resources, files, strict=True)]
        last |= _table(_finding_fields(), found.rows or 0, guard)
    package["resources"] = [*resources, last]
    return (json.dumps(package, indent=1) + "\n").encode("ascii")


def read_description(data: bytes) -> dict[str, Described]:
    """What a data package says of each file, by path.

    Raises
    ------
    ValueError
        In words, if it is no data package of a bag.
    """
    try:
        resources = msgspec.json.decode(data, type=_Package).resources
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise ValueError("it is no data package of a bag") from None
    described = {
        one.path: Described(
            bytes=one.bytes,
            sha256=one.hash.removeprefix(_HASH) if one.hash.startswith(_HASH) else "",
            rows=one.other_rows if one.rows is None else one.rows,
        )
        for one in resources
    }
    if len(described) < len(resources):
        raise ValueError("it describes a file twice")
    return described


class _Resource(msgspec.Struct):
    path: str
    bytes: int
    hash: str
    rows: int | None = None
    other_rows: int | None = msgspec.field(name=OTHER_ROWS, default=None)


class _Package(msgspec.Struct):
    resources: list[_Resource]


def _bare(name: str, path: str, size: int, sha256: str) -> dict[str, Any]:
    return {"name": name, "path": path, "bytes": size, "hash": _HASH + sha256}


def _content(file: PayloadFile) -> dict[str, Any]:
    options, packed = file.options, file.options.compression
    if file.format != "csv":
        return {"type": "file", OTHER_ROWS: file.rows}
    fields = CSV_FIELDS if options.include_metadata else CSV_FIELDS[: -len(CSV_RUN_FIELDS)]
    table = _table(map(_field, fields), file.rows, options.formula_guard, options.excel)
    if packed == "gzip":
        table["compression"] = COMPRESSION_SUFFIXES[packed].removeprefix(".")
    elif packed is not None:  # frictionless cannot look into it, and takes it for a file
        table |= {"type": "file", OTHER_ROWS: table.pop(ROWS), "auditkit:compression": packed}
    return table


def _table(
    fields: Iterable[Mapping[str, Any]], rows: int, guard: bool, excel: bool = False
) -> dict[str, Any]:
    dialect = {
        "delimiter": ",",
        "quoteChar": '"',
        "doubleQuote": True,
        "skipInitialSpace": False,
        "lineTerminator": "\r\n" if excel else "\n",
    }
    return {
        "type": "table",
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8-sig" if excel else "utf-8",
        "dialect": dialect,
        ROWS: rows,
        GUARD: guard,
        "schema": {"fields": list(fields), "missingValues": [""]},
    }


def _field(field: Field) -> dict[str, Any]:
    constraints: dict[str, Any] = {}
    if field.required and field.kind != "text":  # a required text may be empty, which looks like missing
        constraints["required"] = True
    if field.allowed:
        constraints["enum"] = list(field.allowed)
    if field.kind == "timestamp":
        constraints["pattern"] = _TIMESTAMP
    described: dict[str, Any] = {"name": field.key, "type": _TYPES.get(field.kind, "string")}
    if field.kind == "timestamp":
        described["rdfType"] = _DATE_TIME
    return described | ({"constraints": constraints} if constraints else {})


def _finding_fields() -> list[dict[str, Any]]:
    fields: list[dict[str, Any]] = [{"name": name, "type": "string"} for name in FINDING_COLUMNS]
    for field in fields:
        if field["name"] in ("rule", "where"):
            field["constraints"] = {"required": True}
    fields[-1]["constraints"] = {"required": True, "enum": list(get_args(Severity))}
    return fields
