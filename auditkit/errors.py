"""Every exception of auditkit, and the list of failures that some of them carry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

KEPT_FAILURES = 10_000


class AuditkitError(Exception):
    """Base of every error that auditkit raises on its own account."""


class NoSourceError(AuditkitError, ValueError):
    """No source was named, or the one named is of a kind that cannot be opened."""


class RunNotFoundError(AuditkitError, LookupError):
    """The source holds no run of that id."""


class InvalidRunIdError(AuditkitError, ValueError):
    """A run id that cannot be a run id: control characters, or over 1,024 characters."""


class UnknownFormatError(AuditkitError, ValueError):
    """No built-in or installed format has that name."""


class InvalidOptionError(AuditkitError, ValueError):
    """An export option has a value, or stands beside another one, that makes no sense."""


class ExportExistsError(AuditkitError, FileExistsError):
    """A file of that name with other bytes exists, and `if_exists="error"` was asked for."""


class InvalidKeyError(AuditkitError, ValueError):
    """A key that is no key of the wanted kind, or a secret one whose file others may read."""


class DecryptionError(AuditkitError, ValueError):
    """An encrypted file that is damaged, cut off, or meant for another key."""


class MissingExtraError(AuditkitError, ImportError):
    """A part of auditkit that is installed on demand is asked for, and is not installed."""


class WorkerDiedError(AuditkitError, RuntimeError):
    """A process that exported a run ended again and again before it was done."""


class DatabaseError(AuditkitError, OSError):
    """A database that cannot be reached, refuses, lacks a table or column, or broke off."""


def in_words(error: Exception) -> str:
    """An error as one line: what is wrong and where."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)


class Failure(NamedTuple):
    """One place where input breaks the table of fields."""

    file: str
    run_id: str | None
    position: int | None
    field: str | None
    value: str | None
    rule: str

    def __str__(self) -> str:
        place = [self.file]
        if self.run_id is not None:
            place.append(f"run {self.run_id!r}")
        if self.position is not None:
            place.append(f"row {self.position}")
        if self.field is not None:
            place.append(self.field)
        value = "" if self.value is None else f"{self.value}: "
        return f"{', '.join(place)}: {value}{self.rule}"


class InvalidRunError(AuditkitError, ValueError):
    """Input that is not a sound audit run.

    Attributes
    ----------
    rows : list of Failure
        The first 10,000 failures.
    failure_count : int
        How many there were in all.
    """

    def __init__(self, message: str, rows: Sequence[Failure] = (), failure_count: int | None = None):
        super().__init__(message)
        self.rows = list(rows)
        self.failure_count = len(self.rows) if failure_count is None else failure_count

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.rows, self.failure_count)

    @property
    def failures(self) -> pd.DataFrame:
        """One row a failure: file, run_id, position, field, value, rule."""
        return failures_frame(self.rows)


class BatchError(AuditkitError):
    """Some runs of a batch could not be exported; the others were.

    Attributes
    ----------
    result : BatchResult
        `.receipts` of the runs that were exported, `.failures` of those that were not.
    """

    def __init__(self, message: str, result: Any):
        super().__init__(message)
        self.result = result

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.result)

    @classmethod
    def of(cls, result: Any, count: int, note: str = "") -> BatchError:
        """The error of a batch of so many runs, the first failure in words."""
        first = result.failures[0]
        others = f"The other {len(result.receipts)} were exported. " if result.receipts else ""
        return cls(
            f"{len(result.failures)} of {count} runs could not be exported, first {first.run_id!r}: "
            f"{first.error} {note or others}`.failures` of this error lists each with its reason.",
            result,
        )

    @property
    def receipts(self) -> Any:
        """The receipts of the runs that were exported."""
        return self.result.receipts

    @property
    def failures(self) -> Any:
        """The runs that were not exported, each with its error."""
        return self.result.failures


class Problem(NamedTuple):
    """One thing that a verification found: changed, missing, unexpected, half-done, log, signature."""

    kind: str
    path: str
    detail: str

    def __str__(self) -> str:
        return f"{self.path}: {self.kind}: {self.detail}"


class VerificationError(AuditkitError):
    """Evidence that is not what it was, with everything that was found.

    Attributes
    ----------
    problems : list of Problem
        kind (changed, missing, unexpected, half-done, log, signature), path, detail.
    """

    def __init__(self, message: str, problems: Sequence[Problem] = ()):
        super().__init__(message)
        self.problems = list(problems)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.problems)

    @classmethod
    def of(cls, where: str, problems: Sequence[Problem]) -> VerificationError:
        """One error that tells of all of them, the first in words."""
        counts = Counter(problem.kind for problem in problems)
        kinds = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        one = len(problems) == 1
        return cls(
            f"{len(problems)} {'problem' if one else 'problems'} in {where} ({kinds}). "
            f"{'It is' if one else 'The first is'} {problems[0]}."
            + ("" if one else " `.problems` of this error lists each."),
            problems,
        )


class FailureList:
    """Failures as they are found: the first 10,000 are kept, all are counted."""

    def __init__(self) -> None:
        self.rows: list[Failure] = []
        self.count = 0

    def __bool__(self) -> bool:
        return self.count > 0

    def add(self, failure: Failure) -> None:
        """Keep one failure, or only count it once enough are kept."""
        self.count += 1
        if len(self.rows) < KEPT_FAILURES:
            self.rows.append(failure)

    def extend(self, error: InvalidRunError) -> None:
        """Take over what another reading found."""
        self.count += error.failure_count
        self.rows += error.rows[: max(0, KEPT_FAILURES - len(self.rows))]

    def error(self) -> InvalidRunError:
        """One error that tells of all of them, the first in words."""
        first = str(self.rows[0])
        if self.count == 1:
            message = f"{first}. Nothing of it was taken."
        else:
            message = (
                f"{first} (and {self.count - 1:,} more). "
                "Nothing of it was taken; `.failures` of this error lists every place."
            )
        return InvalidRunError(message, self.rows, self.count)

    def raise_if_any(self) -> None:
        """Raise `InvalidRunError` if anything was found."""
        if self:
            raise self.error()


def failures_frame(rows: Sequence[Failure]) -> pd.DataFrame:
    """Failures as a frame, with the same dtypes whether there are any or not."""
    import pandas as pd

    columns = {name: [getattr(row, name) for row in rows] for name in Failure._fields}
    dtypes = dict.fromkeys(Failure._fields, "str") | {"position": "Int64"}
    return pd.DataFrame(
        {name: pd.array(values, dtype=dtypes[name]) for name, values in columns.items()}  # type: ignore[call-overload]
    )
