"""What a column may be asked for: a range, one of some values, a text inside."""

from __future__ import annotations

import difflib
import math
import numbers
import re
from collections.abc import Iterable, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from auditkit.errors import InvalidOptionError
from auditkit.rules import broken_rule
from auditkit.schema import Field

if TYPE_CHECKING:
    import pyarrow as pa

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = timedelta(days=1, microseconds=-1)
"""From the first microsecond of a day to its last one."""
_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NUMBERS = ("number", "count")
_EXACT = 2**53
"""Up to here every whole number is a double."""


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, both included; None leaves an end open."""

    low: float | None
    high: float | None

    @property
    def value(self) -> tuple[Any, Any]:
        """As it is given to a filter."""
        return self.low, self.high

    @property
    def words(self) -> str:
        """As people say it."""
        low, high = (None if end is None else f"{end:.15g}" for end in self.value)
        return _range_words(low, high)

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """The ends as they are compared."""
        return self.low, self.high

    def holds(self, column: pa.Array) -> pa.Array:
        """Which values lie in it."""
        return _between(column, *self.bounds)


@dataclass(frozen=True)
class Period:
    """From one instant or day (UTC) to another, both included; None leaves an end open."""

    start: str | None
    end: str | None

    @property
    def value(self) -> tuple[Any, Any]:
        """As it is given to a filter."""
        return self.start, self.end

    @property
    def words(self) -> str:
        """As people say it."""
        return _range_words(self.start, self.end)

    @property
    def bounds(self) -> tuple[int | None, int | None]:
        """The ends as they are compared: microseconds since 1970, a day from its first to its last."""
        low = None if self.start is None else _microseconds(self.start)
        high = None if self.end is None else _microseconds(self.end, last=True)
        return low, high

    def holds(self, column: pa.Array) -> pa.Array:
        """Which instants, in microseconds, lie in it."""
        import pyarrow as pa

        return _between(column.cast(pa.int64()), *self.bounds)


@dataclass(frozen=True)
class OneOf:
    """One of some values; None stands for missing."""

    values: tuple[str | None, ...]

    @property
    def value(self) -> tuple[Any, ...]:
        """As it is given to a filter."""
        return self.values

    @property
    def words(self) -> str:
        """As people say it."""
        words = ("missing" if value is None else value or "empty" for value in self.values)
        return " or ".join(words) or "no value"

    def holds(self, column: pa.Array) -> pa.Array:
        """Which values are among them."""
        import pyarrow as pa
        import pyarrow.compute as pc

        named = [value for value in self.values if value is not None]
        among = pc.is_in(column, value_set=pa.array(named, column.type), skip_nulls=True)
        return pc.or_(among, pc.is_null(column)) if None in self.values else among


@dataclass(frozen=True)
class Contains:
    """A text that holds another one, in capitals or not."""

    text: str

    @property
    def value(self) -> str:
        """As it is given to a filter."""
        return self.text

    @property
    def words(self) -> str:
        """As people say it."""
        return f"contains “{self.text}”"

    def holds(self, column: pa.Array) -> pa.Array:
        """Which texts hold it."""
        import pyarrow.compute as pc

        return pc.match_substring(column, self.text, ignore_case=True)


Condition = Range | Period | OneOf | Contains


def conditions_of(fields: Mapping[str, Field], given: Mapping[str, Any]) -> dict[str, Condition]:
    """What is asked of each column, checked against the table of fields and in its order.

    Raises
    ------
    InvalidOptionError
        If there is no such column, or it cannot be asked for this.
    """
    for name in given:
        if name not in fields:
            near = difflib.get_close_matches(str(name), fields, 1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(fields)}."
            raise InvalidOptionError(f"A filter knows no column {name!r}. {hint}")
    return {
        name: _condition(field, given[name])
        for name, field in fields.items()
        if given.get(name) is not None  # None asks for nothing
    }


def _condition(field: Field, value: Any) -> Condition:
    if field.kind in _NUMBERS:
        return _in_order(field, Range(*(_number(field, end) for end in _ends(field, value))))
    if field.kind == "timestamp":
        return _in_order(field, Period(*(_instant(field, end) for end in _ends(field, value))))
    if isinstance(value, str) and field.kind == "text":
        if not value:
            raise InvalidOptionError(f"{field.column}='' asks for nothing. Give a text, or ('',) for empty.")
        return Contains(_text(field, value))
    return OneOf(_values(field, [value] if isinstance(value, str) else value))


def _ends(field: Field, value: Any) -> tuple[Any, Any]:
    unordered = isinstance(value, str | bytes | Set | Mapping) or not isinstance(value, Iterable)
    ends = () if unordered else tuple(value)
    if len(ends) != 2 or all(end is None for end in ends):
        raise InvalidOptionError(
            f"{field.column}={value!r} is no range. Give (low, high); None leaves one end open."
        )
    return ends


def _in_order(field: Field, asked: Range | Period) -> Range | Period:
    low, high = asked.bounds
    if low is not None and high is not None and low > high:
        raise InvalidOptionError(f"{field.column}={asked.value!r} ends before it begins. Give (low, high).")
    return asked


def _number(field: Field, end: Any) -> float | None:
    if end is None:
        return None
    number = math.nan
    if isinstance(end, numbers.Real) and not isinstance(end, bool):
        with suppress(OverflowError):
            number = float(end)
    if not math.isfinite(number):
        raise InvalidOptionError(f"{end!r} is no number to compare {field.column} with. Give a finite one.")
    return int(number) if number.is_integer() and abs(number) < _EXACT else number


def _instant(field: Field, end: Any) -> str | None:
    if end is None:
        return None
    text = str(end) if isinstance(end, str) else _as_text(end)
    if text is None or not _is_time(field, text):
        raise InvalidOptionError(
            f"{end!r} is no time to compare {field.column} with. "
            "Give a day as YYYY-MM-DD, or an instant as YYYY-MM-DDThh:mm:ssZ."
        )
    return text


def _as_text(end: Any) -> str | None:
    """A day or an instant of Python or pandas as text; None if it is neither."""
    if not isinstance(end, datetime):
        return end.isoformat() if isinstance(end, date) else None
    with suppress(OverflowError):
        return None if end.tzinfo is None else end.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return None


def _values(field: Field, value: Any) -> tuple[str | None, ...]:
    values = list(value) if isinstance(value, Iterable) and not isinstance(value, bytes) else [value]
    for one in values:
        if one is not None and (not isinstance(one, str) or (field.allowed and one not in field.allowed)):
            allowed = f"one of {', '.join(field.allowed)}" if field.allowed else "a text"
            raise InvalidOptionError(f"{one!r} is no value of {field.column}. Give {allowed}, or None.")
    texts = {_text(field, one) for one in values if one is not None}
    order = field.allowed or sorted(texts)
    return (*(one for one in order if one in texts), *([None] if None in values else []))


def _text(field: Field, value: str) -> str:
    try:
        return value.encode().decode()  # of numpy's kind of text, too, a plain one
    except UnicodeEncodeError:
        raise InvalidOptionError(
            f"{value!r} is no text that {field.column} can hold: it has a lone surrogate. Give another one."
        ) from None


def _between(column: pa.Array, low: float | None, high: float | None) -> pa.Array:
    import pyarrow.compute as pc

    if low is None:
        return pc.less_equal(column, high)
    above = pc.greater_equal(column, low)
    return above if high is None else pc.and_(above, pc.less_equal(column, high))


def _range_words(low: str | None, high: str | None) -> str:
    if low is None:
        return f"up to {high}"
    return f"{low} or more" if high is None else f"{low} to {high}"


def _is_day(text: str) -> bool:
    return _DAY.fullmatch(text) is not None


def _is_time(field: Field, text: str) -> bool:
    instant = f"{text}T00:00:00Z" if _is_day(text) else text
    return broken_rule(field, instant) is None and not text.startswith("0000")  # Python has no year 0


def _microseconds(text: str, last: bool = False) -> int:
    """The microsecond of an instant since 1970, or the first or last one of a day."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    since = instant - _EPOCH + (_LAST if last and _is_day(text) else timedelta())
    return since // timedelta(microseconds=1)
