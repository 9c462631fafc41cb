"""Runs in files, wherever these stand; the kind of a file is told by its content."""

from __future__ import annotations

import gc
import logging
import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, BinaryIO, NamedTuple, Protocol

from auditkit.errors import FailureList, InvalidRunError
from auditkit.formats import recognise
from auditkit.formats.base import RepeatedResults, headers
from auditkit.formats.stream import InputStream
from auditkit.naming import set_of
from auditkit.run import AuditRun, Batches, HeaderChanged, RunHeader
from auditkit.sources.base import Listing, loaded, not_found
from auditkit.sources.index import StampedFiles, headers_of
from auditkit.sources.reading import base_name, events, gathered

_SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".parquet")
_LARGEST_SHARED = 64 << 20
"""A file of several runs is kept in memory up to this size; a larger one is read once for each run."""
log = logging.getLogger("auditkit")


class _Place(NamedTuple):
    """Where a run stands: its file, and how many runs of that file come before it."""

    path: str
    ordinal: int
    header: RunHeader


_Runs = dict[int, AuditRun] | Exception


class Files(Protocol):
    """Files that may hold runs, looked for each time: one that was added is seen."""

    @property
    def location(self) -> str:
        """Where they are, in words that may be shown and logged."""

    @property
    def named(self) -> bool:
        """Whether each was named, so that every one has to hold runs; in a folder others may stand beside."""

    def paths(self) -> list[str]:
        """The files, in a stable order."""

    def open_raw(self, path: str) -> BinaryIO:
        """The bytes of one as they are stored; the stream can seek."""

    def size(self, path: str) -> int:
        """How many bytes one has."""

    def guarded(self, path: str) -> bool:
        """Whether one was written with the formula guard."""


