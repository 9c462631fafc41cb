"""Looking for a submission or a user: what is found, in which runs, and what is in the way."""

from __future__ import annotations

import gzip
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import reference_exporter as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from records import (
    Record,
    a_result,
    a_run,
    dumped,
    dumped_lines,
    flat_records,
    hidden_document,
    load_one,
    saved,
    written,
)
from strategies import ids, runs

import auditkit as ak
from auditkit.errors import InvalidOptionError, InvalidRunError, NoSourceError
from auditkit.run import HeaderChanged

SAMPLES = Path(__file__).parents[1] / "sample_data" / "runs"


def folder_of(folder: Path, *runs: Record) -> Path:
    """A folder of runs, each in a file of its own; the files stand in the order given."""
    folder.mkdir(exist_ok=True)
    for number, run in enumerate(runs):
        saved(folder / f"{number}.json", dumped(run))
    return folder


def places(found: pd.DataFrame) -> list[tuple[str, int]]:
    """Where the rows stand: run id and position."""
    return list(zip(found.run_id.to_list(), found.position.to_list(), strict=True))


def some_runs() -> list[Record]:
    """Three runs: sub-x in the first and the last, user-x in the first two, once both in one row."""
    return [
        a_run(
            [
                a_result(0),
                a_result(1, submissionId="sub-x"),
                a_result(2, userId="user-x"),
                a_result(3, submissionId="sub-x", userId="user-x"),
            ],
            id="z",
        ),
        a_run([a_result(0, userId="user-x"), a_result(1)], id="a"),
        a_run([a_result(0), a_result(1, submissionId="sub-x"), a_result(2)], id="m"),
    ]


# --- what is found ----------------------------------------------------------------------------------------


def test_a_submission_is_found_in_every_run_that_has_it_in_the_order_of_the_source(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "runs", *some_runs())
    assert places(ak.find_results("sub-x", source=source)) == [("z", 1), ("z", 3), ("m", 1)]


def test_a_user_is_found_likewise(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "runs", *some_runs())
    assert places(ak.find_results("user-x", source=source)) == [("z", 2), ("z", 3), ("a", 0)]


def test_a_row_whose_submission_and_user_have_the_same_id_is_found_once(tmp_path: Path) -> None:
    run = a_run(
        [a_result(0, submissionId="x"), a_result(1, submissionId="x", userId="x"), a_result(2, userId="x")]
    )
    source = saved(tmp_path / "run.json", dumped(run))
    assert places(ak.find_results("x", source=source)) == [("run-001", 0), ("run-001", 1), ("run-001", 2)]


@pytest.mark.parametrize("text", ["sub-001", "sub-2001", "user-123", "user-1286"])
def test_what_is_found_are_the_rows_that_load_results_gives(text: str) -> None:
    results = ak.load_results(source=SAMPLES)
    expected = results[(results.submission_id == text) | (results.user_id == text)].reset_index(drop=True)
    assert 0 < len(expected) < 100
    found = ak.find_results(text, source=SAMPLES)
    pd.testing.assert_frame_equal(found, expected[list(found.columns)])
    assert list(found.columns) == [
        name for name in results if name != "extra" or expected[name].notna().any()
    ]


def test_nothing_found_is_a_frame_without_rows_with_the_same_dtypes() -> None:
    found = ak.find_results("nobody", source=SAMPLES)
    assert len(found) == 0
    some = ak.load_results("run-001", source=SAMPLES)
    assert found.dtypes.to_dict() == some.dtypes.to_dict()


def test_unknown_fields_of_what_is_found_stay(tmp_path: Path) -> None:
    run = a_run([a_result(0), a_result(1, attempt={"n": 2})])
    source = saved(tmp_path / "run.json", dumped(run))
    assert "extra" not in ak.find_results("sub-000", source=source)
    assert ak.find_results("sub-001", source=source).extra.to_list() == ['{"attempt":{"n":2}}']


@pytest.mark.parametrize(
    "text", ["sub-00", "ub-001", "SUB-001", " sub-001", "sub-001 ", "sub-0.1", ".*", "result-1"]
)
def test_an_id_is_looked_for_whole_and_as_recorded(tmp_path: Path, text: str) -> None:
    source = saved(tmp_path / "run.json", dumped(a_run(3)))
    assert len(ak.find_results("sub-001", source=source)) == 1
    assert len(ak.find_results(text, source=source)) == 0


