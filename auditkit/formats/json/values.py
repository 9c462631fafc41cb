"""JSON values of unknown fields: kept whole, numbers as JavaScript writes them, integers with all digits."""

from __future__ import annotations

import json
import math
from json.encoder import encode_basestring
from typing import Any

from auditkit.formats.js import js_number

DEEPEST = 200


class Digits(str):
    """A number as it will be written."""

    __slots__ = ()


def parse(text: str | bytes) -> Any:
    """The value of a JSON text, its numbers as `Digits`.

    Raises
    ------
    ValueError
        If it is not JSON, holds NaN or an infinite number, or is nested too deeply to be read.
    """
    try:
        return json.loads(text, parse_int=_integer, parse_float=_float, parse_constant=_refused)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def stringify(value: Any, indent: str | None = None, level: int = 0) -> str:
    """A parsed value as `JSON.stringify` writes it, compact or with an indent.

    Raises
    ------
    ValueError
        If it is nested deeper than 200 levels or holds a lone surrogate.
    """
    if level > DEEPEST:
        raise ValueError(f"nested deeper than {DEEPEST} levels")
    if isinstance(value, dict):
        colon = ":" if indent is None else ": "
        parts = [f"{_string(key)}{colon}{stringify(item, indent, level + 1)}" for key, item in value.items()]
        return _enclosed("{", parts, "}", indent, level)
    if isinstance(value, list):
        parts = [stringify(item, indent, level + 1) for item in value]
        return _enclosed("[", parts, "]", indent, level)
    if isinstance(value, Digits):
        return str(value)
    if isinstance(value, str):
        return _string(value)
    return {None: "null", True: "true", False: "false"}[value]


def members(extra: str, indent: str | None, level: int) -> str:
    """The members of an object of unknown fields, each behind a comma, ready to follow known ones."""
    between = "," if indent is None else ",\n" + indent * level
    colon = ":" if indent is None else ": "
    return "".join(
        f"{between}{_string(key)}{colon}{stringify(value, indent, level)}"
        for key, value in parse(extra).items()
    )


def is_object(text: Any) -> bool:
    """Whether this is the text of an object of unknown fields, as `stringify` would write it."""
    try:
        value = parse(text) if isinstance(text, str) else None
        stringify(value)
    except ValueError:
        return False
    return isinstance(value, dict)


def _enclosed(opening: str, parts: list[str], closing: str, indent: str | None, level: int) -> str:
    if not parts or indent is None:
        return opening + ",".join(parts) + closing
    inner = "\n" + indent * (level + 1)
    return f"{opening}{inner}{f',{inner}'.join(parts)}\n{indent * level}{closing}"


def _string(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("a lone surrogate is not text") from None
    return encode_basestring(text)


def _integer(text: str) -> Digits:
    return Digits("0" if text == "-0" else text)


def _float(text: str) -> Digits:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("not a finite number")
    return Digits(js_number(value))


def _refused(text: str) -> Digits:
    raise ValueError(f"{text} is not JSON")
