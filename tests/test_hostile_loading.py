"""Damaged and hostile run files: refused in words, or read for what they say; never a wrong value."""

from __future__ import annotations

import csv
import gzip
import json
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
import strict_reader as strict
from accidents import mutated
from records import (
    Record,
    a_result,
    a_run,
    dumped,
    dumped_lines,
    flat_records,
    found,
    load_all,
    meaning,
    meanings,
    saved,
    written,
)
from tools import torture

import auditkit as ak

TIMES = 50 if torture() else 1
NOTES = ('a "quoted", note;', "it's\nin two lines", "=1+1", "é 漢 😀 e\u0301", "},{ [results]", "")

Reader = Callable[[bytes], list[Record]]


class Kind(NamedTuple):
    """A kind of file: how many are made of it, and what reads it by the letter."""

    count: int
    read: Reader
    suffix: str


def ungzipped(data: bytes) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise strict.Refused(str(error)) from None


def unpacked(data: bytes) -> bytes:
    """Out of zstd, which the standard library cannot read."""
    try:
        return bytes(pa.CompressedInputStream(pa.BufferReader(data), "zstd").read())
    except OSError as error:
        raise strict.Refused(str(error)) from None


def packed(data: bytes) -> bytes:
    return bytes(pa.compress(data, codec="zstd", asbytes=True))


KINDS = {
    "nested": Kind(5_000, strict.nested, ".json"),
    "compact": Kind(2_000, strict.nested, ".json"),
    "several runs": Kind(1_500, strict.nested, ".json"),
    "flat": Kind(3_000, strict.flat, ".json"),
    "lines": Kind(3_000, strict.lines, ".jsonl"),
    "csv": Kind(3_500, strict.rows, ".csv"),
    "nested in gzip": Kind(500, lambda data: strict.nested(ungzipped(data)), ".json.gz"),
    "csv in zstd": Kind(500, lambda data: strict.rows(unpacked(data)), ".csv.zst"),
}
PARQUET = 1_000


@cache
def originals() -> dict[str, list[bytes]]:
    """Sound files of every kind, small enough that any place in them matters."""
    rows = [a_result(n, notes=note, userScore=n * 12.5) for n, note in enumerate(NOTES[:3])]
    one = a_run(rows, averageDeviation=33.333)
    extras = [a_result(9, extra={"a": [1, 2.5]}, notes=None, actionTaken=None), a_result(10, notes=NOTES[3])]
    two = a_run(extras, id="run-002", unknown=["x", {"y": 1}], completedAt=None, status="running")
    three = a_run([a_result(5, notes=NOTES[4], reviewer=None)], id="run-003", totalSubmissions=1)
    runs = [one, two, three]
    records = [record for run in runs for record in flat_records(run)]
    return {
        "nested": [dumped(run) for run in (*runs, a_run(0))],
        "compact": [json.dumps(run, separators=(",", ":")).encode() for run in runs],
        "several runs": [dumped(runs), b"".join(map(dumped, runs))],
        "flat": [dumped(records), dumped(flat_records(one))],
        "lines": [dumped_lines(records), dumped_lines(flat_records(two))],
        "nested in gzip": [gzip.compress(dumped(run), mtime=0) for run in runs],
    }


@cache
def tables(folder: Path) -> dict[str, list[bytes]]:
    """Sound files of the formats that are written from loaded runs."""
    runs = load_all(saved(folder / "runs.json", originals()["several runs"][0]))
    return {
        "csv": [
            written(runs, "csv"),
            written(runs[0], "csv", excel=True),
            written(runs[1], "csv", include_metadata=False),
        ],
        "csv in zstd": [packed(written(runs, "csv"))],
        "parquet": [written(runs, "parquet"), written(runs[0], "parquet", compression="zstd")],
    }


def hostile(kind: str, count: int, folder: Path) -> Iterator[bytes]:
    random = Random(f"hostile {kind}")
    files = (originals() | tables(folder))[kind]
    for _ in range(count):
        yield mutated(random.choice(files), random)