LOOKALIKES = ["007", "7", "7.0", "1e5", "100000", "NA", "null", "nan", "True", "-0", "0", "1_000"]


@pytest.mark.parametrize("format", ["json", "jsonl", "csv", "parquet"])
def test_ids_that_look_like_numbers_are_themselves(tmp_path: Path, format: str) -> None:
    run = a_run(
        [a_result(row, submissionId=name, userId=f"u{name}") for row, name in enumerate(LOOKALIKES)]
        + [a_result(99, submissionId="s", userId=name) for name in LOOKALIKES]
    )
    loaded = load_one(saved(tmp_path / "run.json", dumped(run)))
    source = saved(tmp_path / "exported", written(loaded, format))
    for row, name in enumerate(LOOKALIKES):
        found = ak.find_results(name, source=source)
        assert found.position.to_list() == [row, row + len(LOOKALIKES)]
        assert (found.submission_id.iloc[0], found.user_id.iloc[1]) == (name, name)


HOSTILE = [
    "\x1b[2Jx",
    "a\nb",
    "=1+1",
    "'=1+1",
    'x,y;\t"z"',
    "\u202ereversed",
    "sub\0x",
    "é",
    "e\u0301",
    "😀",
    "\ufeff",
    " ",
]


@pytest.mark.parametrize("format", ["json", "csv", "parquet"])
def test_any_text_can_be_an_id(tmp_path: Path, format: str) -> None:
    run = a_run([a_result(row, userId=name) for row, name in enumerate(HOSTILE)])
    loaded = load_one(saved(tmp_path / "run.json", dumped(run)))
    source = saved(tmp_path / "exported", written(loaded, format))
    for row, name in enumerate(HOSTILE):
        assert places(ak.find_results(name, source=source)) == [("run-001", row)], name


@pytest.fixture(scope="module")
def module_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@settings(max_examples=40, deadline=None)
@given(st.lists(runs(), max_size=3, unique_by=lambda run: run["id"]), st.data())
def test_what_is_found_is_what_a_loop_over_all_runs_finds(
    module_folder: Path, some: list[Record], data: st.DataObject
) -> None:
    known = [row[key] for run in some for row in run["results"] for key in ("submissionId", "userId")]
    text = data.draw((st.sampled_from(known) if known else st.nothing()) | ids(), label="id")
    source = saved(module_folder / "runs.json", dumped(some))
    if not text or not some:
        return
    expected = [
        (run["id"], position)
        for run in some
        for position, row in enumerate(run["results"])
        if text in (row["submissionId"], row["userId"])
    ]
    assert places(ak.find_results(text, source=source)) == expected


def test_positions_count_through_all_blocks_of_a_large_run(tmp_path: Path) -> None:
    rows = [a_result(number, userId=f"user-{number % 700}", notes="x" * 900) for number in range(3000)]
    source = saved(tmp_path / "run.json", dumped(a_run(rows)))
    (run,) = ak.open_source(source).open()
    assert isinstance(run, ak.AuditRun)
    assert len(list(run.batches())) > 1
    found = ak.find_results("user-5", source=source)
    assert found.position.to_list() == [5, 705, 1405, 2105, 2805]
    assert found.submission_id.to_list() == ["sub-005", "sub-705", "sub-1405", "sub-2105", "sub-2805"]


def test_what_is_found_can_be_exported(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "runs", *some_runs())
    found = ak.find_results("sub-x", source=source)
    receipt = ak.export_results(found, "csv", name="sub-x", source=source, output_dir=tmp_path / "out")
    assert (receipt.rows, receipt.rows_total, receipt.run_ids) == (3, 7, ("m", "z"))
    assert pd.read_csv(receipt)["Submission ID"].to_list() == ["sub-x"] * 3


# --- where it is looked for -------------------------------------------------------------------------------


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def in_files(run: Record, folder: Path) -> list[Path]:
    """The run in a file of every kind."""
    loaded = load_one(saved(folder / "run.json", dumped(run)))
    texts = {
        "run.csv": reference.csv(run),
        "run.jsonl": reference.jsonl(run),
        "flat.json": reference.flat_json(run),
        "array.json": dumped([run]),
        "lines.jsonl": dumped_lines([run]),
    }
    packed = {f"{name}.gz": gzip.compress(data) for name, data in texts.items()}
    packed |= {f"{name}.zst": zstd(data) for name, data in texts.items()}
    parquet = {
        "run.parquet": written(loaded, "parquet"),
        "packed.parquet": written(loaded, "parquet", compression="zstd"),
    }
    files = texts | packed | parquet
    return [folder / "run.json", *(saved(folder / name, data) for name, data in files.items())]


