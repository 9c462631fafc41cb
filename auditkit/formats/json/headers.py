"""The members of a run, all but its results -> its header, checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal

import msgspec

from auditkit.formats.json.blocks import Malformed
from auditkit.formats.json.values import parse, stringify
from auditkit.formats.problems import Problems
from auditkit.rules import broken_rule, check_values
from auditkit.run import RunHeader
from auditkit.schema import RESULTS_KEY, RUN_FIELDS, RUN_ID, Field

_TYPES: dict[str, Any] = {
    "text": str,
    "timestamp": str,
    "number": float,
    "count": Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)],
}
_CHECKED_BY_HAND = tuple(f for f in RUN_FIELDS if f.kind == "timestamp" or f.column == RUN_ID)
_RAW_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])

Pairs = list[tuple[str, Any]]


def patient_value(text: bytes, problems: Problems, strict: bool, position: int | None) -> Any:
    """A JSON value by the standard library's reader: NaN and lone surrogates pass, to be named later.

    Raises
    ------
    json.JSONDecodeError, Malformed
        If it is not JSON at all.
    """

    twice: list[str] = []

    def unique(pairs: Pairs) -> dict[str, Any]:
        record = dict(pairs)
        if len(record) < len(pairs):
            keys = [key for key, _ in pairs]
            twice.extend(key for key in record if keys.count(key) > 1)
        return record

    try:
        value = json.loads(text, object_pairs_hook=unique if strict else None)
    except json.JSONDecodeError:
        raise
    except UnicodeDecodeError:
        raise Malformed("not UTF-8") from None
    except RecursionError:
        raise Malformed("nested too deeply") from None
    except ValueError as error:
        raise Malformed(str(error)) from None
    for key in twice:
        problems.report("the key stands twice in one object", position=position, field=key)
    return value


def raw_object(text: bytes) -> dict[str, msgspec.Raw] | None:
    """The members of a JSON object, not decoded, or None if the text is not one whole object."""
    try:
        text.decode()  # msgspec leaves that to whoever decodes the members
        return _RAW_OBJECT.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def header_of(members: Mapping[str, msgspec.Raw], problems: Problems) -> RunHeader:
    """The header of a run from its members, all but `results`; what is wrong with it goes to `problems`."""
    known = {field.key: field for field in RUN_FIELDS}
    values: dict[str, Any] = {}
    unknown: dict[str, Any] = {}
    for key, raw in members.items():
        if key in known:
            values[key] = patient_value(bytes(raw), problems, False, None)
        elif key != RESULTS_KEY:
            try:
                unknown[key] = parse(bytes(raw))
                stringify({key: unknown[key]})
            except ValueError as error:
                problems.report(str(error), field=key)
    problems.run_id = values["id"] if isinstance(values.get("id"), str) else None
    carried = RUN_FIELDS if len(members) > 1 else RUN_FIELDS[:1]  # the id alone: without metadata
    checked = check_values(carried, values, problems.in_row(None))
    named = {field.attribute: checked.get(field.column) for field in RUN_FIELDS}
    return RunHeader(
        **named | {"id": named["id"] or ""},
        extra=stringify(unknown) if unknown and not problems else None,
        absent_fields=tuple(field.column for field in RUN_FIELDS if field not in carried),
    )


def quick_header_of(text: bytes) -> RunHeader | None:
    """The header from the text of an object that holds nothing else and breaks no rule, else None."""
    try:
        record = _header_decoder().decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    values = msgspec.structs.asdict(record)
    if any(broken_rule(field, values[field.attribute]) for field in _CHECKED_BY_HAND):
        return None
    return RunHeader(**values)


@cache
def _header_decoder() -> msgspec.json.Decoder[Any]:
    members = [(field.attribute, *typed_member(field)) for field in RUN_FIELDS]
    renamed = {field.attribute: field.key for field in RUN_FIELDS}
    struct = msgspec.defstruct("Header", members, rename=renamed, kw_only=True, forbid_unknown_fields=True)
    return msgspec.json.Decoder(struct)


def typed_member(field: Field) -> tuple[Any, ...]:
    """The type of a field for a struct that decodes it, and its default where it may be missing."""
    kind = Literal[field.allowed] if field.kind == "category" else _TYPES[field.kind]
    return (kind,) if field.required else (kind | None, None)
