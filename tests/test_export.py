"""The exporting functions: the files they make, the receipts they give, and what they refuse."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import itertools
import json
import logging
import os
import pickle
import random
import re
import textwrap
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import reference_exporter as reference
from children import DAY, python, succeed
from records import (
    LOG,
    a_result,
    a_run,
    dumped,
    exported,
    found,
    hidden_document,
    load_one,
    meaning,
    meanings,
    saved,
    without,
)
from third_party import install

import auditkit as ak
from auditkit import errors
from auditkit.run import HeaderChanged

SAMPLES = Path(__file__).parents[1] / "sample_data" / "runs"
RUN_001 = json.loads((SAMPLES / "run-001.json").read_bytes())
FORMATS = ("csv", "json", "jsonl", "parquet")


def refused(*expected: type[Exception]) -> Any:
    """Anything else than this is a crash."""
    return pytest.raises((*expected, errors.InvalidOptionError))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of five small runs; their ids do not sort as their file names do."""
    folder = tmp_path / "runs"
    folder.mkdir()
    for number, run_id in enumerate(("delta", "alpha", "10", "9", "beta")):
        rows = [
            a_result(row, userScore=number * 10 + row, aiScore=0, deviation=number * 10 + row)
            for row in range(12)
        ]
        saved(folder / f"file-{number}.json", dumped(a_run(rows, id=run_id, totalSubmissions=12)))
    return folder


# --- receipts -------------------------------------------------------------------------------------------


def test_a_receipt_tells_the_facts_of_the_file(out: Path) -> None:
    receipt = ak.export_audit_run("run-001", "csv", source=SAMPLES, output_dir=out)
    data = receipt.path.read_bytes()
    assert receipt.path == out / f"audit-run-run-001-{DAY}.csv"
    assert data == reference.csv(RUN_001)
    facts = dataclasses.asdict(receipt)
    assert facts.pop("seconds") > 0
    assert facts == {
        "path": receipt.path,
        "format": "csv",
        "run_ids": ("run-001",),
        "rows": 8,
        "rows_total": 8,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "plain_sha256": None,
        "options": {},
        "filter": None,
        "absent_fields": (),
        "log_head": hashlib.sha256((out / LOG).read_bytes().splitlines(True)[-1]).hexdigest(),
        "reused": False,
        "parts": (),
    }


def test_a_receipt_is_a_path(out: Path) -> None:
    receipt = ak.export_audit_run("run-001", "csv", source=SAMPLES, output_dir=out)
    assert isinstance(receipt, os.PathLike)
    assert os.fspath(receipt) == str(receipt.path)
    assert Path(receipt) == receipt.path
    assert pd.read_csv(receipt)["User Score"].tolist() == [row["userScore"] for row in RUN_001["results"]]
    with open(receipt, encoding="utf-8") as file:
        assert file.readline().startswith("Audit Run ID,")
    assert os.path.getsize(receipt) == receipt.bytes


def test_a_receipt_cannot_be_changed(out: Path) -> None:
    receipt = ak.export_audit_run("run-001", "csv", source=SAMPLES, output_dir=out)
    with pytest.raises(dataclasses.FrozenInstanceError):
        receipt.rows = 9  # type: ignore[misc]


def test_what_a_receipt_shows_does_not_change_from_one_export_to_the_next(out: Path) -> None:
    first, second = (ak.export_audit_run("run-001", "json", source=SAMPLES, output_dir=out) for _ in range(2))
    assert (first.reused, second.reused) == (False, True)
    assert first == second
    assert repr(first) == repr(second)
    assert first._repr_html_() == second._repr_html_()
    for shown in (repr(second), second._repr_html_()):
        assert not re.search("reused|log_head|seconds", shown, re.IGNORECASE)


def test_a_receipt_shows_its_rows_size_and_hash(out: Path) -> None:
    receipt = ak.export_audit_run("run-006", "csv", source=SAMPLES, output_dir=out, excel=True)
    html = receipt._repr_html_()
    assert receipt.sha256 in html
    assert "1,500 of 1,500" in html
    assert f"{receipt.bytes:,} bytes" in html
    assert "excel=True" in html


def test_a_receipt_shows_hostile_names_as_text(tmp_path: Path) -> None:
    attack = "<img src=x onerror=alert(1)>"
    source = saved(tmp_path / "run.json", dumped(a_run(1, id=f'"{attack}"')))
    html = ak.export_audit_run(
        f'"{attack}"', "csv", source=source, output_dir=tmp_path / attack
    )._repr_html_()
    assert "<img" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;" in html


def test_the_options_of_a_receipt_are_those_that_were_changed(out: Path) -> None:
    receipt = ak.export_audit_run(
        "run-001", "json", source=SAMPLES, output_dir=out, flatten_results=True, compression="gzip"
    )
    assert receipt.options == {"flatten_results": True, "compression": "gzip"}


def test_a_receipt_names_the_fields_that_its_source_could_not_carry(tmp_path: Path, out: Path) -> None:
    source = saved(tmp_path / "run.csv", reference.csv(RUN_001))
    receipt = ak.export_audit_run("run-001", "json", source=source, output_dir=out)
    absent = {"run_reviewer", "run_task_title", "run_task_difficulty", "run_skill_area", "result_id"}
    assert set(receipt.absent_fields) == absent
    written = json.loads(receipt.path.read_bytes())
    assert not {"reviewer", "taskTitle", "skillArea", "taskDifficulty"} & written.keys()
    assert all("id" not in row for row in written["results"])


# --- one run --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "options", "expected"),
    [
        ("csv", {}, reference.csv),
        ("csv", {"include_metadata": False}, lambda run: reference.csv(run, include_metadata=False)),
        ("csv", {"formula_guard": False}, lambda run: reference.csv(run, formula_guard=False)),
        ("csv", {"excel": True}, lambda run: reference.csv(run, excel=True)),
        ("json", {}, reference.nested_json),
        ("json", {"include_metadata": False}, lambda run: reference.nested_json(run, include_metadata=False)),
        ("json", {"flatten_results": True}, reference.flat_json),
        ("jsonl", {}, reference.jsonl),
        ("jsonl", {"include_metadata": False}, lambda run: reference.jsonl(run, include_metadata=False)),
    ],
)
@pytest.mark.parametrize("run_id", ["run-002", "run-004", "run-005"])
def test_a_run_by_its_id_or_at_hand_gives_the_bytes_of_the_reference(
    tmp_path: Path, run_id: str, format: str, options: Any, expected: Any
) -> None:
    run = reference.parse((SAMPLES / f"{run_id}.json").read_text(encoding="utf-8"))
    by_id = ak.export_audit_run(run_id, format, source=SAMPLES, output_dir=tmp_path / "a", **options)
    at_hand = ak.load_run(run_id, source=SAMPLES)
    by_run = ak.export_audit_run(at_hand, format, output_dir=tmp_path / "b", **options)
    assert by_id.path.read_bytes() == by_run.path.read_bytes() == expected(run)
    assert by_id.path.name == by_run.path.name
    assert (by_id.rows, by_id.rows_total) == (by_run.rows, by_run.rows_total) == (len(run["results"]),) * 2


@pytest.mark.parametrize("format", FORMATS)
def test_an_edited_frame_does_not_change_what_is_exported(tmp_path: Path, format: str) -> None:
    run = ak.load_run("run-001", source=SAMPLES)
    frame = run.results
    frame["user_score"] = 0.0
    frame.loc[:, "notes"] = "forged"
    frame.loc[9] = frame.loc[0]
    edited = ak.export_audit_run(run, format, output_dir=tmp_path / "a")
    untouched = ak.export_audit_run("run-001", format, source=SAMPLES, output_dir=tmp_path / "b")
    assert edited.sha256 == untouched.sha256


@pytest.mark.parametrize("format", FORMATS)
def test_a_selection_holds_the_chosen_rows_and_says_of_how_many(out: Path, format: str) -> None:
    run = ak.load_run("run-001", source=SAMPLES)
    selection = run.select([1, 4, 6])
    receipt = ak.export_audit_run(selection, format, output_dir=out)
    assert receipt.path.name == f"audit-results-run-001-{DAY}.{format}"
    assert (receipt.rows, receipt.rows_total) == (3, 8)
    assert receipt.filter
    assert meanings(receipt.path)[0]["results"] == (
        [found(run)["results"][row] for row in (1, 4, 6)]
        if format != "csv"
        else [without(found(run)["results"][row], "id") for row in (1, 4, 6)]
    )