def test_a_file_of_any_kind_is_looked_into(tmp_path: Path) -> None:
    run = a_run([a_result(0), a_result(1, userId="x"), a_result(2), a_result(3, submissionId="x")])
    files = in_files(run, tmp_path)
    assert len(files) == 18
    for path in files:
        found = ak.find_results("x", source=path)
        assert places(found) == [("run-001", 1), ("run-001", 3)], path.name
        assert found.user_score.to_list() == [85, 85], path.name


@pytest.mark.parametrize("kind", ["array", "flat", "lines", "csv", "parquet"])
def test_a_file_of_several_runs_is_looked_into(tmp_path: Path, kind: str) -> None:
    some = some_runs()
    flat = [record for run in some for record in flat_records(run)]
    header, _, _ = reference.csv(some[0]).partition(b"\n")
    if kind == "parquet":
        folder = folder_of(tmp_path / "runs", *some)
        frame = ak.load_results(source=folder)
        source = ak.export_results(frame, "parquet", name="all", source=folder, output_dir=tmp_path).path
    else:
        data = {
            "array": dumped(some),
            "flat": dumped(flat),
            "lines": dumped_lines(flat),
            "csv": header + b"\n" + b"".join(reference.csv(run).partition(b"\n")[2] for run in some),
        }[kind]
        source = saved(tmp_path / "runs", data)
    expected = [("z", 1), ("z", 3), ("m", 1)]  # our own files are sorted by run id
    assert places(ak.find_results("sub-x", source=source)) == (
        sorted(expected) if kind == "parquet" else expected
    )


def test_a_source_is_a_folder_a_glob_some_files_a_receipt_or_a_source(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "runs", *some_runs())
    receipt = ak.export_audit_run("m", "parquet", source=folder, output_dir=tmp_path / "out")
    sources: Sequence[tuple[Any, list[tuple[str, int]]]] = [
        (folder, [("z", 1), ("z", 3), ("m", 1)]),
        (str(folder / "[12].json"), [("m", 1)]),
        ([folder / "2.json", folder / "0.json"], [("m", 1), ("z", 1), ("z", 3)]),
        (receipt, [("m", 1)]),
        (ak.open_source(folder), [("z", 1), ("z", 3), ("m", 1)]),
    ]
    for source, expected in sources:
        assert places(ak.find_results("sub-x", source=source)) == expected


def test_the_source_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoSourceError, match="AUDITKIT_SOURCE"):
        ak.find_results("sub-001")
    monkeypatch.setenv("AUDITKIT_SOURCE", str(SAMPLES))
    assert places(ak.find_results("sub-001")) == [("run-001", 0)]
    with pytest.raises(FileNotFoundError):
        ak.find_results("sub-001", source="no such folder")


# --- a header that goes on behind the results -------------------------------------------------------------


