"""What is wrong with one input: collected while it is read, raised when it has been read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from auditkit.errors import Failure, FailureList
from auditkit.rules import Report

_SHOWN = 60


class Problems(FailureList):
    """The failures of one file; knows which run is being read."""

    def __init__(self, file: str):
        super().__init__()
        self.file = file
        self.run_id: str | None = None

    def in_row(self, position: int | None, run_id: str | None = None) -> Report:
        """A reporter of values that break the rule of their field, in one row or (None) in the header."""
        return lambda field, value, rule: self.report(
            rule, position=position, field=field.key, value=value, run_id=run_id
        )

    def report(
        self,
        rule: str,
        *,
        position: int | None = None,
        field: str | None = None,
        value: Any = None,
        run_id: str | None = None,
    ) -> None:
        """Anything else that is wrong; of the run that is being read, unless another is named."""
        run_id, field = _printable(run_id or self.run_id), _printable(field)
        self.add(Failure(self.file, run_id, position, field, _shown(value), rule))


class RowTracker:
    """Which row of which run comes next, in rows that each name their run."""

    def __init__(self) -> None:
        self._run_id: Any = None
        self._position = 0

    def places(self, run_ids: Sequence[Any]) -> list[tuple[Any, int]]:
        """Run and position of the next rows."""
        run_id, position = self._run_id, self._position
        places = []
        for name in run_ids:
            run_id, position = (run_id, position) if name == run_id else (name, 0)
            places.append((run_id, position))
            position += 1
        return places

    def advance(self, run_ids: list[Any]) -> None:
        """Leave these rows behind."""
        if not run_ids:
            return
        last = run_ids[-1]
        count = run_ids.count(last)
        if count < len(run_ids):
            count = next(n for n, name in enumerate(reversed(run_ids)) if name != last)
        goes_on = count == len(run_ids) and last == self._run_id
        self._run_id, self._position = last, count + (self._position if goes_on else 0)


def _printable(text: str | None) -> str | None:
    return None if text is None else text.encode("utf-8", "backslashreplace").decode()


def _shown(value: Any) -> str | None:
    if value is None:
        return None
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python converts
        text = "a number of thousands of digits"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