@dataclass(frozen=True, kw_only=True)
class FileSource:
    """The runs in some files."""

    files: Files
    strict: bool = False
    formula_guard: bool | None = None
    max_uncompressed_bytes: int

    @property
    def location(self) -> str:
        """Where the files are."""
        return self.files.location

    def listing(self) -> Listing:
        """The headers of all runs, by file name, and the failures of the files that are broken."""
        places, failures = self._places()
        return Listing(headers=[place.header for place in places], failures=failures)

    def open(self, run_ids: Sequence[str] | None = None) -> list[AuditRun | Exception]:
        """The runs, each streaming from its file."""
        found = self._find(run_ids)
        wanted = _by_path(found)
        shared = {path: _Shared(self, path, places) for path, places in wanted.items() if len(places) > 1}
        return [
            place if isinstance(place, Exception) else self._opened(place, shared.get(place.path))
            for place in found
        ]

    def load(self, run_ids: Sequence[str] | None = None) -> Iterator[AuditRun | Exception]:
        """The runs in memory; a file of several runs is read once."""
        found = self._find(run_ids)
        wanted = _by_path(found)
        shared = {path: _Shared(self, path, places) for path, places in wanted.items() if len(places) > 1}
        for place in found:
            if isinstance(place, Exception):
                yield place
            elif place.path not in shared:
                yield loaded(self._run(place))
            else:
                runs = shared[place.path].runs
                yield runs if isinstance(runs, Exception) else runs[place.ordinal]

    def _places(self, glance: bool = False) -> tuple[list[_Place], FailureList]:
        failures = FailureList()
        with _uncollected():
            places = [
                _Place(path, ordinal, header)
                for path, found in self._headers(glance, failures)
                for ordinal, header in enumerate(found or ())
            ]
        return self._without_doubles(places, failures), failures

    def _headers(self, glance: bool, failures: FailureList) -> Iterator[tuple[str, list[RunHeader] | None]]:
        """Each file with its headers: none where it need not be a run, None where it is broken."""
        read = partial(self._headers_in, glance=glance, failures=failures)
        if glance or not isinstance(self.files, StampedFiles):
            return ((path, read(path)) for path in self.files.paths())
        return headers_of(self.files, (self.strict, self.formula_guard, self.max_uncompressed_bytes), read)

    def _headers_in(self, path: str, glance: bool, failures: FailureList) -> list[RunHeader] | None:
        try:
            return self._headers_read(self._stream(path, glance))
        except InvalidRunError as error:
            if self._may_stand_beside(path):
                log.info("left alone, it is no run file: %s", path)
                return []
            failures.extend(error)
        except OSError as error:
            failures.extend(self._stream(path).refused(f"cannot be read: {error.strerror or error}"))
        return None

    def _headers_read(self, stream: InputStream) -> list[RunHeader]:
        if not stream.head and base_name(stream.name).endswith((".jsonl", ".ndjson")):
            return []  # what a run without results becomes there
        format = recognise(stream.head)
        if format is None:
            rule = "no kind of file that holds runs" if stream.head else "an empty file"
            raise stream.refused(rule)
        return list(headers(format, stream))

    def _may_stand_beside(self, path: str) -> bool:
        """Whether a file of the folder need not be a run: a README, a picture."""
        return not self.files.named and not base_name(path).endswith(_SUFFIXES)

    def _without_doubles(self, places: list[_Place], failures: FailureList) -> list[_Place]:
        if len({place.header.id for place in places}) == len(places):
            return places
        paths: dict[str, list[str]] = defaultdict(list)
        for place in places:
            paths[place.header.id].append(place.path)
        for run_id, where in paths.items():
            if len(where) > 1:
                names = ", ".join(sorted(set(map(posixpath.basename, where))))
                parted = any(map(set_of, map(posixpath.basename, where)))
                one = "its manifest, ….parts.json" if parted else "one file or glob"
                rule = f"run {run_id!r} stands in {len(where)} places ({names}); point at {one}"
                failures.extend(self._stream(self.location).refused(rule))
        return [place for place in places if len(paths[place.header.id]) == 1]

    def _find(self, run_ids: Sequence[str] | None) -> list[_Place | Exception]:
        alone = self.files.named and len(self.files.paths()) == 1  # among several an id may stand twice
        glance = alone and run_ids is not None
        places, failures = self._places(glance)
        if run_ids is None:
            return [*places, failures.error()] if failures else list(places)
        if glance and (failures or not {place.header.id for place in places}.issuperset(run_ids)):
            places, failures = self._places()
        by_id = {place.header.id: place for place in places}
        return [by_id.get(run_id) or self._why_not(run_id, list(by_id), failures) for run_id in run_ids]

    def _why_not(self, run_id: str, known: list[str], failures: FailureList) -> Exception:
        """The failures of the file that should hold it, or that it is not there."""
        own = FailureList()
        for failure in failures.rows:
            named = base_name(failure.file).partition(".")[0] == run_id
            if failure.run_id == run_id or named or f"run {run_id!r} stands in" in failure.rule:
                own.add(failure)
        return own.error() if own else not_found(run_id, known, self.location, failures)

    def _run(self, place: _Place, whole: bool = False) -> AuditRun:
        return AuditRun(**vars(place.header), batches=partial(self._batches, place, whole))

    def _opened(self, place: _Place, shared: _Shared | None) -> AuditRun:
        """A run that streams; or of several in one file, the first one that is read reads them all."""
        if shared is None or self.files.size(place.path) > _LARGEST_SHARED:
            return self._run(place)
        return AuditRun(**vars(place.header), batches=partial(shared.batches, place))

    def _batches(self, place: _Place, whole: bool) -> Batches:
        """The batches of one run of a file.

        Raises
        ------
        HeaderChanged
            At the end, if the header turns out to be another one than the listing saw.
        """
        ordinal = 0
        try:
            for event in events(self._stream(place.path), whole):
                if isinstance(event, RunHeader):
                    if ordinal == place.ordinal and event != place.header:
                        raise self._changed(place, event, whole)
                    if ordinal > place.ordinal and event.id == place.header.id:
                        raise self._stream(place.path).refused(f"run {event.id!r} stands in it twice")
                    ordinal += 1
                elif ordinal == place.ordinal:
                    yield event
        except RepeatedResults:
            raise HeaderChanged(self._run(place, whole=True)) from None
        if ordinal <= place.ordinal:
            raise self._stream(place.path).refused(f"holds no run {place.header.id!r} any more")

    def _changed(self, place: _Place, header: RunHeader, whole: bool) -> Exception:
        if header.id == place.header.id:
            return HeaderChanged(self._run(place._replace(header=header), whole))
        return self._stream(place.path).refused(
            f"calls itself {place.header.id!r} in front of its results and {header.id!r} behind them"
        )

    def load_all(self, path: str, places: Iterable[_Place]) -> _Runs:
        """The runs of a file that stand at these places, or why it cannot be read."""
        wanted = {place.ordinal for place in places}
        try:
            with suppress(RepeatedResults):
                return dict(gathered(self._stream(path), wanted, whole=False))
            return dict(gathered(self._stream(path), wanted, whole=True))
        except (InvalidRunError, OSError) as error:
            return error

    def _stream(self, path: str, glance: bool = False) -> InputStream:
        return InputStream(
            name=path,
            open_raw=partial(self.files.open_raw, path),
            strict=self.strict,
            formula_guard=self.files.guarded(path) if self.formula_guard is None else self.formula_guard,
            glance=glance,
            max_uncompressed_bytes=self.max_uncompressed_bytes,
        )


class _Shared:
    """The runs of one file that are wanted, read at once when the first of them is."""

    def __init__(self, source: FileSource, path: str, places: list[_Place]):
        self._source = source
        self._path = path
        self._places = places

    def __getstate__(self) -> dict[str, Any]:
        """Without the runs: another process reads them itself."""
        return {name: value for name, value in vars(self).items() if name != "runs"}

    @cached_property
    def runs(self) -> _Runs:
        """By their ordinal, or why they cannot be read."""
        return self._source.load_all(self._path, self._places)

    def batches(self, place: _Place) -> Batches:
        """The batches of one of them."""
        if isinstance(self.runs, Exception):
            raise self.runs
        run = self.runs[place.ordinal]
        if run.header != place.header:
            raise HeaderChanged(run)
        yield from run.batches()


def _by_path(found: Sequence[_Place | Exception]) -> dict[str, list[_Place]]:
    places: dict[str, list[_Place]] = defaultdict(list)
    for place in found:
        if isinstance(place, _Place):
            places[place.path].append(place)
    return places


@contextmanager
def _uncollected() -> Iterator[None]:
    """Look for no garbage: among hundreds of thousands of things that all stay it costs as much again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