def test_a_selection_of_a_selection_counts_the_rows_of_the_whole_run(out: Path) -> None:
    selection = ak.load_run("run-001", source=SAMPLES).select([1, 4, 6]).select([4, 6])
    receipt = ak.export_audit_run(selection, "json", output_dir=out)
    assert (receipt.rows, receipt.rows_total) == (2, 8)
    written = json.loads(receipt.path.read_bytes())
    assert written == RUN_001 | {"results": [RUN_001["results"][4], RUN_001["results"][6]]}


def test_the_output_folder_is_exports_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    receipt = ak.export_audit_run("run-001", "csv", source=SAMPLES)
    assert receipt.path == Path("exports", f"audit-run-run-001-{DAY}.csv")
    assert (tmp_path / receipt.path).is_file()


def test_the_source_may_come_from_the_environment(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.NoSourceError, match="AUDITKIT_SOURCE"):
        ak.export_audit_run("run-001", "csv", output_dir=out)
    monkeypatch.setenv("AUDITKIT_SOURCE", str(SAMPLES))
    assert ak.export_audit_run("run-001", "csv", output_dir=out).rows == 8


@pytest.mark.parametrize("run_id", ["../../etc/x", "CON", "a/b", "a=b", "x" * 300, "😀", ".hidden", ""])
def test_any_id_is_exported_into_the_folder(tmp_path: Path, out: Path, run_id: str) -> None:
    source = saved(tmp_path / "run.json", dumped(a_run(2, id=run_id)))
    before = sorted(os.listdir(tmp_path))
    receipt = ak.export_audit_run(run_id, "json", source=source, output_dir=out)
    assert json.loads(receipt.path.read_bytes())["id"] == run_id
    assert list(exported(out)) == [receipt.path.name]
    assert sorted(os.listdir(tmp_path)) == sorted([*before, "out"])


@pytest.mark.parametrize("run_id", ["a\nb", "\x1b[2J", "x" * 1025, "\ud800"])
def test_an_id_that_cannot_be_one_is_refused(out: Path, run_id: str) -> None:
    with pytest.raises(errors.InvalidRunIdError):
        ak.export_audit_run(run_id, "csv", source=SAMPLES, output_dir=out)
    run = dataclasses.replace(ak.load_run("run-001", source=SAMPLES), id=run_id)
    with pytest.raises(errors.InvalidRunIdError):
        ak.export_audit_run(run, "csv", output_dir=out)
    assert exported(out) == {}


def test_an_unknown_run_is_named_with_the_nearest(out: Path) -> None:
    with pytest.raises(errors.RunNotFoundError, match=r"'run-01'.*Did you mean 'run-001'"):
        ak.export_audit_run("run-01", "csv", source=SAMPLES, output_dir=out)
    assert exported(out) == {}


@pytest.mark.parametrize("run", [5, None, b"run-001", Path("run-001"), ["run-001"], {"id": "run-001"}])
def test_what_is_neither_a_run_nor_an_id_is_refused_and_never_given_back_as_a_receipt(
    out: Path, run: Any
) -> None:
    with refused(TypeError, errors.AuditkitError):
        ak.export_audit_run(run, "csv", source=SAMPLES, output_dir=out)
    assert exported(out) == {}


def test_a_run_that_turns_out_broken_behind_thousands_of_rows_leaves_nothing(
    tmp_path: Path, out: Path
) -> None:
    rows = [a_result(number) for number in range(9000)]
    rows[8765]["userScore"] = "85"
    source = saved(tmp_path / "run.json", dumped(a_run(rows)))
    for format in FORMATS:
        with pytest.raises(errors.InvalidRunError, match="8765") as caught:
            ak.export_audit_run("run-001", format, source=source, output_dir=out)
        assert caught.value.failures.position.tolist() == [8765]
        assert exported(out) == {}


def test_a_file_that_vanishes_is_an_os_error_with_its_path(tmp_path: Path, out: Path) -> None:
    path = saved(tmp_path / "run.json", dumped(a_run(3)))
    (run,) = ak.open_source(path).open()
    assert isinstance(run, ak.AuditRun)
    path.unlink()
    with pytest.raises(FileNotFoundError) as caught:
        ak.export_audit_run(run, "csv", output_dir=out)
    assert caught.value.filename == str(path)
    assert exported(out) == {}


# --- options --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("csv", {"flatten_results": True}),
        ("json", {"excel": True}),
        ("json", {"formula_guard": False}),
        ("json", {"flatten_results": True, "excel": True}),
        ("jsonl", {"excel": True}),
        ("jsonl", {"formula_guard": False}),
        ("parquet", {"excel": True}),
        ("parquet", {"formula_guard": False}),
        ("parquet", {"flatten_results": True}),
        ("csv", {"compression": "bz2"}),
        ("csv", {"compression": ""}),
        ("csv", {"compression": "GZIP"}),
        ("csv", {"if_exists": "overwrite"}),
        ("csv", {"if_exists": None}),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_by_every_function(
    out: Path, format: str, options: Any
) -> None:
    name = next(reversed(options))
    results = ak.load_results("run-001", source=SAMPLES)
    calls = [
        lambda: ak.export_audit_run("run-001", format, source=SAMPLES, output_dir=out, **options),
        lambda: ak.export_multiple_runs(["run-001"], format, source=SAMPLES, output_dir=out, **options),
        lambda: ak.export_results(results, format, name="x", source=SAMPLES, output_dir=out, **options),
    ]
    for call in calls:
        with pytest.raises(errors.InvalidOptionError, match=re.escape(str(options[name] or name))):
            call()
    assert exported(out) == {}


@pytest.mark.parametrize(
    ("format", "nearest"),
    [("cvs", "csv"), ("CSV", "csv"), ("jsn", "json"), ("json-l", "jsonl"), ("parquette", "parquet")],
)
def test_an_unknown_format_is_refused_with_the_nearest(out: Path, format: str, nearest: str) -> None:
    with pytest.raises(errors.UnknownFormatError, match=f"Did you mean '{nearest}'") as caught:
        ak.export_audit_run("run-001", format, source=SAMPLES, output_dir=out)
    assert isinstance(caught.value, ValueError)
    assert all(name in str(caught.value) for name in FORMATS)
    assert exported(out) == {}


@pytest.mark.parametrize("format", ["pdf", "", "csv ", "../csv", None, 5])
def test_a_format_that_is_none_is_refused_before_a_source_is_asked(out: Path, format: Any) -> None:
    with pytest.raises(errors.UnknownFormatError):
        ak.export_multiple_runs(["run-001"], format, source="no such folder", output_dir=out)


