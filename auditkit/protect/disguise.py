"""Runs with pseudonyms in the place of ids, batch by batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from auditkit.errors import InvalidOptionError
from auditkit.protect.coarsening import coarsened, coarsened_one
from auditkit.protect.extras import kept_extra
from auditkit.protect.replacement import Replacement
from auditkit.run import AuditRun, Batches
from auditkit.schema import EXTRA

if TYPE_CHECKING:
    import pyarrow as pa

    from auditkit.protect.pseudonyms import Pseudonymizer

ID_COLUMNS = ("submission_id", "user_id", "reviewer")
TEXT_COLUMNS = ("result_id", "task_title", "skill_area", "notes")


class Pseudonyms:
    """The pseudonyms of all ids in some runs, as `Pseudonymizer.learn` found them."""

    def __init__(self, maker: Pseudonymizer, ids: Iterable[str]):
        self._maker = maker
        self._replacement = Replacement(ids, maker.of)

    def text(self, text: str) -> str:
        """A text in which every id is replaced: of a file name, a title, a finding."""
        return self._replacement.text(text)

    def applied(self, run: AuditRun) -> AuditRun:
        """The run as it may leave the house: with pseudonyms, without what is to be left out.

        Its results stream from those of the run. A `HeaderChanged` of theirs passes through with the
        run as it is recorded: apply the pseudonyms to that one.

        Raises
        ------
        InvalidOptionError
            If it holds an id that was not learnt, at once or, in a result, while it is read.
        """
        return dataclasses.replace(
            run,
            id=self.text(run.id),
            reviewer=None if run.reviewer is None else self._name(run, "reviewer", run.reviewer),
            task_title=self._text_or_none(run.task_title),
            skill_area=self._text_or_none(run.skill_area),
            started_at=self._coarse(run.started_at),
            completed_at=self._coarse(run.completed_at),
            extra=self._kept_extra([run.extra])[0],
            batches=partial(self._batches, run),
            in_memory=False,
        )

    def _text_or_none(self, text: str | None) -> str | None:
        return None if text is None else self.text(text)

    def _coarse(self, timestamp: str | None) -> str | None:
        step = self._maker.coarsen_timestamps
        return timestamp if step is None else coarsened_one(timestamp, step)

    def _batches(self, run: AuditRun) -> Batches:
        import pyarrow as pa

        for batch in run.batches():
            columns = [self._column(run, name, batch.column(name)) for name in batch.schema.names]
            yield pa.RecordBatch.from_arrays(columns, schema=batch.schema)

    def _column(self, run: AuditRun, name: str, column: pa.Array) -> pa.Array:
        import pyarrow as pa

        if name in ID_COLUMNS:
            return _by_value(column, lambda ids: [self._name(run, name, one) for one in ids])
        if name == "notes" and self._maker.drop_notes:
            return pa.nulls(len(column), column.type)
        if name in TEXT_COLUMNS:
            return _by_value(column, self._replacement.texts)
        if name == "timestamp" and self._maker.coarsen_timestamps is not None:
            return coarsened(column, self._maker.coarsen_timestamps)
        return _by_value(column, self._kept_extra) if name == EXTRA else column

    def _name(self, run: AuditRun, field: str, id: str) -> str:
        if id and id not in self._replacement:
            raise InvalidOptionError(
                f"Run {self.text(run.id)!r} holds a {field} whose pseudonym was not learnt: it was not among "
                "the runs that were learnt from, or its source has changed since. Learn from it again."
            )
        return self._maker.of(id)

    def _kept_extra(self, texts: Iterable[str | None]) -> list[str | None]:
        return kept_extra(texts, self._maker.keep_extra, self._replacement.texts)


def _by_value(column: pa.Array, change: Callable[[list[str]], Sequence[str | None]]) -> pa.Array:
    """A column of text whose values are changed, each that occurs once; missing stays missing."""
    import pyarrow as pa

    coded = column.dictionary_encode()
    return pa.array(change(coded.dictionary.to_pylist()), pa.string()).take(coded.indices)
