"""Which runs are exported together: small ones share a sync to disk, and those of one file its reading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from auditkit.run import AuditRun

_MOST_RUNS = 64
_MOST_RESULTS = 100_000
_RESULTS_A_FILE = 200
"""What a file costs besides its results, counted in results."""
_GROUPS_A_WORKER = 4


@dataclass(frozen=True)
class Task:
    """Some runs that are exported together, each with its place in the batch."""

    places: tuple[int, ...]
    runs: tuple[AuditRun, ...]

    def alone(self) -> list[Task]:
        """Each run as a task of its own."""
        return [Task((place,), (run,)) for place, run in zip(self.places, self.runs, strict=True)]


def grouped(runs: Mapping[int, AuditRun], workers: int) -> list[Task]:
    """The runs as tasks, about as large as each other, in order; by what their headers declare."""
    total = sum(map(_cost, runs.values()))
    most = min(_MOST_RESULTS, total // (_GROUPS_A_WORKER * workers) + 1)
    tasks: list[list[int]] = []
    cost = 0
    for unit in _units(runs):
        own = sum(_cost(runs[place]) for place in unit)
        if not tasks or cost + own > most or len(tasks[-1]) + len(unit) > _MOST_RUNS:
            tasks.append([])
            cost = 0
        tasks[-1] += unit
        cost += own
    return [Task(tuple(places), tuple(runs[place] for place in places)) for places in tasks]


def _units(runs: Mapping[int, AuditRun]) -> Iterable[list[int]]:
    """The places of the runs, those that are read together in one list."""
    readers = {place: _reader(run) for place, run in runs.items()}
    shared = Counter(map(id, readers.values()))
    by_id = {id(reader): reader for reader in readers.values()}
    together = {key for key, count in shared.items() if count > 1 and _reads_several(by_id[key])}
    units: dict[object, list[int]] = {}
    for place, reader in readers.items():
        key = ("reader", id(reader)) if id(reader) in together else place
        units.setdefault(key, []).append(place)
    return units.values()


def _reader(run: AuditRun) -> object | None:
    """What reads the results of a run, where that is an object."""
    return getattr(getattr(run.batches, "func", run.batches), "__self__", None)


def _reads_several(reader: object | None) -> bool:
    """Whether several runs that name it are read at once; a source itself reads each for its own."""
    return reader is not None and not hasattr(reader, "listing")


def _cost(run: AuditRun) -> int:
    return _RESULTS_A_FILE + max(0, run.total_submissions or 0)
