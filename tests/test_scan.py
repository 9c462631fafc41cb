"""Parts of runs: slices, columns and filters of sources that know how and of those that do not."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from records import a_result, a_run, dumped, saved

import auditkit as ak
from auditkit.run import HeaderChanged
from auditkit.scan import Scan, count_results, gathered, regrouped, scan
from auditkit.schema import result_schema

COUNT = 10_000
"""More than one batch of a JSON file."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ak.AuditRun:
    path = saved(
        tmp_path_factory.mktemp("runs") / "run.json",
        dumped(a_run([a_result(n, userScore=n % 101) for n in range(COUNT)]), None),
    )
    (found,) = ak.open_source(path).open()
    assert isinstance(found, ak.AuditRun)
    return found


def rows_of(run: ak.AuditRun, **wanted: Any) -> list[tuple[int, dict[str, Any]]]:
    return [
        (int(position), row)
        for part in scan(run, Scan(**wanted))
        for position, row in zip(part.positions, part.batch.to_pylist(), strict=True)
    ]


def test_some_columns_of_some_rows(run: ak.AuditRun) -> None:
    rows = rows_of(run, columns=("user_id",), start=4990, stop=5010)
    assert rows == [(n, {"user_id": f"user-{n}"}) for n in range(4990, 5010)]


def test_a_filter_and_a_slice_have_both_to_hold(run: ak.AuditRun) -> None:
    rows = rows_of(
        run, columns=("user_score",), filter=ak.Filter(user_score=(100, None)), start=300, stop=1000
    )
    assert rows == [(n, {"user_score": 100.0}) for n in range(COUNT) if n % 101 == 100 and 300 <= n < 1000]


def test_nothing_wanted_gives_nothing(run: ak.AuditRun) -> None:
    assert rows_of(run, start=COUNT) == []
    assert rows_of(run, filter=ak.Filter(user_id=())) == []


def test_a_selection_keeps_the_places_of_its_rows(run: ak.AuditRun) -> None:
    some = run.select([7, 70, 7000])
    assert [position for position, _ in rows_of(some, columns=("user_id",), start=8)] == [70, 7000]
    assert (count_results(some), count_results(run)) == (3, COUNT)


def batch_of(*numbers: int) -> pa.RecordBatch:
    rows = [dict.fromkeys(result_schema().names) | {"result_id": str(n)} for n in numbers]
    return pa.RecordBatch.from_pylist(
        rows, schema=pa.schema([field.with_nullable(True) for field in result_schema()])
    )


def made_run(name: str, *sizes: int, then: ak.AuditRun | None = None) -> ak.AuditRun:
    """A run whose batches have these sizes, and that turns out to be another one at its end."""

    def batches() -> Iterator[pa.RecordBatch]:
        start = 0
        for size in sizes:
            yield batch_of(*range(start, start + size))
            start += size
        if then is not None:
            raise HeaderChanged(then)

    return ak.AuditRun(id=name, batches=batches)


def regrouped_ids(runs: list[ak.AuditRun], rows: int) -> list[list[tuple[str, int]]]:
    wanted = Scan(columns=("result_id",))
    groups = []
    for parts in regrouped(runs, wanted, rows):
        for _, positions, batches in parts:
            values = [int(v) for batch in batches for v in batch.column("result_id").to_pylist()]
            assert values == positions.tolist()
        groups.append([(name, int(at)) for name, positions, _ in parts for at in positions])
    return groups


def test_rows_are_regrouped_exactly_whatever_the_batches_are() -> None:
    chance = random.Random(1)
    for _ in range(60):
        sizes = [
            [chance.randrange(9) for _ in range(chance.randrange(4))] for _ in range(chance.randrange(4))
        ]
        rows = chance.randrange(1, 12)
        every = [(str(at), n) for at, some in enumerate(sizes) for n in range(sum(some))]
        expected = [every[start : start + rows] for start in range(0, len(every), rows)]
        assert regrouped_ids([made_run(str(at), *some) for at, some in enumerate(sizes)], rows) == expected


def test_a_run_that_turns_out_another_is_taken_again_while_nothing_of_it_was_given() -> None:
    first = made_run("first", 3)
    changed = made_run("second", 4, then=made_run("second", 2))
    expected = [("first", 0), ("first", 1), ("first", 2), ("second", 0), ("second", 1)]
    assert regrouped_ids([first, changed], 100) == [expected]
    name, positions, batches = gathered(changed, Scan())
    assert (name, positions.tolist(), sum(map(len, batches))) == ("second", [0, 1], 2)


def test_a_run_that_turns_out_another_when_some_of_it_was_given_is_refused() -> None:
    changed = made_run("second", 4, then=made_run("second", 2))
    with pytest.raises(ak.errors.InvalidRunError, match="'second' ends as another run"):
        regrouped_ids([changed], 3)


def test_a_source_that_knows_how_is_asked() -> None:
    class Knowing:
        def __call__(self) -> Iterator[pa.RecordBatch]:
            raise AssertionError("all of it was read")

        def count(self) -> int:
            return 5

        def scan(self, wanted: Scan) -> Iterator[Any]:
            return iter([])

    run = dataclasses.replace(made_run("one"), batches=Knowing())
    assert (count_results(run), list(scan(run, Scan()))) == (5, [])
