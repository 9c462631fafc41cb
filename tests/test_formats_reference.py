"""The text formats, byte for byte as the independent reference exporter writes them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import reference_exporter as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from records import a_result, a_run, dumped, load_one, saved, written
from strategies import document_bytes, runs

import auditkit as ak
from auditkit.formats.json import blocks, read

SAMPLES = sorted((Path(__file__).parents[1] / "sample_data" / "runs").glob("*.json"))
CSV_OPTIONS = [
    {"include_metadata": metadata, "formula_guard": guard, "excel": excel}
    for metadata, guard, excel in itertools.product((True, False), repeat=3)
]
some = settings(max_examples=30, deadline=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def loaded(run: dict[str, Any], data: st.DataObject, folder: Path) -> ak.AuditRun:
    """A generated run, loaded from a file in a layout of its own."""
    return load_one(saved(folder / "run.json", data.draw(document_bytes(run))))


@some
@given(runs(), st.data())
def test_csv_is_what_the_reference_writes(folder: Path, run: dict[str, Any], data: st.DataObject) -> None:
    made = loaded(run, data, folder)
    for options in CSV_OPTIONS:
        assert written(made, "csv", **options) == reference.csv(run, **options)


@some
@given(runs(), st.data())
def test_nested_json_is_what_the_reference_writes(
    folder: Path, run: dict[str, Any], data: st.DataObject
) -> None:
    made = loaded(run, data, folder)
    assert written(made, "json") == reference.nested_json(run)
    assert written(made, "json", include_metadata=False) == reference.nested_json(run, include_metadata=False)


@some
@given(runs(), st.data())
def test_flat_json_is_what_the_reference_writes(
    folder: Path, run: dict[str, Any], data: st.DataObject
) -> None:
    made = loaded(run, data, folder)
    for metadata in (True, False):
        expected = reference.flat_json(run, include_metadata=metadata)
        assert written(made, "json", flatten_results=True, include_metadata=metadata) == expected


@some
@given(runs(), st.data())
def test_json_lines_are_what_the_reference_writes(
    folder: Path, run: dict[str, Any], data: st.DataObject
) -> None:
    made = loaded(run, data, folder)
    for metadata in (True, False):
        expected = reference.jsonl(run, include_metadata=metadata)
        assert written(made, "jsonl", include_metadata=metadata) == expected


@settings(max_examples=15, deadline=None)
@given(runs(), st.data())
def test_a_streamed_export_is_what_the_reference_writes_wherever_blocks_are_cut(
    folder: Path, run: dict[str, Any], data: st.DataObject
) -> None:
    source = saved(folder / "streamed.json", data.draw(document_bytes(run)))
    size = data.draw(st.sampled_from((4, 5, 17, 64, 500, 4000)))
    expected = {
        ("csv", False): reference.csv(run),
        ("json", False): reference.nested_json(run),
        ("json", True): reference.flat_json(run),
        ("jsonl", False): reference.jsonl(run),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_BYTES", size)
        patch.setattr(read, "BLOCK_BYTES", size)
        for (format, flat), text in expected.items():
            receipt = ak.export_audit_run(
                run["id"],
                format,
                source=source,
                output_dir=folder / "exports",
                flatten_results=flat,
                if_exists="replace",
            )
            assert receipt.path.read_bytes() == text
            assert receipt.bytes == len(text)
            assert receipt.rows == receipt.rows_total == len(run["results"])


@settings(max_examples=20, deadline=None)
@given(st.lists(runs(max_results=4), min_size=2, max_size=4))
def test_several_runs_in_one_file_are_the_runs_one_behind_the_other(
    folder: Path, group: list[dict[str, Any]]
) -> None:
    made = [load_one(saved(folder / "one.json", dumped(run))) for run in group]
    header, _, _ = reference.csv(group[0]).partition(b"\n")
    rows = [reference.csv(run).removeprefix(header + b"\n") for run in group]
    assert written(made, "csv") == header + b"\n" + b"".join(rows)
    assert written(made, "jsonl") == b"".join(map(reference.jsonl, group))
    nested = [reference.parse(reference.nested_json(run).decode()) for run in group]
    assert written(made, "json") == (reference.json_text(nested, indent="  ") + "\n").encode()
    flat = [record for run in group for record in reference.json.loads(reference.flat_json(run))]
    expected = (reference.json_text(flat, indent="  ") + "\n").encode()
    assert written(made, "json", flatten_results=True) == expected


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_the_sample_runs_are_exported_as_the_reference_does(sample: Path) -> None:
    run = reference.parse(sample.read_text(encoding="utf-8"))
    made = load_one(sample)
    for options in CSV_OPTIONS:
        assert written(made, "csv", **options) == reference.csv(run, **options)
    assert written(made, "json") == reference.nested_json(run)
    assert written(made, "json", flatten_results=True) == reference.flat_json(run)
    assert written(made, "jsonl") == reference.jsonl(run)


def test_a_field_that_is_missing_in_some_rows_is_left_out_of_those_alone(tmp_path: Path) -> None:
    rows = [
        a_result(0, notes=None, reviewer=""),
        a_result(1, actionTaken=None, reviewer=None, x=1),
        a_result(2, notes="", y=[]),
    ]
    run = a_run(rows, reviewer="=lead", completedAt=None, averageDeviation=None)
    made = load_one(saved(tmp_path / "run.json", dumped(run)))
    for options in CSV_OPTIONS:
        assert written(made, "csv", **options) == reference.csv(run, **options)
    assert written(made, "json") == reference.nested_json(run)
    assert written(made, "json", flatten_results=True) == reference.flat_json(run)
    assert written(made, "jsonl") == reference.jsonl(run)


@pytest.mark.parametrize("unknown", [{}, {"more": [1, {"a": "},{"}]}], ids=["known", "unknown"])
@pytest.mark.parametrize("indent", [None, 2])
def test_many_batches_join_into_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unknown: dict[str, Any], indent: int | None
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 4096)
    monkeypatch.setattr(read, "BLOCK_BYTES", 4096)
    notes = ("plain", None, "", "a,b", 'say "hi"', "two\nlines", "=1+1", "  -x;'y")
    rows = [
        a_result(n, notes=notes[n % 8], userScore=n / 7, **(unknown if n % 3 else {})) for n in range(200)
    ]
    run = a_run(rows)
    made = load_one(saved(tmp_path / "run.json", dumped(run, indent)))
    assert len(list(made.batches())) > 10
    for options in CSV_OPTIONS:
        assert written(made, "csv", **options) == reference.csv(run, **options)
    assert written(made, "json") == reference.nested_json(run)
    assert written(made, "json", flatten_results=True) == reference.flat_json(run)
    assert written(made, "jsonl") == reference.jsonl(run)


@pytest.mark.parametrize("key", reference.FLAT_KEYS)
def test_a_result_with_a_key_of_the_flat_formats_is_refused_by_them_alone(tmp_path: Path, key: str) -> None:
    run = a_run([a_result(0), a_result(1, **{key: "mine"})])
    made = load_one(saved(tmp_path / "run.json", dumped(run)))
    with pytest.raises(ak.errors.InvalidRunError, match=key):
        written(made, "jsonl")
    with pytest.raises(ak.errors.InvalidRunError, match=key):
        written(made, "json", flatten_results=True)
    assert written(made, "json") == reference.nested_json(run)
    assert written(made, "csv") == reference.csv(run)
