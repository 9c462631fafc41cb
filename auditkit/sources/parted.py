"""A run in parts: its manifest is the source, and the parts beside it are read one behind the other."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any

from auditkit.errors import Failure, FailureList, InvalidRunError
from auditkit.naming import export_format
from auditkit.run import AuditRun, Batches, HeaderChanged, RunHeader
from auditkit.sources.base import Listing, loaded, not_found
from auditkit.sources.files import FileSource

KIND, VERSION = "parts of an audit run", 1
SEALED = ".age"
_LARGEST_MANIFEST = 64 << 20


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part: its file, and what the manifest says of it; an encrypted one is read once it is decrypted."""

    place: str
    rows: int
    bytes: int | None


@dataclass(frozen=True, kw_only=True)
class PartedSource:
    """The one run that a manifest is about."""

    location: str
    run_id: str
    parts: tuple[Part, ...]
    options: Mapping[str, Any]

    def listing(self) -> Listing:
        """The header of the run, as its first part has it."""
        run = self._run()
        failures = FailureList()
        if isinstance(run, InvalidRunError):
            failures.extend(run)
        elif isinstance(run, Exception):
            failures.add(Failure(self.location, self.run_id, None, None, None, str(run)))
        return Listing(headers=[run.header] if isinstance(run, AuditRun) else [], failures=failures)

    def open(self, run_ids: Sequence[str] | None = None) -> list[AuditRun | Exception]:
        """The run, streaming from its parts."""
        run = self._run()
        if run_ids is None:
            return [run]
        unknown = partial(not_found, known=[self.run_id], location=self.location, broken=FailureList())
        return [run if run_id == self.run_id else unknown(run_id) for run_id in run_ids]

    def load(self, run_ids: Sequence[str] | None = None) -> Iterator[AuditRun | Exception]:
        """The run in memory."""
        return map(loaded, self.open(run_ids))

    def _run(self) -> AuditRun | Exception:
        try:
            self._check_sizes()
            first = self._part(self.parts[0])
        except (InvalidRunError, LookupError, OSError) as error:
            return error
        return dataclasses.replace(first, batches=partial(self._batches, first.header), positions=None)

    def _check_sizes(self) -> None:
        for part in self.parts:
            found = _files(part.place, self.options).files.size(part.place)
            if part.bytes is not None and found != part.bytes:
                raise _broken(
                    part.place, f"has {found:,} bytes, and {part.bytes:,} in the manifest", self.run_id
                )

    def _part(self, part: Part) -> AuditRun:
        (run,) = _files(part.place, self.options).open([self.run_id])
        if isinstance(run, Exception):
            raise run
        return run

    def _batches(self, seen: RunHeader) -> Batches:
        """The results of all parts.

        Raises
        ------
        HeaderChanged
            At the end, if the header turns out to be another one than the first look saw.
        """
        whole: RunHeader | None = None
        for part in self.parts:
            run, rows = self._part(part), 0
            try:
                for batch in run.batches():
                    rows += len(batch)
                    yield batch
            except HeaderChanged as change:
                run = change.run
            if rows != part.rows:
                raise _broken(
                    part.place, f"holds {rows:,} results, and {part.rows:,} in the manifest", self.run_id
                )
            whole = whole or run.header
            if dataclasses.replace(run.header, absent_fields=whole.absent_fields) != whole:
                raise _broken(part.place, "says something else of the run than the first part", self.run_id)
        if whole is not None and whole != seen:
            raise HeaderChanged(AuditRun(**vars(whole), batches=partial(self._batches, whole)))


def open_parted(location: str, options: Mapping[str, Any]) -> PartedSource:
    """The source that a manifest is.

    Raises
    ------
    InvalidRunError
        If it is no manifest, or its totals do not add up.
    OSError
        If it cannot be read.
    """
    location = location if "://" in location else os.path.expanduser(location)
    with _files(location, options).files.open_raw(location) as file:
        data = file.read(_LARGEST_MANIFEST + 1)
    try:
        manifest = json.loads(data)
        listed = [(one["name"], one["rows"], one["bytes"]) for one in manifest["parts"]]
        kind = (manifest["kind"], manifest["version"], type(manifest["run_id"]))
        totals = (manifest["rows"], manifest["bytes"])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _broken(location, "is no manifest of a run in parts") from None
    if kind != (KIND, VERSION, str) or not listed or not all(map(_is_part, listed)):
        raise _broken(location, "is no manifest of a run in parts that this version reads")
    if not _adds_up(manifest, listed):
        raise _broken(location, "does not list the parts as they were written", manifest["run_id"])
    if totals != (sum(rows for _, rows, _ in listed), sum(size for *_, size in listed)):
        raise _broken(location, "has totals that are not those of its parts", manifest["run_id"])
    folder = location[: len(location) - len(os.path.basename(location))]
    return PartedSource(
        location=location,
        run_id=manifest["run_id"],
        parts=tuple(_part_of(folder, *one) for one in listed),
        options=options,
    )


def _adds_up(manifest: Mapping[str, Any], listed: Sequence[tuple[Any, ...]]) -> bool:
    """Whether the parts stand in their order, each once, under the hash of them all."""
    parts = manifest["parts"]
    ends = list(accumulate(rows for _, rows, _ in listed))
    return (
        manifest.get("sha256") == hash_of_parts(parts)
        and [one.get("first_position") for one in parts] == [0, *ends[:-1]]
        and len({name for name, *_ in listed}) == len(listed)
    )


def hash_of_parts(parts: Sequence[Mapping[str, Any]]) -> str:
    """The SHA-256 of what `sha256sum` prints for the parts, in their order."""
    lines = "".join(f"{part.get('sha256')}  {part['name']}\n" for part in parts)
    return hashlib.sha256(lines.encode()).hexdigest()


def _part_of(folder: str, name: str, rows: int, size: int) -> Part:
    plain = name.removesuffix(SEALED)
    return Part(place=folder + plain, rows=rows, bytes=size if plain == name else None)


def _is_part(listed: tuple[Any, ...]) -> bool:
    """Whether it names a file of ours, which leads to no other folder, and two counts."""
    name, *counts = listed
    named = isinstance(name, str) and export_format(name) is not None
    return named and all(type(count) is int and count >= 0 for count in counts)


def _files(place: str, options: Mapping[str, Any]) -> FileSource:
    if "://" in place:
        from auditkit.sources.storefiles import open_store_files

        return open_store_files(place, **options)
    from auditkit.sources.localfiles import open_files

    return open_files([place], **options)


def _broken(place: str, rule: str, run_id: str | None = None) -> InvalidRunError:
    failures = FailureList()
    failures.add(Failure(place, run_id, None, None, None, rule))
    return failures.error()
