"""Where runs come from: the protocol of a source, and how one is opened."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from auditkit.errors import (
    AuditkitError,
    FailureList,
    InvalidOptionError,
    InvalidRunError,
    NoSourceError,
    RunNotFoundError,
)
from auditkit.formats.stream import MAX_UNCOMPRESSED_BYTES
from auditkit.naming import MANIFEST_SUFFIX, check_run_id
from auditkit.run import AuditRun, RunHeader

ENVIRONMENT_VARIABLE = "AUDITKIT_SOURCE"
DATABASES = frozenset({"sqlite", "postgres", "postgresql", "mysql", "mariadb", "duckdb"})
DATASET = "parquet:"
MAPPING_SUFFIX = ".toml"


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The headers that a source gave, and the failures of what it could not."""

    headers: list[RunHeader]
    failures: FailureList = field(default_factory=FailureList)


@runtime_checkable
class Source(Protocol):
    """A place that holds audit runs."""

    @property
    def location(self) -> str:
        """Where it is, in words that may be shown and logged."""

    def listing(self) -> Listing:
        """The headers of all its runs, in a stable order, without reading results where that can be."""

    def open(self, run_ids: Sequence[str] | None = None) -> list[AuditRun | Exception]:
        """For each id (None: for every run), the run, its results to be streamed, or why there is none.

        The exceptions are `RunNotFoundError`, `InvalidRunError` or `OSError`.
        """

    def load(self, run_ids: Sequence[str] | None = None) -> Iterator[AuditRun | Exception]:
        """The same runs with their results in memory, reading what they share only once."""


def open_source(
    location: Any = None,
    *,
    strict: bool = False,
    formula_guard: bool | None = None,
    max_uncompressed_bytes: int = MAX_UNCOMPRESSED_BYTES,
) -> Source:
    """A source of audit runs.

    Parameters
    ----------
    location : path, glob, list of paths, URL, or Source
        A folder (read without its subfolders), a glob such as `runs/**/*.json`, one file, or several.
        `sqlite:///audit.sqlite`, `postgresql+psycopg://…`, `mysql+pymysql://…`, `duckdb:///…`: a database
        with the tables of `auditkit db init`; a TOML file: a database with tables of another kind.
        `s3://bucket/runs` and what else fsspec knows: a folder, a glob or a file there.
        `parquet:PATH`: a Parquet dataset, the `.parquet` files below a folder here or in a store, flat or
        in hive partitions (`run_id=run-001/part-0.parquet`). The rows of a run stand in the order of the
        paths, `part-2` before `part-10`; a column `position`, where there is one, has to agree.
        Left out: the environment variable `AUDITKIT_SOURCE`.
    strict : bool
        Refuse JSON in which a key stands twice in one object; otherwise the last one counts.
    formula_guard : bool, optional
        Take the formula guard off the text of CSV files; False for files written without it. Left out:
        as the export log beside a file says, and True where there is none.
    max_uncompressed_bytes : int
        A `.gz` or `.zst` file that decompresses to more is refused (default 10 GiB).

    Notes
    -----
    Folders of a thousand files and more are listed from an index of their headers in the user's cache
    folder: a file is read again when its size, its times or its inode changed. It can be removed at any
    time; the environment variable `AUDITKIT_INDEX=off` does without.

    Raises
    ------
    NoSourceError
        If none is named, or its kind is unknown.
    FileNotFoundError
        If there is nothing at that path.

    Examples
    --------
    >>> import auditkit as ak
    >>> ak.open_source("sample_data/runs").location
    'sample_data/runs'
    """
    if location is None:
        location = os.environ.get(ENVIRONMENT_VARIABLE) or None
    if location is None:
        raise NoSourceError(
            "No source of audit runs is named. Give source=, --source, or set the environment variable "
            f"{ENVIRONMENT_VARIABLE} to a folder or file."
        )
    if isinstance(location, Source):
        return location
    options: dict[str, Any] = {
        "strict": strict,
        "formula_guard": formula_guard,
        "max_uncompressed_bytes": max_uncompressed_bytes,
    }
    return _opened(location, options)


