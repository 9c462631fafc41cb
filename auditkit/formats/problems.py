"""What is wrong with one input: collected while it is read, raised when it has been read."""

from __future__ import annotations

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

    def in_row(self, position: int | None) -> Report:
        """A reporter of values that break the rule of their field, in one row or (None) in the header."""
        return lambda field, value, rule: self.report(rule, position=position, field=field.key, value=value)

    def report(
        self, rule: str, *, position: int | None = None, field: str | None = None, value: Any = None
    ) -> None:
        """Anything else that is wrong."""
        self.add(Failure(self.file, self.run_id, position, field, _shown(value), rule))


def _shown(value: Any) -> str | None:
    if value is None:
        return None
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python converts
        text = "a number of thousands of digits"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