@pytest.mark.parametrize(("compression", "ending"), [("gzip", ".gz"), ("zstd", ".zst")])
@pytest.mark.parametrize("format", ["csv", "json", "jsonl"])
def test_compression_changes_the_name_and_nothing_that_is_in_it(
    tmp_path: Path, format: str, compression: Any, ending: str
) -> None:
    plain = ak.export_audit_run("run-004", format, source=SAMPLES, output_dir=tmp_path / "a")
    packed = ak.export_audit_run(
        "run-004", format, source=SAMPLES, output_dir=tmp_path / "b", compression=compression
    )
    assert packed.path.name == plain.path.name + ending
    data = packed.path.read_bytes()
    assert (packed.bytes, packed.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    codec = pa.CompressedInputStream(pa.BufferReader(data), compression)
    unpacked = gzip.decompress(data) if compression == "gzip" else bytes(codec.read())
    assert unpacked == plain.path.read_bytes()


def test_for_parquet_the_compression_is_that_of_its_columns(out: Path) -> None:
    from pyarrow import parquet

    for compression, codec in ((None, "SNAPPY"), ("gzip", "GZIP"), ("zstd", "ZSTD")):
        receipt = ak.export_audit_run(
            "run-006", "parquet", source=SAMPLES, output_dir=out / codec, compression=compression
        )
        assert receipt.path.name == f"audit-run-run-006-{DAY}.parquet"
        with parquet.ParquetFile(receipt) as file:
            group = file.metadata.row_group(0)
            assert {group.column(n).compression for n in range(group.num_columns)} == {codec}


def test_an_export_without_the_formula_guard_is_logged_as_a_warning(
    out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "auditkit"):
        ak.export_audit_run("run-001", "csv", source=SAMPLES, output_dir=out)
        assert caplog.records == []
        ak.export_audit_run("run-001", "csv", source=SAMPLES, output_dir=out, formula_guard=False)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("auditkit", logging.WARNING)
    assert "formula guard" in record.getMessage()


def test_every_export_is_logged_with_its_path(out: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "auditkit"):
        receipt = ak.export_audit_run("run-001", "csv", source=SAMPLES, output_dir=out)
    assert any(str(receipt.path) in record.getMessage() for record in caplog.records)


def test_the_library_prints_nothing(out: Path, capfd: pytest.CaptureFixture[str]) -> None:
    results = ak.load_results(source=SAMPLES)
    for format in FORMATS:
        ak.export_audit_run("run-004", format, source=SAMPLES, output_dir=out)
        ak.export_multiple_runs(["run-001", "run-002"], format, source=SAMPLES, output_dir=out)
        ak.export_results(results[:9], format, name="x", source=SAMPLES, output_dir=out)
    ak.export_multiple_runs(["no"], "csv", source=SAMPLES, output_dir=out, on_error="collect")
    ak.load_run("run-003", source=SAMPLES).findings()
    ak.get_export_stats(out)
    ak.cleanup_old_exports(out, days_old=0)
    assert capfd.readouterr() == ("", "")


# --- the same bytes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS)
def test_a_repeated_export_is_the_same_file_and_another_one_a_new_version(
    tmp_path: Path, out: Path, format: str
) -> None:
    source = saved(tmp_path / "run.json", dumped(a_run(3)))
    first = ak.export_audit_run("run-001", format, source=source, output_dir=out)
    status = first.path.stat()
    second = ak.export_audit_run("run-001", format, source=source, output_dir=out)
    assert (second.path, second.reused, second.sha256) == (first.path, True, first.sha256)
    assert (first.path.stat().st_ino, first.path.stat().st_mtime_ns) == (status.st_ino, status.st_mtime_ns)
    saved(source, dumped(a_run(4)))
    third = ak.export_audit_run("run-001", format, source=source, output_dir=out)
    assert third.path.name == f"audit-run-run-001-{DAY}-2.{format}"
    with pytest.raises(errors.ExportExistsError):
        ak.export_audit_run("run-001", format, source=source, output_dir=out, if_exists="error")
    assert len(exported(out)) == 2
    replaced = ak.export_audit_run("run-001", format, source=source, output_dir=out, if_exists="replace")
    assert (replaced.path, replaced.sha256, replaced.reused) == (first.path, third.sha256, False)


EXPORT_EVERYTHING = f"""\
import itertools, json, logging, sys
import auditkit as ak
logging.disable()
source, out = {str(SAMPLES)!r}, "exports"
ids = ak.list_available_runs(source=source)
receipts = []
options = {{
    "csv": [dict(zip(("formula_guard", "excel"), flags))
            for flags in itertools.product((True, False), repeat=2)],
    "json": [dict(zip(("include_metadata", "flatten_results"), flags))
             for flags in itertools.product((True, False), repeat=2)],
    "jsonl": [dict(compression=packing) for packing in (None, "gzip", "zstd")],
    "parquet": [dict(compression=packing) for packing in (None, "gzip", "zstd")],
}}
results = ak.load_results(source=source)
for format, settings in options.items():
    for setting in settings:
        setting |= {{"source": source, "output_dir": out}}
        receipts += ak.export_multiple_runs(ids[2:5], format, **setting).receipts
        receipts.append(ak.export_results(results[results.deviation > 12], format, name="x", **setting))
found = [ak.load_run(run_id, source=source).findings().to_json() for run_id in ids]
print(json.dumps([[r.path.name, r.sha256] for r in receipts] + [repr(r) for r in receipts] + found))
"""


def test_neither_hash_seed_nor_time_zone_nor_locale_nor_time_changes_a_byte(tmp_path: Path) -> None:
    surroundings: list[dict[str, str | None]] = [
        {"PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "tr_TR.UTF-8"},
        {"PYTHONHASHSEED": "1", "TZ": "Pacific/Kiritimati", "LC_ALL": "C", "PYTHONUTF8": "0"},
    ]
    printed = []
    for number, env in enumerate(surroundings):
        folder = tmp_path / str(number)
        folder.mkdir()
        printed.append(succeed(python("-c", EXPORT_EVERYTHING, cwd=folder, env=env)))
    # in each of 14 settings three runs and a selection, each as name and hash and as text; six findings
    assert len(json.loads(printed[0])) == 14 * (3 + 1) * 2 + 6
    assert printed[1] == printed[0]
    files = [exported(tmp_path / str(number) / "exports") for number in range(2)]
    assert files[0] == files[1]


# --- a batch --------------------------------------------------------------------------------------------


def test_a_batch_is_a_file_for_every_run_in_the_order_asked(out: Path) -> None:
    ids = ["run-003", "run-001", "run-005"]
    batch = ak.export_multiple_runs(ids, "json", source=SAMPLES, output_dir=out)
    assert [receipt.run_ids for receipt in batch.receipts] == [(run_id,) for run_id in ids]
    assert batch.failures == []
    for run_id, receipt in zip(ids, batch.receipts, strict=True):
        run = reference.parse((SAMPLES / f"{run_id}.json").read_text(encoding="utf-8"))
        assert receipt.path.read_bytes() == reference.nested_json(run)
        assert (receipt.rows, receipt.rows_total) == (len(run["results"]),) * 2


def test_a_batch_tries_every_run_and_then_raises_what_failed(source: Path, out: Path) -> None:
    broken = a_run(3, id="broken")
    broken["results"][1]["timestamp"] = "yesterday"
    saved(source / "broken.json", dumped(broken))
    ids = ["beta", "broken", "alpha", "nowhere", "9"]
    with pytest.raises(errors.BatchError) as caught:
        ak.export_multiple_runs(ids, "csv", source=source, output_dir=out)
    error = caught.value
    assert [receipt.run_ids[0] for receipt in error.receipts] == ["beta", "alpha", "9"]
    assert [failure.run_id for failure in error.failures] == ["broken", "nowhere"]
    assert [type(failure.error) for failure in error.failures] == [
        errors.InvalidRunError,
        errors.RunNotFoundError,
    ]
    assert error.result.receipts == error.receipts
    assert "2 of 5" in str(error)
    assert "'broken'" in str(error)
    assert sorted(exported(out)) == sorted(receipt.path.name for receipt in error.receipts)
    assert not isinstance(error, ValueError | LookupError)


def test_a_batch_can_collect_what_failed(source: Path, out: Path) -> None:
    batch = ak.export_multiple_runs(
        ["nowhere", "9"], "csv", source=source, output_dir=out, on_error="collect"
    )
    assert isinstance(batch, ak.BatchResult)
    assert [failure.run_id for failure in batch.failures] == ["nowhere"]
    assert [receipt.run_ids for receipt in batch.receipts] == [("9",)]
    html = batch._repr_html_()
    assert "1 of 2 runs exported" in html


def test_a_batch_keeps_its_order_over_several_groups(tmp_path: Path, out: Path) -> None:
    source = tmp_path / "runs"
    source.mkdir()
    ids = [f"r{number:03}" for number in range(80)]
    for run_id in ids:
        saved(source / f"{run_id}.json", dumped(a_run(1, id=run_id)))
    random.Random(2).shuffle(ids)
    asked = [*ids[:66], "missing-1", *ids[66:], "missing-2"]
    batch = ak.export_multiple_runs(asked, "jsonl", source=source, output_dir=out, on_error="collect")
    assert [receipt.run_ids[0] for receipt in batch.receipts] == ids
    assert [failure.run_id for failure in batch.failures] == ["missing-1", "missing-2"]
    assert len(exported(out)) == 80


def test_a_batch_takes_any_iterable_and_a_single_id(out: Path) -> None:
    for ids in (
        (f"run-00{n}" for n in (1, 2)),
        {"run-001": 1, "run-002": 2},
        pd.Series(["run-001", "run-002"]),
    ):
        batch = ak.export_multiple_runs(ids, "csv", source=SAMPLES, output_dir=out)
        assert [receipt.run_ids[0] for receipt in batch.receipts] == ["run-001", "run-002"]
    assert len(ak.export_multiple_runs("run-001", "csv", source=SAMPLES, output_dir=out).receipts) == 1
    assert ak.export_multiple_runs([], "csv", source=SAMPLES, output_dir=out).receipts == []


def test_an_id_named_twice_in_a_batch_is_one_file(out: Path) -> None:
    batch = ak.export_multiple_runs(["run-001", "run-001"], "csv", source=SAMPLES, output_dir=out)
    assert [receipt.reused for receipt in batch.receipts] == [False, True]
    assert len(exported(out)) == 1


@pytest.mark.parametrize("run_id", [7, None, 1.5, b"run-001", "a\nb"])
def test_what_is_no_id_fails_alone_and_not_the_batch(out: Path, run_id: Any) -> None:
    batch = ak.export_multiple_runs(
        ["run-001", run_id, "run-002"], "csv", source=SAMPLES, output_dir=out, on_error="collect"
    )
    assert [receipt.run_ids[0] for receipt in batch.receipts] == ["run-001", "run-002"]
    assert [failure.run_id for failure in batch.failures] == [run_id]


def test_one_refused_name_fails_alone(source: Path, out: Path) -> None:
    ak.export_multiple_runs(["alpha", "beta"], "csv", source=source, output_dir=out)
    changed = json.loads((source / "file-1.json").read_bytes())
    saved(source / "file-1.json", dumped(changed | {"reviewer": "somebody else", "status": "failed"}))
    batch = ak.export_multiple_runs(
        ["alpha", "beta", "delta"],
        "csv",
        source=source,
        output_dir=out,
        if_exists="error",
        on_error="collect",
    )
    assert [(f.run_id, type(f.error)) for f in batch.failures] == [("alpha", errors.ExportExistsError)]
    assert [(r.run_ids[0], r.reused) for r in batch.receipts] == [("beta", True), ("delta", False)]


def test_an_unknown_way_to_treat_errors_is_refused(out: Path) -> None:
    with pytest.raises(errors.InvalidOptionError, match="'ignore'"):
        ak.export_multiple_runs(["run-001"], "csv", source=SAMPLES, output_dir=out, on_error="ignore")  # type: ignore[arg-type]
    assert exported(out) == {}


def test_the_error_of_a_batch_survives_the_way_to_another_process(source: Path, out: Path) -> None:
    with pytest.raises(errors.BatchError) as caught:
        ak.export_multiple_runs(["9", "nowhere"], "csv", source=source, output_dir=out)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)
    assert copy.receipts == caught.value.receipts
    assert [failure.run_id for failure in copy.failures] == ["nowhere"]


def test_a_bar_is_shown_beside_a_batch_when_asked_for(out: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ak.export_multiple_runs(["run-001", "run-002"], "csv", source=SAMPLES, output_dir=out, progress=True)
    printed, shown = capfd.readouterr()
    assert printed == ""
    assert "2/2" in shown


def test_threads_that_export_at_once_do_not_disturb_each_other(out: Path) -> None:
    expected = {
        format: ak.export_audit_run("run-004", format, source=SAMPLES, output_dir=out / "one").sha256
        for format in FORMATS
    }
    made: list[tuple[str, str]] = []

    def work(format: str) -> None:
        for _ in range(5):
            receipt = ak.export_audit_run("run-004", format, source=SAMPLES, output_dir=out / "many")
            made.append((format, receipt.sha256))

    threads = [threading.Thread(target=work, args=(format,)) for format in FORMATS * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 40
    assert set(made) == set(expected.items())
    assert len(exported(out / "many")) == 4


# --- a selection of results -----------------------------------------------------------------------------


def selected(source: Path, frame: pd.DataFrame, format: str, out: Path, **options: Any) -> ak.ExportReceipt:
    return ak.export_results(frame, format, name="large", source=source, output_dir=out, **options)


def test_a_selection_is_one_file_with_its_rows_run_by_run(source: Path, out: Path) -> None:
    results = ak.load_results(source=source)
    receipt = selected(source, results[results.position.isin([10, 2])], "csv", out)
    assert receipt.path.name == f"audit-results-large-{DAY}.csv"
    assert receipt.run_ids == ("10", "9", "alpha", "beta", "delta")  # in the order of text
    assert (receipt.rows, receipt.rows_total) == (10, 60)
    assert receipt.filter
    frame = pd.read_csv(receipt, dtype="str")
    assert frame["Audit Run ID"].tolist() == [run_id for run_id in receipt.run_ids for _ in range(2)]
    assert frame["User Score"].tolist() == ["22", "30", "32", "40", "12", "20", "42", "50", "2", "10"]
    assert frame["Submission ID"].tolist() == ["sub-002", "sub-010"] * 5


@pytest.mark.parametrize(("format", "flatten"), [*((name, False) for name in FORMATS), ("json", True)])
def test_the_rows_of_a_selection_are_those_of_the_reference(
    source: Path, out: Path, format: str, flatten: bool
) -> None:
    results = ak.load_results(source=source)
    chosen = results[results.position % 5 == 1]
    receipt = selected(source, chosen, format, out, flatten_results=flatten)
    originals = {run["id"]: run for path in source.iterdir() if (run := json.loads(path.read_bytes()))}
    parts = [
        originals[run_id] | {"results": [originals[run_id]["results"][row] for row in (1, 6, 11)]}
        for run_id in sorted(originals)
    ]
    data = receipt.path.read_bytes()
    if format == "csv":
        header, _, _ = reference.csv(parts[0]).partition(b"\n")
        assert data == header + b"\n" + b"".join(reference.csv(part).partition(b"\n")[2] for part in parts)
    elif format == "jsonl":
        assert data == b"".join(map(reference.jsonl, parts))
    elif format == "json":
        records = [record for part in parts for record in json.loads(reference.flat_json(part))]
        nested = [json.loads(reference.nested_json(part)) for part in parts]
        assert data.decode() == reference.json_text(records if flatten else nested, indent="  ") + "\n"
    else:
        assert meanings(receipt.path) == [meaning(part) for part in parts]


def test_a_selection_as_nested_json_loads_back(source: Path, out: Path) -> None:
    results = ak.load_results(source=source)
    chosen = results[results.user_score > 38]
    receipt = selected(source, chosen, "json", out)
    loaded = ak.load_results(source=receipt)
    assert loaded.groupby("run_id").user_score.apply(list).to_dict() == {
        "9": [39, 40, 41],
        "beta": [40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51],
    }
    runs = ak.load_runs(source=receipt)
    assert runs.run_id.to_list() == ["9", "beta"]
    assert runs.total_submissions.to_list() == [12, 12]  # as declared


@pytest.mark.parametrize("format", FORMATS)
def test_a_selection_in_every_format_loads_back(source: Path, out: Path, format: str) -> None:
    results = ak.load_results(source=source)
    receipt = selected(source, results[results.position.isin([0, 3])], format, out)
    loaded = ak.load_results(source=receipt)
    assert loaded.submission_id.tolist() == ["sub-000", "sub-003"] * 5
    assert loaded.run_id.tolist() == [
        run_id for run_id in ("10", "9", "alpha", "beta", "delta") for _ in range(2)
    ]


def test_values_are_read_again_so_that_no_edited_frame_becomes_evidence(source: Path, out: Path) -> None:
    results = ak.load_results(source=source)
    chosen = results[results.position == 3]
    honest = selected(source, chosen, "csv", out)
    edited = chosen.assign(user_score=0.0, notes="=1+1", user_id="forged", deviation_type="none", extra="x")
    assert selected(source, edited, "csv", out).sha256 == honest.sha256
    assert selected(source, chosen[["position", "run_id"]], "csv", out).sha256 == honest.sha256
    assert len(exported(out)) == 1


@pytest.mark.parametrize("column", ["result_id", "submission_id"])
def test_rows_with_other_ids_come_from_another_source_and_are_refused(
    source: Path, out: Path, column: str
) -> None:
    results = ak.load_results(source=source)
    chosen = results[results.position.isin([3, 11])]
    forged = chosen.copy()
    forged.loc[forged.index[-1], column] = "forged"
    with pytest.raises(errors.InvalidOptionError, match="'forged'"):
        selected(source, forged, "csv", out)
    with pytest.raises(errors.InvalidOptionError):  # the ids of some rows at the positions of others
        selected(source, chosen.assign(position=chosen.position - 1), "csv", out)
    assert exported(out) == {}


def test_ids_are_confirmed_through_all_blocks_of_a_large_run(tmp_path: Path, out: Path) -> None:
    rows = [a_result(number, notes="x" * 900) for number in range(3000)]
    source = saved(tmp_path / "run.json", dumped(a_run(rows)))
    chosen = ak.load_results(source=source).iloc[::7]
    receipt = selected(source, chosen, "csv", out)
    assert pd.read_csv(receipt)["Submission ID"].to_list() == [
        f"sub-{number:03}" for number in range(0, 3000, 7)
    ]
    forged = chosen.copy()
    forged.loc[2996, "submission_id"] = "forged"
    with pytest.raises(errors.InvalidOptionError, match="Row 2996"):
        selected(source, forged, "csv", out / "forged")


def test_ids_that_the_source_cannot_carry_are_not_asked_for(tmp_path: Path, out: Path) -> None:
    source = saved(tmp_path / "run.csv", reference.csv(RUN_001))  # a CSV has no result ids
    frame = ak.load_results("run-001", source=SAMPLES)[2:4]
    assert selected(source, frame, "csv", out).rows == 2


@pytest.mark.parametrize("kind", ["object", "category", "string[python]", "string[pyarrow]"])
def test_ids_are_confirmed_whatever_kind_of_column_they_stand_in(source: Path, out: Path, kind: Any) -> None:
    results = ak.load_results(source=source)
    chosen = results[results.position.isin([3, 11])].sample(frac=1, random_state=2)
    columns = {"result_id": kind, "submission_id": kind}
    assert selected(source, chosen.astype(columns), "csv", out).rows == 10
    forged = chosen.assign(submission_id=chosen.submission_id.where(chosen.user_score != 21, "forged"))
    with pytest.raises(
        errors.InvalidOptionError,
        match=r"Row 11 of run 'alpha' has the submission_id 'sub-011', not 'forged'",
    ):
        selected(source, forged.astype(columns), "csv", out / "forged")
    assert exported(out / "forged") == {}


def test_an_id_is_confirmed_only_where_the_frame_says_one(source: Path, out: Path) -> None:
    results = ak.load_results("alpha", source=source)[:4]
    said = pd.Series([None, float("nan"), 5, "sub-003"], dtype="object")
    assert selected(source, results.assign(submission_id=said), "csv", out).rows == 4
    for other in ("", "sub-002", "\ud800"):
        said[3] = other
        with pytest.raises(errors.InvalidOptionError, match=re.escape(f"not {other!r} as the frame says")):
            selected(source, results.assign(submission_id=said), "csv", out)


def test_of_several_rows_that_cannot_be_the_first_is_named(source: Path, out: Path) -> None:
    first = [("alpha", 1), ("beta", 1), ("beta", 7), ("alpha", 0)]  # the same position in two runs is sound
    wrong: list[tuple[tuple[Any, Any], str]] = [
        (("beta", 7), "row 7 of run 'beta' twice"),
        (("alpha", -1), "Position -1 of run 'alpha'"),
        ((None, 2), "Position 2 of run None"),
        (("alpha", 0), "row 0 of run 'alpha' twice"),
        (("alpha", 2.5), "Position 2.5 of run 'alpha'"),
    ]
    for start in range(len(wrong)):
        rows = [*first, *(row for row, _ in wrong[start:]), *first]
        frame = pd.DataFrame(rows, columns=["run_id", "position"], dtype="object")
        with pytest.raises(errors.InvalidOptionError, match=re.escape(wrong[start][1])):
            selected(source, frame, "csv", out)
    assert selected(source, pd.DataFrame(first, columns=["run_id", "position"]), "csv", out).rows == 4


@pytest.mark.parametrize("format", FORMATS)
def test_the_order_and_index_of_the_frame_change_nothing(source: Path, out: Path, format: str) -> None:
    results = ak.load_results(source=source)
    chosen = results[results.position.isin([1, 2, 9, 10, 11])]
    straight = selected(source, chosen, format, out)
    for seed in range(3):
        shuffled = chosen.sample(frac=1, random_state=seed)
        assert selected(source, shuffled, format, out).sha256 == straight.sha256
    assert selected(source, shuffled.set_index("result_id"), format, out).sha256 == straight.sha256
    assert selected(source, shuffled[reversed(shuffled.columns)], format, out).sha256 == straight.sha256


def test_the_kind_of_the_columns_changes_nothing(source: Path, out: Path) -> None:
    results = ak.load_results(source=source)
    chosen = results[results.position.isin([2, 9, 10])]
    straight = selected(source, chosen, "csv", out)
    kinds = [
        {"run_id": "object"},
        {"run_id": "string[pyarrow]"},
        {"run_id": pd.CategoricalDtype(["delta", "beta", "alpha", "9", "10", "unused"])},
        {"position": "int8"},
        {"position": "uint64"},
        {"position": "Int64"},
        {"position": "int64[pyarrow]"},
    ]
    for kind in kinds:
        receipt = selected(source, chosen.astype(kind), "csv", out)
        assert (kind, receipt.run_ids, receipt.sha256) == (kind, straight.run_ids, straight.sha256)


@pytest.mark.parametrize(
    "position",
    [-1, 12, 2**40, 2**63 - 1, 2.5, float("nan"), float("inf"), None, "two", pd.NA, np.uint64(2**64 - 1)],
)
@pytest.mark.parametrize("format", ["csv", "json"])
def test_a_position_that_is_none_of_its_run_is_refused(
    source: Path, out: Path, format: str, position: Any
) -> None:
    frame = pd.DataFrame({"run_id": ["alpha", "alpha"], "position": pd.Series([3, position], dtype="object")})
    frames = [frame, frame[1:], frame[1:].infer_objects()]
    for some in frames:
        with refused():
            selected(source, some, format, out)
    assert exported(out) == {}


def test_positions_as_text_never_choose_other_rows(source: Path, out: Path) -> None:
    frame = pd.DataFrame({"run_id": "alpha", "position": ["10", "9", "2", "11"]})
    try:
        receipt = selected(source, frame, "csv", out)
    except errors.InvalidOptionError:
        assert exported(out) == {}
    else:
        assert pd.read_csv(receipt)["User Score"].tolist() == [12, 19, 20, 21]


@pytest.mark.parametrize("run_id", [None, float("nan"), pd.NA])
def test_a_row_without_a_run_is_refused_not_dropped(source: Path, out: Path, run_id: Any) -> None:
    for other in ("alpha", None):
        frame = pd.DataFrame({"run_id": pd.Series([other, run_id], dtype="object"), "position": [0, 1]})
        for some in (frame, frame.astype({"run_id": "str"})):
            with refused():
                selected(source, some, "csv", out)
    assert exported(out) == {}


def test_a_row_named_twice_is_refused(source: Path, out: Path) -> None:
    results = ak.load_results(source=source)
    with pytest.raises(errors.InvalidOptionError, match=r"row 3 of run 'alpha' twice"):
        selected(
            source,
            pd.concat([results, results[(results.run_id == "alpha") & (results.position == 3)]]),
            "csv",
            out,
        )


@pytest.mark.parametrize("column", ["run_id", "position"])
def test_a_frame_without_the_columns_that_name_its_rows_is_refused(
    source: Path, out: Path, column: str
) -> None:
    results = ak.load_results(source=source)
    for frame in (results.drop(columns=column), results.set_index(column), results.rename(columns=str.title)):
        with pytest.raises(errors.InvalidOptionError, match=column):
            selected(source, frame, "csv", out)


@pytest.mark.parametrize("frame", [[("alpha", 1)], {"run_id": ["alpha"], "position": [1]}, None, "alpha"])
def test_what_is_no_frame_is_refused(source: Path, out: Path, frame: Any) -> None:
    with refused(TypeError):
        selected(source, frame, "csv", out)


def test_a_frame_with_a_column_twice_is_refused(source: Path, out: Path) -> None:
    results = ak.load_results(source=source)[:3]
    for column in ("run_id", "position"):
        with refused():
            selected(source, pd.concat([results, results[[column]]], axis=1), "csv", out)


def test_a_run_that_is_not_there_is_named(source: Path, out: Path) -> None:
    frame = pd.DataFrame({"run_id": ["alpha", "alhpa"], "position": [0, 0]})
    with pytest.raises(errors.RunNotFoundError, match="'alpha'"):
        selected(source, frame, "csv", out)
    assert exported(out) == {}


def test_nothing_selected_is_a_file_without_rows(source: Path, out: Path) -> None:
    none = ak.load_results(source=source)[:0]
    assert selected(source, none, "json", out).path.read_bytes() == b"[]\n"
    assert selected(source, none, "json", out / "flat", flatten_results=True).path.read_bytes() == b"[]\n"
    assert selected(source, none, "jsonl", out).path.read_bytes() == b""
    receipt = selected(source, none, "csv", out)
    assert receipt.path.read_bytes() == reference.csv(a_run(0))
    assert (receipt.rows, receipt.rows_total, receipt.run_ids) == (0, 0, ())


@pytest.mark.parametrize("name", ["../x", "a/b", "CON", "", "x" * 300, "=1+1"])
def test_the_name_of_a_selection_cannot_leave_the_folder(source: Path, out: Path, name: str) -> None:
    results = ak.load_results(source=source)[:1]
    receipt = ak.export_results(results, "csv", name=name, source=source, output_dir=out)
    assert list(exported(out)) == [receipt.path.name]
    assert re.fullmatch(rf"audit-results-[a-z0-9-]+~[a-z2-7]{{16}}-{DAY}\.csv", receipt.path.name)


def test_a_broken_run_in_a_selection_leaves_no_file(source: Path, out: Path) -> None:
    results = ak.load_results(source=source)
    run = json.loads((source / "file-0.json").read_bytes())
    run["results"][11]["aiScore"] = None
    saved(source / "file-0.json", dumped(run))
    with pytest.raises(errors.InvalidRunError, match="aiScore"):
        selected(source, results[results.position == 0], "csv", out)
    assert exported(out) == {}


# --- a selection by a filter ----------------------------------------------------------------------------

MIDDLE = ak.Filter(user_score=(18, 33), position=(1, None))
# delta 0-11, alpha 10-21, 10 20-31, 9 30-41, beta 40-51: its rows, run by run in the order of text
MIDDLE_ROWS = {"10": range(1, 12), "9": range(1, 4), "alpha": range(8, 12), "beta": (), "delta": ()}


def originals(source: Path) -> dict[str, Any]:
    return {run["id"]: run for path in source.iterdir() if (run := json.loads(path.read_bytes()))}


@pytest.mark.parametrize(("format", "flatten"), [*((name, False) for name in FORMATS), ("json", True)])
def test_a_filter_writes_the_rows_that_it_asks_for_and_the_receipt_names_it(
    source: Path, out: Path, format: str, flatten: bool
) -> None:
    results = ak.load_results(source=source)
    receipt = selected(source, results, format, out, filter=MIDDLE, flatten_results=flatten)
    runs = originals(source)
    parts = [
        runs[run_id] | {"results": [runs[run_id]["results"][row] for row in rows]}
        for run_id, rows in MIDDLE_ROWS.items()
    ]
    assert (receipt.rows, receipt.rows_total, receipt.filter) == (18, 60, MIDDLE)
    assert receipt.run_ids == tuple(MIDDLE_ROWS)
    data = receipt.path.read_bytes()
    if format == "csv":
        header, _, _ = reference.csv(parts[0]).partition(b"\n")
        assert data == header + b"\n" + b"".join(reference.csv(part).partition(b"\n")[2] for part in parts)
    elif format == "jsonl":
        assert data == b"".join(map(reference.jsonl, parts))
    elif format == "json":
        records = [record for part in parts for record in json.loads(reference.flat_json(part))]
        nested = [json.loads(reference.nested_json(part)) for part in parts]
        assert data.decode() == reference.json_text(records if flatten else nested, indent="  ") + "\n"
    else:
        assert meanings(receipt.path) == [meaning(part) for part in parts]


@pytest.mark.parametrize("format", FORMATS)
def test_what_a_filter_wrote_loads_back(source: Path, out: Path, format: str) -> None:
    results = ak.load_results(source=source)
    receipt = selected(source, results, format, out, filter=MIDDLE)
    loaded = ak.load_results(source=receipt)
    assert loaded.groupby("run_id").submission_id.apply(list).to_dict() == {
        run_id: [f"sub-{row:03}" for row in rows] for run_id, rows in MIDDLE_ROWS.items() if rows
    }
    assert MIDDLE.replace(position=None).mask(loaded).all()
    runs = ak.list_available_runs(source=receipt)
    holds_runs = format in ("json", "parquet")  # rows of the others are all there is of a run
    assert runs == [run_id for run_id, rows in MIDDLE_ROWS.items() if rows or holds_runs]


FILTERS = [
    ak.Filter(run_id="a"),
    ak.Filter(run_id=("9", "beta"), position=(3, 3)),
    ak.Filter(difference=(-1, 7), deviation=(5, None)),
    ak.Filter(submission_id="-00"),
    ak.Filter(deviation_type="minor", action_taken=("allow", None), user_score=(None, 45)),
    ak.Filter(timestamp=("2024-01-15", "2024-01-15"), notes="QUALITY", ai_score=(0, 0), user_score=(7, 7)),
]


@pytest.mark.parametrize("format", FORMATS)
def test_a_filter_gives_the_bytes_of_the_rows_chosen_one_by_one(source: Path, out: Path, format: str) -> None:
    results = ak.load_results(source=source)
    for filter in FILTERS:
        chosen = filter.apply(results)
        runs = results[results.run_id.isin(chosen.run_id)]
        assert 0 < len(chosen) < len(results)
        by_rows = selected(source, chosen, format, out / "rows", if_exists="replace")
        by_filter = selected(source, runs, format, out / "filter", filter=filter, if_exists="replace")
        assert by_filter.path.read_bytes() == by_rows.path.read_bytes()
        assert (by_filter.rows, by_filter.rows_total) == (by_rows.rows, by_rows.rows_total)
        assert (by_filter.filter, by_rows.filter) == (filter, "rows chosen by run_id and position")


@pytest.mark.parametrize("format", FORMATS)
def test_blocks_of_a_large_run_in_which_a_filter_finds_nothing_leave_no_trace(
    tmp_path: Path, out: Path, format: str
) -> None:
    rows = [a_result(number, userScore=number, notes="x" * 900) for number in range(6000)]
    source = saved(tmp_path / "run.json", dumped(a_run(rows)))
    (run,) = ak.open_source(source).open()
    assert isinstance(run, ak.AuditRun)
    blocks = [len(batch) for batch in run.batches()]
    starts = [sum(blocks[:number]) for number in range(len(blocks))]
    assert len(blocks) > 4
    results = ak.load_results(source=source)
    for first, last in ((2, 2), (0, 0), (len(blocks) - 1, len(blocks) - 1), (1, 2)):
        # from the last row of one block to the first row behind another, so that ends are cut as well
        low, high = max(0, starts[first] - 1), starts[last] + blocks[last]
        chosen = results[(results.position >= low) & (results.position <= high)]
        by_rows = selected(source, chosen, format, out / "rows", if_exists="replace")
        filter = ak.Filter(user_score=(low, None), position=(None, high))
        by_filter = selected(source, results, format, out / "filter", filter=filter, if_exists="replace")
        assert (by_filter.rows, by_filter.rows_total) == (len(chosen), 6000)
        assert by_filter.path.read_bytes() == by_rows.path.read_bytes()


@pytest.mark.parametrize("format", FORMATS)
def test_a_filter_goes_by_what_was_recorded_and_not_by_an_edited_frame(
    source: Path, out: Path, format: str
) -> None:
    results = ak.load_results(source=source)
    filter = ak.Filter(user_score=(18, 33), deviation_type="minor", notes="exceeds")
    honest = selected(source, results, format, out, filter=filter)
    assert honest.rows == 4 + 12 + 4  # alpha 18-21, 10 20-31, 9 30-33
    edited = results.assign(user_score=0.0, deviation_type="none", notes=None)
    bare = results[["position", "run_id"]]
    for frame in (edited, bare, results.sample(frac=1, random_state=1)):
        receipt = selected(source, frame, format, out, filter=filter)
        assert (receipt.sha256, receipt.filter, receipt.reused) == (honest.sha256, filter, True)


def test_where_the_frame_names_only_some_rows_the_receipt_says_so_beside_the_filter(
    source: Path, out: Path
) -> None:
    results = ak.load_results(["alpha", "beta"], source=source)
    filter = ak.Filter(user_score=(15, 44))
    words = "rows chosen by run_id and position, of them Filter(user_score=(15, 44))"
    receipts = [
        selected(source, frame, "csv", out, filter=filter) for frame in (results, results[1:], results[:-1])
    ]
    assert [receipt.filter for receipt in receipts] == [filter, words, words]
    assert [(receipt.rows, receipt.rows_total) for receipt in receipts] == [(12, 24)] * 3
    one = selected(source, results[results.run_id == "beta"], "csv", out, filter=filter)
    assert (one.rows, one.rows_total, one.filter) == (5, 12, filter)


@pytest.mark.parametrize("nothing", [None, ak.Filter()])
def test_a_filter_that_asks_for_nothing_is_none(source: Path, out: Path, nothing: Any) -> None:
    results = ak.load_results(source=source)
    receipt = selected(source, results, "csv", out, filter=nothing)
    assert (receipt.rows, receipt.rows_total) == (60, 60)
    assert receipt.filter == "rows chosen by run_id and position"


def test_a_filter_that_finds_nothing_makes_a_file_without_rows(source: Path, out: Path) -> None:
    results = ak.load_results(["alpha", "9"], source=source)
    nothing = ak.Filter(user_score=(1000, None))
    runs = [originals(source)[run_id] | {"results": []} for run_id in ("9", "alpha")]
    receipts = {format: selected(source, results, format, out / format, filter=nothing) for format in FORMATS}
    flat = selected(source, results, "json", out / "flat", filter=nothing, flatten_results=True)
    for receipt in (*receipts.values(), flat):
        assert (receipt.rows, receipt.rows_total, receipt.filter) == (0, 24, nothing)
        assert receipt.run_ids == ("9", "alpha")
    assert receipts["csv"].path.read_bytes() == reference.csv(a_run(0))
    assert receipts["jsonl"].path.read_bytes() == b""
    assert flat.path.read_bytes() == b"[]\n"
    nested = [json.loads(reference.nested_json(run)) for run in runs]
    assert receipts["json"].path.read_text() == reference.json_text(nested, indent="  ") + "\n"
    for format in ("json", "parquet"):
        assert meanings(receipts[format].path) == [meaning(run) for run in runs]
    none = selected(source, results[:0], "csv", out / "none", filter=nothing)
    assert (none.rows, none.rows_total, none.filter) == (0, 0, nothing)


def test_ids_of_rows_that_a_filter_leaves_out_are_confirmed_as_well(source: Path, out: Path) -> None:
    results = ak.load_results(source=source)
    forged = results.copy()
    forged.loc[forged.user_score == 51, "submission_id"] = "forged"
    with pytest.raises(errors.InvalidOptionError, match="'forged'"):
        selected(source, forged, "csv", out, filter=ak.Filter(user_score=(None, 20)))
    assert exported(out) == {}


@pytest.mark.parametrize(
    "filter", ["deviation > 5", {"deviation": (5, None)}, {}, "", 0, lambda frame: frame]
)
def test_what_is_no_filter_is_refused_before_a_source_is_asked(source: Path, out: Path, filter: Any) -> None:
    results = ak.load_results(source=source)
    with pytest.raises(errors.InvalidOptionError, match=r"filter=.* is no Filter.*ak\.Filter"):
        selected(tmp := source / "no such folder", results, "csv", out, filter=filter)
    assert not tmp.exists()
    assert exported(out) == {}


def test_a_broken_run_leaves_no_file_though_a_filter_asks_for_other_rows(source: Path, out: Path) -> None:
    results = ak.load_results(source=source)
    run = json.loads((source / "file-0.json").read_bytes())
    run["results"][11]["aiScore"] = None
    saved(source / "file-0.json", dumped(run))
    with pytest.raises(errors.InvalidRunError, match="aiScore"):
        selected(source, results, "csv", out, filter=ak.Filter(position=(0, 0)))
    assert exported(out) == {}


@pytest.mark.parametrize("format", FORMATS)
def test_a_filter_is_asked_anew_where_a_late_header_starts_the_export_again(
    tmp_path: Path, format: str
) -> None:
    rows = [a_result(number, userScore=number) for number in range(400)]
    late = '"status": "failed", "reviewer": "second"'
    source = saved(tmp_path / "run.json", hidden_document(a_run(rows, totalSubmissions=400), late))
    (opened,) = ak.open_source(source).open(["run-001"])
    assert isinstance(opened, ak.AuditRun)
    with pytest.raises(HeaderChanged):  # or this test shows nothing
        list(opened.batches())
    filter = ak.Filter(user_score=(390, None), position=(None, 395), run_id=("run-001",))
    receipt = selected(source, ak.load_results(source=source), format, tmp_path / "out", filter=filter)
    assert (receipt.rows, receipt.rows_total, receipt.filter) == (6, 400, filter)
    loaded = load_one(receipt.path)
    assert loaded.status == "failed"
    assert loaded.results.user_score.tolist() == [390, 391, 392, 393, 394, 395]
    assert len(exported(tmp_path / "out")) == 1


@pytest.mark.parametrize("format", FORMATS)
def test_a_filter_is_asked_of_the_last_of_two_lists_of_results(tmp_path: Path, format: str) -> None:
    first = dumped(a_run(300)).decode().removesuffix("\n}")
    second = dumped([a_result(number, userScore=number) for number in range(30)]).decode()
    source = saved(tmp_path / "run.json", f'{first}, "results": {second}\n}}\n')
    filter = ak.Filter(user_score=(5, 8))
    receipt = selected(source, ak.load_results(source=source), format, tmp_path / "out", filter=filter)
    assert (receipt.rows, receipt.rows_total, receipt.filter) == (4, 30, filter)
    assert ak.load_results(source=receipt).user_score.tolist() == [5, 6, 7, 8]


def test_a_receipt_shows_its_filter_as_text_and_never_as_a_part_of_the_page(source: Path, out: Path) -> None:
    results = ak.load_results(source=source)
    attack = "<img src=x onerror=alert(1)>"
    filter = ak.Filter(user_score=(1, 9), notes=(attack, "Code quality exceeds AI assessment"))
    whole = selected(source, results, "csv", out, filter=filter)
    part = selected(source, results[:-1], "csv", out, filter=filter)
    for receipt in (whole, part):
        assert repr(filter) in repr(receipt)
        html = receipt._repr_html_()
        assert "<img" not in html
        assert "Filter(user_score=(1, 9), notes=(&#x27;&lt;img src=x onerror=alert(1)&gt;&#x27;" in html
        assert "9 of 60" in html


def test_a_receipt_with_a_filter_is_a_value(source: Path, out: Path) -> None:
    results = ak.load_results(source=source)
    filter = ak.Filter(user_score=(1, 9), notes=("Code quality exceeds AI assessment", None))
    receipt, again = (selected(source, results, "csv", out, filter=filter) for _ in range(2))
    assert (receipt.reused, again.reused) == (False, True)
    copy = pickle.loads(pickle.dumps(receipt))
    assert receipt == again == copy
    assert {receipt, again, copy} == {receipt}
    assert copy.filter.apply(results).user_score.tolist() == list(range(1, 10))
    other = selected(source, results, "csv", out, filter=filter.replace(notes=None))
    assert other.path == receipt.path
    assert other != receipt


# --- a header that goes on behind the results -----------------------------------------------------------


def late_document(run: dict[str, Any], late: tuple[str, ...], indent: int | None) -> bytes:
    """The run with some keys of its header behind the results."""
    early = {key: value for key, value in run.items() if key not in (*late, "results")}
    return dumped(early | {"results": run["results"]} | {key: run[key] for key in late}, indent)


LATE = [
    ("completedAt",),
    ("status", "averageDeviation", "completedAt"),
    ("criticalFlags", "id"),
    tuple(key for key in a_run() if key != "results"),
]


@pytest.mark.parametrize("late", LATE, ids=" ".join)
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("rows", [0, 250])
def test_late_keys_of_a_header_are_exported_rightly_in_every_format(
    tmp_path: Path, late: tuple[str, ...], indent: int | None, rows: int
) -> None:
    run = a_run(rows, totalSubmissions=rows)
    source = saved(tmp_path / "run.json", late_document(run, late, indent))
    expected = {
        "csv": reference.csv(run),
        "json": reference.nested_json(run),
        "jsonl": reference.jsonl(run),
    }
    for format, data in expected.items():
        receipt = ak.export_audit_run("run-001", format, source=source, output_dir=tmp_path / "out")
        assert receipt.path.read_bytes() == data
        assert (receipt.rows, receipt.rows_total) == (rows, rows)
    receipt = ak.export_audit_run("run-001", "parquet", source=source, output_dir=tmp_path / "out")
    assert meanings(receipt.path) == [meaning(run)]
    assert len(exported(tmp_path / "out")) == 4


@pytest.mark.parametrize("format", FORMATS)
def test_a_header_that_says_something_else_behind_its_results_starts_the_export_again(
    tmp_path: Path, format: str
) -> None:
    base = a_run(400, totalSubmissions=400)
    source = saved(tmp_path / "run.json", hidden_document(base, '"status": "failed", "reviewer": "second"'))
    run = json.loads(source.read_bytes())
    assert (run["status"], run["reviewer"]) == ("failed", "second")  # as JSON.parse: the last one counts
    receipt = ak.export_audit_run("run-001", format, source=source, output_dir=tmp_path / "out")
    loaded = load_one(receipt.path)
    assert (loaded.status, receipt.rows, receipt.rows_total) == ("failed", 400, 400)
    if format in ("json", "parquet"):
        assert found(loaded) == meaning(run)
    assert len(exported(tmp_path / "out")) == 1


def test_several_late_headers_in_one_batch_and_in_one_selection(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    for run_id in ("a", "b", "c"):
        run = a_run(300, id=run_id, totalSubmissions=300)
        saved(folder / f"{run_id}.json", hidden_document(run, f'"reviewer": "late {run_id}"'))
    batch = ak.export_multiple_runs(list("abc"), "json", source=folder, output_dir=tmp_path / "batch")
    assert [json.loads(receipt.path.read_bytes())["reviewer"] for receipt in batch.receipts] == [
        "late a",
        "late b",
        "late c",
    ]
    frame = pd.DataFrame({"run_id": list("abcabc"), "position": [0, 0, 0, 299, 299, 299]})
    receipt = ak.export_results(frame, "json", name="x", source=folder, output_dir=tmp_path / "selection")
    runs = json.loads(receipt.path.read_bytes())
    assert [run["reviewer"] for run in runs] == ["late a", "late b", "late c"]
    assert [[row["id"] for row in run["results"]] for run in runs] == [["result-0", "result-299"]] * 3
    assert (receipt.rows, receipt.rows_total) == (6, 900)


def test_a_run_that_changes_its_id_behind_its_results_is_never_exported_under_the_wrong_one(
    tmp_path: Path,
) -> None:
    run = a_run(400, id="promised", totalSubmissions=400)
    source = saved(tmp_path / "run.json", hidden_document(run, '"id": "other"'))
    frame = pd.DataFrame({"run_id": ["promised"], "position": [0]})
    calls = [
        lambda out: ak.export_audit_run("promised", "json", source=source, output_dir=out),
        lambda out: ak.export_results(frame, "json", name="x", source=source, output_dir=out),
    ]
    for number, call in enumerate(calls):
        with pytest.raises(errors.AuditkitError):
            call(tmp_path / str(number))
        assert exported(tmp_path / str(number)) == {}


@pytest.mark.parametrize("format", FORMATS)
def test_of_two_lists_of_results_the_last_one_is_exported(tmp_path: Path, format: str) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    for run_id in ("a", "b"):
        first = dumped(a_run(300, id=run_id)).decode().removesuffix("\n}")
        second = json.dumps([a_result(number, notes=f"second of {run_id}") for number in range(3)], indent=2)
        saved(folder / f"{run_id}.json", f'{first}, "results": {second}\n}}\n')
    batch = ak.export_multiple_runs(["a", "b"], format, source=folder, output_dir=tmp_path / "batch")
    assert [(receipt.rows, receipt.rows_total) for receipt in batch.receipts] == [(3, 3), (3, 3)]
    for run_id, receipt in zip("ab", batch.receipts, strict=True):
        assert ak.load_results(source=receipt).notes.to_list() == [f"second of {run_id}"] * 3
    frame = pd.DataFrame({"run_id": ["b", "a", "b"], "position": [2, 0, 1]})
    receipt = ak.export_results(frame, format, name="x", source=folder, output_dir=tmp_path / "selection")
    assert ak.load_results(source=receipt).notes.to_list() == ["second of a", "second of b", "second of b"]
    assert (receipt.rows, receipt.rows_total) == (3, 6)
    assert len(exported(tmp_path / "selection")) == 1


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_that_was_changed_since_it_was_listed_is_exported_as_it_is_now(
    tmp_path: Path, format: str
) -> None:
    path = saved(tmp_path / "run.json", dumped(a_run(3)))
    (run,) = ak.open_source(path).open()
    assert isinstance(run, ak.AuditRun)
    saved(path, dumped(a_run(2, status="failed", reviewer="second")))
    receipt = ak.export_audit_run(run, format, output_dir=tmp_path / "out")
    loaded = load_one(receipt.path)
    assert (loaded.status, len(loaded.results), receipt.rows) == ("failed", 2, 2)
    saved(path, dumped(a_run(2, id="other")))
    with pytest.raises(errors.AuditkitError):
        ak.export_audit_run(run, format, output_dir=tmp_path / "out")
    assert len(exported(tmp_path / "out")) == 1


# --- formats of third parties ---------------------------------------------------------------------------

EXPECTED_TABLE = b"".join(
    f"run-001\t{r['submissionId']}\t{r['userScore']}.0\n".encode() for r in RUN_001["results"]
)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(install(tmp_path / "site")))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("format", ["table", "instance"])
def test_an_installed_format_needs_no_more_than_a_name_a_suffix_and_write(out: Path, format: str) -> None:
    receipt = ak.export_audit_run("run-001", format, source=SAMPLES, output_dir=out)
    assert receipt.path.name == f"audit-run-run-001-{DAY}.table"
    assert receipt.path.read_bytes() == EXPECTED_TABLE
    assert (receipt.format, receipt.rows, receipt.rows_total) == (format, 8, 8)
    packed = ak.export_audit_run("run-001", format, source=SAMPLES, output_dir=out, compression="gzip")
    assert packed.path.name == f"audit-run-run-001-{DAY}.table.gz"
    assert gzip.decompress(packed.path.read_bytes()) == EXPECTED_TABLE


@pytest.mark.usefixtures("installed")
def test_an_installed_format_may_ask_for_the_frame(out: Path) -> None:
    receipt = ak.export_audit_run("run-001", "framed", source=SAMPLES, output_dir=out)
    assert float(receipt.path.read_bytes()) == sum(row["userScore"] for row in RUN_001["results"])
    assert receipt.rows == 8
    selection = ak.load_run("run-001", source=SAMPLES).select([0])
    receipt = ak.export_audit_run(selection, "framed", output_dir=out / "selection")
    assert (receipt.path.read_bytes(), receipt.rows, receipt.rows_total) == (b"85.0", 1, 8)


@pytest.mark.usefixtures("installed")
def test_an_installed_format_takes_a_batch_but_no_rows_of_several_runs(out: Path) -> None:
    assert (
        len(ak.export_multiple_runs(["run-001", "run-005"], "table", source=SAMPLES, output_dir=out).receipts)
        == 2
    )
    results = ak.load_results(["run-001", "run-002"], source=SAMPLES)
    with pytest.raises(errors.InvalidOptionError, match=r"'table'.*several runs"):
        ak.export_results(results, "table", name="x", source=SAMPLES, output_dir=out / "selection")
    assert exported(out / "selection") == {}


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("option", ["flatten_results", "excel", "include_metadata", "formula_guard"])
def test_an_installed_format_that_heeds_no_options_refuses_them(out: Path, option: str) -> None:
    value = option in ("flatten_results", "excel")
    with pytest.raises(errors.InvalidOptionError, match=option):
        ak.export_audit_run("run-001", "table", source=SAMPLES, output_dir=out, **{option: value})


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("format", ["broken", "gone", "number", "lacking", "raising"])
def test_an_installed_format_that_is_broken_breaks_only_itself(out: Path, format: str) -> None:
    with pytest.raises(errors.UnknownFormatError, match=f"'{format}'"):
        ak.export_audit_run("run-001", format, source=SAMPLES, output_dir=out)
    assert exported(out) == {}
    for other in ("csv", "table"):
        assert ak.export_audit_run("run-001", other, source=SAMPLES, output_dir=out).rows == 8


@pytest.mark.usefixtures("installed")
def test_an_installed_format_that_fails_in_the_middle_leaves_nothing(out: Path) -> None:
    with pytest.raises(ZeroDivisionError, match="in the middle"):
        ak.export_audit_run("run-001", "failing", source=SAMPLES, output_dir=out)
    assert exported(out) == {}


@pytest.mark.usefixtures("installed")
def test_an_installed_format_is_among_those_that_a_wrong_name_is_compared_with(out: Path) -> None:
    with pytest.raises(errors.UnknownFormatError, match="Did you mean 'table'"):
        ak.export_audit_run("run-001", "tabel", source=SAMPLES, output_dir=out)


def test_an_installed_format_with_an_odd_suffix_never_keeps_an_export_waiting(tmp_path: Path) -> None:
    script = f"""
        import auditkit as ak
        run = ak.load_run("run-001", source={str(SAMPLES)!r})
        try:
            for rows in ([0], [0, 1], [0, 1]):
                print(ak.export_audit_run(run.select(rows), "odd").path.name)
        except ak.errors.AuditkitError as error:
            print(type(error).__name__)
    """
    env = {"PYTHONPATH": str(install(tmp_path / "site"))}
    printed = succeed(python("-c", textwrap.dedent(script), cwd=tmp_path, env=env, timeout=5)).split()
    if not printed[0].endswith("Error"):  # it may be refused; else every version has a name of its own
        assert printed[0] != printed[1] == printed[2]
        assert len(exported(tmp_path / "exports")) == 2


def test_combinations_of_all_options_never_crash(out: Path) -> None:
    """Every combination either makes a file or refuses an option."""
    run = ak.load_run("run-004", source=SAMPLES).select(range(5))
    switches = ("include_metadata", "flatten_results", "formula_guard", "excel")
    made = refusals = 0
    for format, values, compression in itertools.product(
        FORMATS, itertools.product((True, False), repeat=4), (None, "gzip", "zstd")
    ):
        options: dict[str, Any] = dict(zip(switches, values, strict=True))
        try:
            ak.export_audit_run(run, format, output_dir=out, compression=compression, **options)  # type: ignore[arg-type]
        except errors.InvalidOptionError:
            refusals += 1
        else:
            made += 1
    # csv: 2 * 2 * 2, json: 2 * 2, jsonl and parquet: 2 each; each in three compressions
    assert made == (8 + 4 + 2 + 2) * 3
    assert made + refusals == 4 * 16 * 3