def wrong(kind: str, read: Callable[[Path], list[Record]], folder: Path, count: int) -> tuple[int, list[str]]:
    """How many of that many files a reader took, and those whose values are not what stands in them.

    A reader may refuse a file by `InvalidRunError`, and by nothing else.
    """
    path = folder / f"hostile{KINDS[kind].suffix}"
    taken, failed = 0, []
    for number, data in enumerate(hostile(kind, count, folder)):
        path.write_bytes(data)
        try:
            runs = read(path)
        except ak.errors.InvalidRunError:
            continue
        except Exception as error:
            failed.append(f"{saved(folder / f'failed-{number}', data)}: {error!r}")
            continue
        taken += 1
        if runs != by_the_letter(KINDS[kind].read, data):
            failed.append(f"{saved(folder / f'wrong-{number}', data)}")
    return taken, failed


def by_the_letter(read: Reader, data: bytes) -> list[Record] | None:
    """What stands in a file, integers of any length among it; None if it is no sound run file."""
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return read(data)
    except strict.Refused:
        return None
    finally:
        sys.set_int_max_str_digits(limit)


def naive_json(path: Path) -> list[Record]:
    return [meaning(json.loads(path.read_bytes()))]


def naive_csv(path: Path) -> list[Record]:
    """What a script would do: a dictionary a row, numbers by `float`."""
    labels = {label: key for label, (owner, key) in strict.CSV_FIELDS.items() if owner == "result"}
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    runs: dict[str, Record] = {}
    for row in rows:
        run = runs.setdefault(row["Audit Run ID"], {"id": row["Audit Run ID"], "results": []})
        values: Record = {key: row[label] for label, key in labels.items() if row.get(label)}
        run["results"].append({key: float(v) if key in strict.DOUBLES else v for key, v in values.items()})
    return list(runs.values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_file_is_refused_or_read_for_what_it_says(tmp_path: Path, kind: str) -> None:
    count = KINDS[kind].count * TIMES
    taken, failed = wrong(kind, meanings, tmp_path, count)
    assert failed == []
    assert taken > count // 100  # so that values were compared, too


def test_every_file_was_sound_before_its_accident(tmp_path: Path) -> None:
    for kind, files in (originals() | tables(tmp_path)).items():
        for data in files:
            runs = meanings(saved(tmp_path / f"sound-{kind}", data))
            if kind in KINDS:
                assert runs == by_the_letter(KINDS[kind].read, data)
            assert runs


def test_a_hostile_parquet_file_is_refused_or_keeps_to_the_table(tmp_path: Path) -> None:
    taken = 0
    for data in hostile("parquet", PARQUET * TIMES, tmp_path):
        path = saved(tmp_path / "hostile.parquet", data)
        try:
            runs = load_all(path)
        except ak.errors.InvalidRunError:
            continue
        taken += 1
        assert all(strict.sound(found(run), run.absent_fields) for run in runs)
    assert taken > PARQUET * TIMES // 100


@pytest.mark.parametrize(("kind", "read"), [("nested", naive_json), ("csv", naive_csv)])
def test_a_reader_without_checks_takes_wrong_values(
    tmp_path: Path, kind: str, read: Callable[[Path], list[Record]]
) -> None:
    _, failed = wrong(kind, read, tmp_path, 1_000)
    assert len([name for name in failed if "wrong-" in name]) > 20
    assert len([name for name in failed if "failed-" in name]) > 20


def test_together_they_are_20000() -> None:
    assert sum(kind.count for kind in KINDS.values()) + PARQUET == 20_000


def unsound(run: Record, **changes: Any) -> bool:
    return not strict.sound(meaning(run | changes))


def test_the_letter_is_strict() -> None:
    """The reader that all are measured by refuses what breaks the table."""
    run = a_run()
    assert strict.sound(meaning(run))
    assert unsound(run, status="finished")
    assert unsound(run, startedAt="2024-02-30T00:00:00Z")
    assert unsound(run, criticalFlags=2**63)
    assert unsound(run, averageDeviation=float("nan"))
    assert unsound(run, reviewer=None)
    assert unsound(run, results=[a_result(userScore=float("inf"))])
    assert by_the_letter(strict.nested, dumped(run).replace(b'"minor"', b'"tiny"')) is None
    assert by_the_letter(strict.nested, dumped(run).replace(b": 85,", b': "85",')) is None
    assert by_the_letter(strict.nested, dumped(run)[:-2]) is None
    assert by_the_letter(strict.rows, b"a,b\n1,2\n") is None