def test_a_run_whose_header_goes_on_behind_its_results_is_found_once(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    for run_id in ("a", "b"):
        base = a_run(400, id=run_id, totalSubmissions=400)
        saved(folder / f"{run_id}.json", hidden_document(base, '"status": "failed", "reviewer": "second"'))
    assert places(ak.find_results("sub-007", source=folder)) == [("a", 7), ("b", 7)]
    assert places(ak.find_results("user-399", source=folder)) == [("a", 399), ("b", 399)]


class Rewritten:
    """A source whose file is written anew between being opened and being read."""

    def __init__(self, path: Path, run: Record):
        self.path, self.run, self.location = path, run, str(path)

    def listing(self) -> Any:
        return ak.open_source(self.path).listing()

    def open(self, run_ids: Sequence[str] | None = None) -> Any:
        opened = ak.open_source(self.path).open(run_ids)
        saved(self.path, dumped(self.run))
        return opened

    def load(self, run_ids: Sequence[str] | None = None) -> Any:
        return ak.open_source(self.path).load(run_ids)


def test_a_run_whose_header_was_changed_since_is_looked_into_as_it_is_now(tmp_path: Path) -> None:
    path = saved(tmp_path / "run.json", dumped(a_run(9, reviewer="first")))
    now = a_run([a_result(number, userId=f"now-{number}") for number in range(5)], reviewer="second")
    (opened,) = Rewritten(path, now).open()
    with pytest.raises(HeaderChanged):  # or this test shows nothing
        list(opened.batches())
    saved(path, dumped(a_run(9, reviewer="first")))
    assert places(ak.find_results("now-3", source=Rewritten(path, now))) == [("run-001", 3)]
    saved(path, dumped(a_run(9, reviewer="first")))
    assert places(ak.find_results("sub-001", source=Rewritten(path, now))) == [("run-001", 1)]


def test_of_two_lists_of_results_the_last_one_is_looked_into(tmp_path: Path) -> None:
    first = dumped(a_run(300)).decode().removesuffix("\n}")
    second = dumped([a_result(number, userId="late") for number in range(3)]).decode()
    source = saved(tmp_path / "run.json", f'{first}, "results": {second}\n}}\n')
    assert places(ak.find_results("late", source=source)) == [("run-001", 0), ("run-001", 1), ("run-001", 2)]
    assert places(ak.find_results("sub-001", source=source)) == [("run-001", 1)]
    assert len(ak.find_results("sub-250", source=source)) == 0


# --- what is broken ---------------------------------------------------------------------------------------


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Two good runs, and three that break at different places; each has the submission sub-001."""
    folder = folder_of(tmp_path / "mixed", a_run(3, id="good"), a_run(3, id="better"))
    wrong = [a_result(number) for number in range(6000)]
    wrong[5999]["userScore"] = "many"
    wrong[17]["taskTitle"] = None
    saved(folder / "wrong.json", dumped(a_run(wrong, id="wrong")))
    saved(folder / "truncated.json", dumped(a_run(3, id="truncated"))[:-40])
    saved(folder / "damaged.csv.gz", b"\x1f\x8b\x08\x00damaged")
    return folder


def test_broken_runs_are_an_error_that_lists_every_failure_of_all_of_them(mixed: Path) -> None:
    for text in ("sub-001", "nobody"):
        with pytest.raises(InvalidRunError) as caught:
            ak.find_results(text, source=mixed)
        failures = caught.value.failures
        named = failures.groupby(failures.file.map(os.path.basename)).position.apply(list).to_dict()
        assert set(named) == {"wrong.json", "truncated.json", "damaged.csv.gz"}
        assert named["wrong.json"] == [17, 5999]
        assert caught.value.failure_count == len(failures)


def test_broken_runs_can_be_left_out_with_all_that_was_found_in_them(mixed: Path) -> None:
    found = ak.find_results("sub-001", source=mixed, on_error="skip")
    assert places(found) == [("good", 1), ("better", 1)]
    assert len(ak.find_results("nobody", source=mixed, on_error="skip")) == 0


def test_one_broken_run_of_a_file_is_a_failure_of_that_file(tmp_path: Path) -> None:
    some = [a_run(2, id="a"), a_run([a_result(0), a_result(1, aiScore=None)], id="b"), a_run(2, id="c")]
    source = saved(tmp_path / "runs.json", dumped(some))
    with pytest.raises(InvalidRunError, match="aiScore") as caught:
        ak.find_results("sub-001", source=source)
    assert set(caught.value.failures.run_id) == {"b"}


@pytest.mark.parametrize("on_error", ["ignore", "", None, True])
def test_an_unknown_way_to_treat_errors_is_refused_before_a_source_is_asked(on_error: Any) -> None:
    with pytest.raises(InvalidOptionError, match=f"on_error={on_error!r}"):
        ak.find_results("sub-001", source="no such folder", on_error=on_error)


@pytest.mark.parametrize(
    "text", ["", None, 7, 7.0, True, b"sub-001", ["sub-001"], float("nan"), "\ud800", "a\udcff"]
)
def test_what_is_no_id_is_refused_before_a_source_is_asked(text: Any) -> None:
    with pytest.raises(InvalidOptionError, match="no id to look for"):
        ak.find_results(text, source="no such folder")


def test_an_id_may_come_out_of_a_frame(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "runs", *some_runs())
    wanted = np.array(["sub-x"])[0]
    assert len(ak.find_results(wanted, source=source)) == 3