def _opened(location: Any, options: dict[str, Any]) -> Source:
    """The source at a place; what it is stands in front of `://` or `:`, or in the suffix."""
    for part in location if isinstance(location, list | tuple) else ():
        _refuse_hidden_url(part, among_files=True)
    text = os.fspath(location) if isinstance(location, str | os.PathLike) else ""
    scheme = text.partition("://")[0] if "://" in text else ""
    if text.startswith(DATASET):
        from auditkit.sources.dataset import open_dataset

        return open_dataset(text.removeprefix(DATASET))
    if is_database(text):
        from auditkit.sources.sql import open_database

        return open_database(scheme.lower() + text[len(scheme) :])
    _refuse_hidden_url(text)
    if text.endswith(MAPPING_SUFFIX):
        from auditkit.sources.sql import open_mapping

        return open_mapping(text)
    if text.endswith(MANIFEST_SUFFIX):
        from auditkit.sources.parted import open_parted

        return open_parted(text, options)
    if scheme:
        from auditkit.sources.storefiles import open_store_files

        return open_store_files(text, **options)
    from auditkit.sources.localfiles import open_files

    return open_files(location, **options)


def is_database(text: str) -> bool:
    """Whether it is the URL of a database; the case of its scheme does not count."""
    return "://" in text and text.partition("://")[0].partition("+")[0].lower() in DATABASES


def _refuse_hidden_url(part: Any, among_files: bool = False) -> None:
    """Refuse what looks like the URL of a database but is none: taken for a path, it would be shown."""
    text = str(part).strip() if isinstance(part, str | os.PathLike) else ""
    scheme, colon, rest = text.partition(":")
    if not colon or scheme.partition("+")[0].lower() not in DATABASES or "@" not in rest:
        return
    if among_files:
        raise NoSourceError("The URL of a database stands in a list of files. Give it alone, as the source.")
    raise NoSourceError(
        "That is no URL of a database. Write it without blanks, as sqlite:///audit.sqlite or "
        "postgresql+psycopg://user@host/database."
    )


def each_once(run_ids: Iterable[str] | str | None) -> list[str] | None:
    """The run ids that are wanted; None for all.

    Raises
    ------
    InvalidOptionError
        If one stands twice.
    """
    ids = None if run_ids is None else [run_ids] if isinstance(run_ids, str) else list(run_ids)
    if ids is not None and len(set(ids)) < len(ids):
        raise InvalidOptionError("A run id stands twice in run_ids. Name each run once.")
    return ids


def loaded(run: AuditRun | Exception) -> AuditRun | Exception:
    """The run with its results in memory, or why there is none."""
    try:
        return run if isinstance(run, Exception) else run.loaded()
    except (InvalidRunError, OSError) as error:
        return error


def opened_each(run_ids: Sequence[str], source: Source) -> list[AuditRun | Exception]:
    """The run of each id, or why there is none; the source is listed once."""
    reasons: dict[int, Exception] = {}
    for index, run_id in enumerate(run_ids):
        try:
            check_run_id(run_id)
        except AuditkitError as error:
            reasons[index] = error
    found = iter(source.open([i for at, i in enumerate(run_ids) if at not in reasons]))
    return [reasons[index] if index in reasons else next(found) for index in range(len(run_ids))]


def not_found(run_id: str, known: Sequence[str], location: str, broken: FailureList) -> RunNotFoundError:
    """The error for an id that is not there, with the nearest ones that are."""
    by_lower = {name.lower(): name for name in known}
    near = [by_lower[name] for name in difflib.get_close_matches(run_id.lower(), by_lower, 3, 0.6)]
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    unread = f" Not everything there could be read: {broken.rows[0]}." if broken else ""
    shown = "" if near else " list_available_runs (`auditkit list`) shows all."
    return RunNotFoundError(f"No run {run_id!r} in {location}.{hint}{unread}{shown}")
