"""Frames always have the same columns and dtypes, and say what the files say."""

from __future__ import annotations

import gzip
import json
import random
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from children import python, succeed
from hypothesis import given, settings
from records import (
    RESULT_COLUMNS,
    RUN_COLUMNS,
    Record,
    a_result,
    a_run,
    dumped,
    load_one,
    saved,
    without,
    written,
)
from reference_exporter import DOUBLES
from strategies import runs

import auditkit as ak
from auditkit.load import iter_results

SAMPLES = Path(__file__).parents[1] / "sample_data" / "runs"

# DESIGN §3.
UTC = "datetime64[us, UTC]"
DEVIATIONS = pd.CategoricalDtype(["none", "minor", "major", "critical"], ordered=True)
ACTIONS = pd.CategoricalDtype(["allow", "flag_for_review", "escalate", "override"], ordered=False)
DIFFICULTIES = pd.CategoricalDtype(["easy", "medium", "hard", "expert"], ordered=True)
STATUSES = pd.CategoricalDtype(["completed", "failed", "running"], ordered=False)
RESULT_DTYPES: dict[str, Any] = {
    "run_id": "str",
    "position": "int64",
    "result_id": "str",
    "submission_id": "str",
    "user_id": "str",
    "user_score": "float64",
    "ai_score": "float64",
    "deviation": "float64",
    "deviation_type": DEVIATIONS,
    "suggested_action": ACTIONS,
    "action_taken": ACTIONS,
    "task_title": "str",
    "skill_area": "str",
    "task_difficulty": DIFFICULTIES,
    "timestamp": UTC,
    "reviewer": "str",
    "notes": "str",
}
RUN_DTYPES: dict[str, Any] = {
    "run_id": "str",
    "run_reviewer": "str",
    "started_at": UTC,
    "completed_at": UTC,
    "run_task_title": "str",
    "run_task_difficulty": DIFFICULTIES,
    "run_skill_area": "str",
    "status": STATUSES,
    "total_submissions": "int64",
    "average_deviation": "float64",
    "critical_flags": "int64",
}
INPUTS = ["json", "flat", "lines", "csv", "parquet", "gz", "zst"]


@pytest.fixture(scope="module")
def module_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in (1, 2, 3):
        saved(tmp_path / f"run-00{number}.json", dumped(a_run(number, id=f"run-00{number}")))
    return tmp_path


def stored(run: Record, path: Path, kind: str) -> Path:
    """A file of that kind that holds the run."""
    made = load_one(saved(path, dumped(run)))
    data = {
        "json": lambda: dumped(run),
        "flat": lambda: written(made, "json", flatten_results=True),
        "lines": lambda: written(made, "jsonl"),
        "csv": lambda: written(made, "csv"),
        "parquet": lambda: written(made, "parquet"),
        "gz": lambda: gzip.compress(dumped(run)),
        "zst": lambda: pa.compress(dumped(run), codec="zstd", asbytes=True),
    }[kind]()
    return saved(path.with_suffix(".jsonl" if kind == "lines" else ".json"), data)


def assert_dtypes(frame: pd.DataFrame, expected: dict[str, Any]) -> None:
    assert list(frame.columns) == list(expected)
    wanted = {name: pd.api.types.pandas_dtype(dtype) for name, dtype in expected.items()}
    assert frame.dtypes.to_dict() == wanted
    for name, dtype in wanted.items():
        if isinstance(dtype, pd.CategoricalDtype):
            got = frame[name].dtype
            assert isinstance(got, pd.CategoricalDtype)
            assert list(got.categories) == list(dtype.categories)
            assert got.ordered == dtype.ordered
            assert got.categories.dtype == pd.api.types.pandas_dtype("str")


# dtypes.


@pytest.mark.parametrize("kind", INPUTS)
def test_results_have_the_same_dtypes_whatever_they_come_from(tmp_path: Path, kind: str) -> None:
    plain = a_run(3)
    bare = a_run([a_result(0, reviewer=None, notes=None, actionTaken=None)], reviewer="")
    for run in (plain, bare):
        path = stored(run, tmp_path / "run.json", kind)
        assert_dtypes(ak.load_results(source=path), RESULT_DTYPES)
        assert_dtypes(ak.load_run("run-001", source=path).results, RESULT_DTYPES)
        assert_dtypes(ak.load_results(["run-001"], source=path), RESULT_DTYPES)


@pytest.mark.parametrize("kind", INPUTS)
def test_runs_have_the_same_dtypes_whatever_they_come_from(tmp_path: Path, kind: str) -> None:
    for run in (a_run(2), a_run(2, completedAt=None, averageDeviation=None, status="running")):
        path = stored(run, tmp_path / "run.json", kind)
        assert_dtypes(ak.load_runs(source=path), RUN_DTYPES)


@pytest.mark.parametrize("kind", ["json", "parquet", "gz", "zst"])
def test_empty_results_have_the_same_dtypes(tmp_path: Path, kind: str) -> None:
    path = stored(a_run(0), tmp_path / "run.json", kind)
    for frame in (ak.load_results(source=path), ak.load_run("run-001", source=path).results):
        assert len(frame) == 0
        assert_dtypes(frame, RESULT_DTYPES)


def test_frames_without_any_run_have_the_same_dtypes(tmp_path: Path, folder: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert_dtypes(ak.load_runs(source=empty), RUN_DTYPES)
    assert_dtypes(ak.load_results(source=empty), RESULT_DTYPES)
    assert_dtypes(ak.load_results([], source=folder), RESULT_DTYPES)


def test_frames_of_mixed_inputs_have_the_same_dtypes(tmp_path: Path) -> None:
    for number, kind in enumerate(INPUTS):
        path = stored(a_run(number, id=f"run-{number}"), tmp_path / "run.json", kind)
        path.rename(tmp_path / f"{number}.{path.suffix}")
        (tmp_path / "run.json").unlink(missing_ok=True)
    saved(tmp_path / "running.json", dumped(a_run(1, id="running", completedAt=None)))
    assert_dtypes(ak.load_results(source=tmp_path), RESULT_DTYPES)
    assert_dtypes(ak.load_runs(source=tmp_path), RUN_DTYPES)


def test_counts_are_whole_numbers_also_where_one_file_cannot_carry_them(tmp_path: Path) -> None:
    made = load_one(saved(tmp_path / "a.json", dumped(a_run(1, id="a", totalSubmissions=2**53 + 1))))
    saved(tmp_path / "b.csv", written(load_one(tmp_path / "a.json"), "csv", include_metadata=False))
    frame = ak.load_runs(source=[tmp_path / "a.json"])
    assert frame["total_submissions"].to_list() == [2**53 + 1]
    saved(tmp_path / "a.json", dumped(a_run(1, id="other", totalSubmissions=2**53 + 1)))
    frame = ak.load_runs(source=tmp_path)
    assert frame["total_submissions"].isna().to_list() == [False, True]
    assert frame["total_submissions"].iloc[0] == 2**53 + 1, "a float would have lost the last digit"
    assert made.total_submissions == 2**53 + 1


@pytest.mark.parametrize("where", ["run", "result"])
def test_the_column_extra_is_there_only_where_something_unknown_is(tmp_path: Path, where: str) -> None:
    group = [a_run(2, id="a"), a_run([a_result(0), a_result(1)], id="b")]
    path = saved(tmp_path / "runs.json", dumped(group))
    assert "extra" not in ak.load_runs(source=path)
    assert "extra" not in ak.load_results(source=path)
    (group[1] if where == "run" else group[1]["results"][1]).update(x=[1.0, "é"], y=None)
    saved(path, dumped(group))
    runs_frame, results = ak.load_runs(source=path), ak.load_results(source=path)
    frame = runs_frame if where == "run" else results
    assert "extra" not in (results if where == "run" else runs_frame)
    assert list(frame.columns)[-1] == "extra"
    assert frame["extra"].dtype == pd.api.types.pandas_dtype("str")
    assert frame["extra"].isna().to_list() == [True] * (len(frame) - 1) + [False]
    assert frame["extra"].iloc[-1] == '{"x":[1,"é"],"y":null}'
    assert_dtypes(results.drop(columns="extra", errors="ignore"), RESULT_DTYPES)
    assert_dtypes(runs_frame.drop(columns="extra", errors="ignore"), RUN_DTYPES)


# Values.


@settings(max_examples=40, deadline=None)
@given(runs())
def test_a_frame_says_what_the_file_says(module_folder: Path, run: Record) -> None:
    path = saved(module_folder / "run.json", dumped(run))
    frame = ak.load_results(source=path)
    rows = run["results"]
    assert frame["run_id"].to_list() == [run["id"]] * len(rows)
    assert frame["position"].to_list() == list(range(len(rows)))
    for key, column in RESULT_COLUMNS.items():
        values = [row.get(key) for row in rows]
        if key == "timestamp":
            assert frame[column].to_list() == [instant(value) for value in values]
        else:
            got = [None if pd.isna(value) else value for value in frame[column]]
            assert got == [float(value) if key in DOUBLES else value for value in values]
    (header,) = ak.load_runs(source=path).to_dict("records")
    for key, column in RUN_COLUMNS.items():
        value = run.get(key)
        if value is None:
            assert pd.isna(header[column])
        else:
            expected = instant(value) if key.endswith("At") else float(value) if key in DOUBLES else value
            assert header[column] == expected


def instant(text: str) -> pd.Timestamp:
    """The instant of an RFC 3339 text, to the microsecond, worked out with integers."""
    day, clock = text[:10], text[11:19]
    rest = text[19:]
    fraction = ""
    if rest.startswith("."):
        end = next(n for n in range(1, len(rest)) if not rest[n].isdecimal())
        fraction, rest = rest[1:end], rest[end:]
    minutes = 0
    if rest != "Z":
        minutes = (int(rest[1:3]) * 60 + int(rest[4:6])) * (-1 if rest[0] == "-" else 1)
    whole = np.datetime64(f"{day}T{clock}", "us")
    micros = int((fraction + "000000")[:6])
    moment = whole + np.timedelta64(micros, "us") - np.timedelta64(minutes, "m")
    return pd.Timestamp(moment).tz_localize("UTC")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-15T10:00:00Z", "2024-01-15 10:00:00+00:00"),
        ("2024-01-15T10:00:00+05:30", "2024-01-15 04:30:00+00:00"),
        ("2024-01-15T10:00:00-05:30", "2024-01-15 15:30:00+00:00"),
        ("2024-01-15T00:00:00+23:59", "2024-01-14 00:01:00+00:00"),
        ("2024-01-15T10:00:00.123456Z", "2024-01-15 10:00:00.123456+00:00"),
        ("2024-01-15T10:00:00.1234569Z", "2024-01-15 10:00:00.123456+00:00"),
        ("2024-01-15T10:00:00.9999999999999Z", "2024-01-15 10:00:00.999999+00:00"),
        ("1969-12-31T23:59:59.9999999Z", "1969-12-31 23:59:59.999999+00:00"),
        ("2024-12-31T23:59:59-00:01", "2025-01-01 00:00:59+00:00"),
        ("2024-02-29T12:00:00.5Z", "2024-02-29 12:00:00.500000+00:00"),
        ("0001-01-01T00:00:00+01:00", None),
        ("9999-12-31T23:59:59-01:00", None),
    ],
)
def test_timestamps_become_instants_and_digits_past_the_microsecond_are_cut(
    tmp_path: Path, text: str, expected: str | None
) -> None:
    run = a_run([a_result(0, timestamp=text), a_result(1)], startedAt=text, completedAt=text)
    path = saved(tmp_path / "run.json", dumped(run))
    table = ak.load_runs(source=path)
    columns = (ak.load_results(source=path)["timestamp"], table["started_at"], table["completed_at"])
    values = [column.iloc[0] for column in columns]
    assert values == [instant(text)] * 3
    if expected is not None:
        assert [str(value) for value in values] == [expected] * 3
    assert ak.load_run("run-001", source=path).started_at == text


def test_a_running_run_has_no_end(tmp_path: Path) -> None:
    group = [
        a_run(1, id="a", status="running", completedAt=None),
        a_run(1, id="b"),
        without(a_run(1, id="c", status="running"), "completedAt"),
    ]
    path = saved(tmp_path / "runs.json", dumped(group))
    frame = ak.load_runs(source=path)
    assert frame["completed_at"].isna().to_list() == [True, False, True]
    assert frame["completed_at"].iloc[0] is pd.NaT
    assert frame["completed_at"].iloc[1] == pd.Timestamp("2024-01-15T12:30:00Z")
    assert frame["status"].to_list() == ["running", "completed", "running"]
    only = saved(tmp_path / "one.json", dumped(group[0]))
    assert ak.load_runs(source=only)["completed_at"].iloc[0] is pd.NaT


def test_deviation_types_and_difficulties_are_ordered_from_small_to_large(tmp_path: Path) -> None:
    kinds = ["critical", "none", "major", "minor"]
    levels = ["expert", "easy", "hard", "medium"]
    rows = [
        a_result(n, deviationType=kind, taskDifficulty=level)
        for n, (kind, level) in enumerate(zip(kinds, levels, strict=True))
    ]
    frame = ak.load_results(source=saved(tmp_path / "run.json", dumped(a_run(rows))))
    assert frame["deviation_type"].sort_values().to_list() == ["none", "minor", "major", "critical"]
    assert frame["task_difficulty"].sort_values().to_list() == ["easy", "medium", "hard", "expert"]
    assert (frame["deviation_type"] >= "major").to_list() == [True, False, True, False]
    assert frame["deviation_type"].max() == "critical"


def test_a_frame_belongs_to_its_caller(folder: Path) -> None:
    frame = ak.load_results(["run-003"], source=folder)
    frame.loc[0, "user_score"] = -1.0
    frame["notes"] = frame["notes"].str.upper()
    frame.loc[1, "deviation_type"] = "critical"
    again = ak.load_results(["run-003"], source=folder)
    assert again["user_score"].to_list() == [85.0] * 3
    assert again["deviation_type"].to_list() == ["minor"] * 3


# Which runs.


def test_results_come_run_by_run_in_the_order_asked(folder: Path) -> None:
    frame = ak.load_results(["run-003", "run-001"], source=folder)
    assert frame["run_id"].to_list() == ["run-003"] * 3 + ["run-001"]
    assert frame["position"].to_list() == [0, 1, 2, 0]
    assert frame.index.to_list() == [0, 1, 2, 3]


def test_without_ids_the_results_of_all_runs_are_loaded(folder: Path) -> None:
    frame = ak.load_results(source=folder)
    assert frame["run_id"].to_list() == ["run-001"] + ["run-002"] * 2 + ["run-003"] * 3


def test_one_id_may_be_given_as_a_text(folder: Path) -> None:
    pd.testing.assert_frame_equal(
        ak.load_results("run-002", source=folder), ak.load_results(["run-002"], source=folder)
    )


@pytest.mark.parametrize("kind", [tuple, list, iter, pd.Series, np.array, pd.Index, dict.fromkeys])
def test_ids_may_be_any_iterable(folder: Path, kind: Any) -> None:
    ids = kind(["run-001", "run-003"])
    assert set(ak.load_results(ids, source=folder)["run_id"]) == {"run-001", "run-003"}


def test_the_ids_of_load_runs_can_be_handed_on(folder: Path) -> None:
    table = ak.load_runs(source=folder)
    frame = ak.load_results(table.loc[table["total_submissions"] > 0, "run_id"], source=folder)
    assert len(frame) == 6
    assert len(ak.load_run(table["run_id"].iloc[1], source=folder).results) == 2


def test_a_run_asked_for_twice_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="twice") as caught:
        ak.load_results(["run-001", "run-002", "run-001"], source=folder)
    assert isinstance(caught.value, ak.errors.AuditkitError)


def test_the_results_of_a_run_are_those_of_load_results(folder: Path) -> None:
    run = ak.load_run("run-003", source=folder)
    pd.testing.assert_frame_equal(run.results, ak.load_results(["run-003"], source=folder))


def test_a_run_has_the_attributes_of_its_header(folder: Path) -> None:
    run = ak.load_run("run-002", source=folder)
    assert (run.id, run.reviewer, run.status) == ("run-002", "admin-1", "completed")
    assert (run.started_at, run.completed_at) == ("2024-01-15T10:00:00Z", "2024-01-15T12:30:00Z")
    assert (run.task_title, run.task_difficulty, run.skill_area) == (
        "Build a responsive navigation bar",
        "medium",
        "frontend",
    )
    assert (run.total_submissions, run.average_deviation, run.critical_flags) == (3, 7.0, 0)
    assert run.absent_fields == ()
    assert run.extra is None


def test_the_sample_runs_are_loaded_as_their_files_say() -> None:
    files = sorted(SAMPLES.glob("*.json"))
    assert ak.list_available_runs(source=SAMPLES) == [file.stem for file in files]
    texts = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    frame = ak.load_runs(source=SAMPLES)
    assert frame["total_submissions"].to_list() == [text["totalSubmissions"] for text in texts]
    results = ak.load_results(source=SAMPLES)
    expected = [row["userScore"] for text in texts for row in text["results"]]
    assert results["user_score"].to_list() == expected
    assert len(ak.load_failures(source=SAMPLES)) == 0


# What is not there.


@pytest.mark.parametrize("asked", ["run-01", "run001", "RUN-001", "run-0011", "un-001"])
def test_an_unknown_run_is_told_with_the_nearest_ids(folder: Path, asked: str) -> None:
    with pytest.raises(ak.errors.RunNotFoundError) as caught:
        ak.load_run(asked, source=folder)
    assert isinstance(caught.value, LookupError)
    message = str(caught.value)
    assert repr(asked) in message
    assert "'run-001'" in message
    assert str(folder) in message
    for load in (ak.load_results, ak.load_results):
        with pytest.raises(ak.errors.RunNotFoundError, match="run-001"):
            load([asked], source=folder)


def test_an_unknown_run_unlike_any_other_is_told_where_to_look(folder: Path) -> None:
    with pytest.raises(ak.errors.RunNotFoundError, match="list") as caught:
        ak.load_run("zzz", source=folder)
    assert "Did you mean" not in str(caught.value)


def test_an_unknown_run_of_a_partly_broken_folder_says_so(folder: Path) -> None:
    saved(folder / "broken.json", b"{")
    with pytest.raises(ak.errors.RunNotFoundError, match=r"broken\.json|load_failures"):
        ak.load_run("zzz", source=folder)


@pytest.mark.parametrize("run_id", ["a\nb", "\0", "x" * 1025, "\ud800", "\x9f"])
def test_what_cannot_be_a_run_id_is_refused(folder: Path, run_id: str) -> None:
    with pytest.raises(ak.errors.InvalidRunIdError):
        ak.load_run(run_id, source=folder)


@pytest.mark.parametrize(
    "load",
    [
        ak.list_available_runs,
        ak.load_runs,
        ak.load_results,
        ak.load_failures,
        lambda **options: ak.load_run("run-001", **options),
    ],
    ids=["list", "runs", "results", "failures", "run"],
)
def test_the_source_is_named_by_argument_or_environment_or_the_error_says_how(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: Any
) -> None:
    monkeypatch.delenv("AUDITKIT_SOURCE", raising=False)
    for nothing in ({}, {"source": None}):
        with pytest.raises(ak.errors.NoSourceError, match="AUDITKIT_SOURCE") as caught:
            load(**nothing)
        assert isinstance(caught.value, ValueError)
    monkeypatch.setenv("AUDITKIT_SOURCE", "")
    with pytest.raises(ak.errors.NoSourceError):
        load()
    monkeypatch.setenv("AUDITKIT_SOURCE", str(folder))
    load()
    monkeypatch.setenv("AUDITKIT_SOURCE", str(tmp_path / "missing"))
    with pytest.raises(FileNotFoundError, match="missing"):
        load()
    load(source=folder)


def test_an_on_error_that_is_neither_is_refused(folder: Path) -> None:
    for load in (ak.load_runs, ak.list_available_runs):
        with pytest.raises(ValueError, match="ignore"):
            load(source=folder, on_error="ignore")  # type: ignore[arg-type]


def test_the_failures_of_a_sound_source_are_an_empty_frame(folder: Path) -> None:
    frame = ak.load_failures(source=folder)
    assert len(frame) == 0
    assert list(frame.columns) == ["file", "run_id", "position", "field", "value", "rule"]
    saved(folder / "bad.json", dumped(a_run([a_result(0, aiScore="x")], id="bad")))
    broken = ak.load_failures(source=folder)
    assert broken.dtypes.to_dict() == frame.dtypes.to_dict()
    (row,) = broken.to_dict("records")
    assert Path(row["file"]).name == "bad.json"
    assert (row["run_id"], row["position"], row["field"]) == ("bad", 0, "aiScore")
    assert "x" in row["value"]


def test_a_broken_run_is_refused_with_all_its_failures(tmp_path: Path) -> None:
    rows = [a_result(0, aiScore="x"), a_result(1), a_result(2, userId=None)]
    path = saved(tmp_path / "run.json", dumped(a_run(rows)))
    for load in (lambda: ak.load_run("run-001", source=path), lambda: ak.load_results(source=path)):
        with pytest.raises(ak.errors.InvalidRunError) as caught:
            load()
        frame = caught.value.failures
        assert frame["position"].to_list() == [0, 2]
        assert frame["field"].to_list() == ["aiScore", "userId"]
        assert frame["run_id"].to_list() == ["run-001"] * 2


NAMING = ["run_id", "position"]
SOME_EXTRA = {"machine": "m-1"}


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same runs as JSON, as one Parquet file, and as Parquet datasets: flat and partitioned."""
    from pyarrow import parquet

    home = tmp_path_factory.mktemp("everywhere")
    chance = random.Random(7)
    for number in range(3):
        rows = [_random_result(chance, n) for n in range(40)]
        if number == 1:
            rows[5] |= SOME_EXTRA
        saved(home / f"run-{number}.json", dumped(a_run(rows, id=f"run-{number}", totalSubmissions=40)))
    held = ak.export_results(
        ak.load_results(source=home), "parquet", name="all", source=home, output_dir=home / "out"
    )
    table = parquet.read_table(held)
    (home / "flat").mkdir()
    for start in range(0, len(table), 25):
        parquet.write_table(table.slice(start, 25), home / "flat" / f"{start:03}.parquet", row_group_size=10)
    parquet.write_to_dataset(table, home / "hive", partition_cols=["run_id"], max_rows_per_group=10)
    return {
        "json": home,
        "file": Path(held),
        "flat": f"parquet:{home / 'flat'}",
        "hive": f"parquet:{home / 'hive'}",
        "one": f"parquet:{Path(held)}",
    }


def _random_result(chance: random.Random, number: int) -> Record:
    return a_result(
        number,
        userId=f"user-{chance.randrange(9)}",
        userScore=chance.randrange(0, 1000) / 10,
        aiScore=chance.randrange(0, 1000) / 10,
        deviation=chance.randrange(0, 1000) / 10,
        deviationType=chance.choice(["none", "minor", "major", "critical"]),
        actionTaken=chance.choice(["allow", "escalate", None]),
        timestamp=f"2024-01-{chance.randrange(10, 20)}T10:15:00{chance.choice(['Z', '+02:00'])}",
        notes=chance.choice([None, "", "fine", "Größe"]),
    )


def _random_filter(chance: random.Random) -> ak.Filter:
    low = chance.randrange(100)
    days = sorted(f"2024-01-{chance.randrange(10, 20)}" for _ in range(2))
    conditions: dict[str, Any] = {
        "user_score": (low, low + 30),
        "difference": (chance.choice([None, -20]), 20),
        "deviation_type": chance.sample(["none", "minor", "major", "critical"], 2),
        "action_taken": ["allow", None],
        "timestamp": tuple(days),
        "notes": chance.choice([("", None), "e"]),
        "user_id": (f"user-{chance.randrange(12)}", "user-1"),
        "run_id": chance.choice(["run", ("run-1", "run-2"), "-0"]),
        "position": (chance.randrange(40), None),
    }
    names = chance.sample(sorted(conditions), chance.randrange(4))
    return ak.Filter(**{name: conditions[name] for name in names})


@pytest.mark.parametrize("kind", ["json", "file", "flat", "hive", "one"])
def test_columns_and_a_filter_give_what_they_would_of_the_whole_frame(
    everywhere: dict[str, Any], kind: str
) -> None:
    whole = ak.load_results(source=everywhere["json"])
    chance = random.Random(20240115)
    hits = 0
    for _ in range(25):
        asked = _random_filter(chance)
        columns = chance.sample([*whole.columns], chance.randrange(6))
        names = [name for name in columns if name not in NAMING]
        expected = asked.apply(whole)[[*NAMING, *names]].reset_index(drop=True)
        found = ak.load_results(source=everywhere[kind], columns=columns, filter=asked)
        pd.testing.assert_frame_equal(found, expected)
        pieces = list(iter_results(source=everywhere[kind], columns=columns, filter=asked, batch_rows=7))
        assert [len(piece) for piece in pieces[:-1]] == [7] * (len(pieces) - 1)
        if pieces:
            pd.testing.assert_frame_equal(pd.concat(pieces), expected)
        assert bool(pieces) == bool(len(expected))
        hits += 0 < len(expected) < len(whole)
    assert hits > 5  # most filters left some rows, and not all


@pytest.mark.parametrize("kind", ["json", "file", "flat", "hive", "one"])
def test_all_frames_together_are_the_one_frame(everywhere: dict[str, Any], kind: str) -> None:
    whole = ak.load_results(source=everywhere["json"])
    for rows in (1, 13, 40, 120, 1000):
        pieces = list(iter_results(source=everywhere[kind], batch_rows=rows))
        pd.testing.assert_frame_equal(pd.concat(pieces), whole)
        assert {tuple(piece.dtypes.astype(str)) for piece in pieces} == {tuple(whole.dtypes.astype(str))}


def test_runs_come_in_the_order_in_which_they_were_named(everywhere: dict[str, Any]) -> None:
    ids = ["run-2", "run-0"]
    frame = ak.load_results(ids, source=everywhere["flat"], columns="user_id")
    assert list(dict.fromkeys(frame.run_id)) == ids
    pd.testing.assert_frame_equal(
        pd.concat(iter_results(ids, source=everywhere["flat"], columns="user_id", batch_rows=9)), frame
    )


def test_unknown_fields_are_there_where_some_row_that_is_left_has_one(everywhere: dict[str, Any]) -> None:
    def load(**wanted: Any) -> pd.DataFrame:
        return ak.load_results(source=everywhere["json"], **wanted)

    assert "extra" in load(filter=ak.Filter(run_id=("run-1",)))
    assert "extra" not in load(filter=ak.Filter(run_id=("run-2",)))
    asked = load(columns=["extra"], filter=ak.Filter(run_id=("run-1",), position=(4, 5)))
    assert asked.extra.fillna("none").to_list() == ["none", '{"machine":"m-1"}']
    assert all("extra" in frame for frame in iter_results("run-2", source=everywhere["json"]))


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"columns": ["user_scor"]}, "'user_score'"),
        ({"columns": ["difference"]}, "difference"),
        ({"columns": ["notes", "notes"]}, "twice"),
        ({"columns": ["run_reviewer"]}, "run_reviewer"),
        ({"filter": {"deviation": (1, None)}}, "no filter"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_at_the_call(
    everywhere: dict[str, Any], wanted: dict[str, Any], said: str
) -> None:
    for load in (ak.load_results, iter_results):
        with pytest.raises(ak.errors.InvalidOptionError, match=said):
            load(source=everywhere["json"], **wanted)


@pytest.mark.parametrize("rows", [0, -1, 1.5, True, "10"])
def test_a_number_of_rows_that_is_none_is_refused_at_the_call(everywhere: dict[str, Any], rows: Any) -> None:
    with pytest.raises(ak.errors.InvalidOptionError, match="batch_rows"):
        iter_results(source=everywhere["json"], batch_rows=rows)


def test_a_run_that_is_not_there_is_told_at_the_call(everywhere: dict[str, Any]) -> None:
    with pytest.raises(ak.errors.RunNotFoundError):
        iter_results(["run-0", "run-9"], source=everywhere["json"])


def test_a_broken_run_is_told_when_it_is_met(tmp_path: Path) -> None:
    saved(tmp_path / "a.json", dumped(a_run(3, id="a")))
    saved(tmp_path / "b.json", dumped(a_run([a_result(0), a_result(1, aiScore="x")], id="b")))
    frames = iter_results(source=tmp_path, batch_rows=2)
    assert len(next(frames)) == 2
    with pytest.raises(ak.errors.InvalidRunError, match="row 1"):
        list(frames)
    with pytest.raises(ak.errors.InvalidRunError, match="row 1"):
        ak.load_results(source=tmp_path, columns=["ai_score"])


STREAMED = """
import sys
import auditkit as ak
from auditkit.load import iter_results
count = 0
if sys.argv[2] == "stream":
    for frame in iter_results(source=sys.argv[1], batch_rows=50_000):
        count += len(frame)
else:
    count = len(ak.load_results(source=sys.argv[1]))
(peak,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(count, int(peak) // 1024)  # ru_maxrss would count the parent as well
"""


@pytest.fixture(scope="module")
def million(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A dataset of a million results in files of 100,000."""
    from pyarrow import parquet

    home = tmp_path_factory.mktemp("million")
    path = saved(home / "run.json", dumped(a_run(20_000, totalSubmissions=1_000_000), None))
    table = parquet.read_table(
        ak.export_audit_run("run-001", "parquet", source=path, output_dir=home / "out")
    )
    (home / "audits").mkdir()
    for number in range(10):
        with parquet.ParquetWriter(home / "audits" / f"{number}.parquet", table.schema) as writer:
            for _ in range(5):
                writer.write_table(table)
    return f"parquet:{home / 'audits'}"


def test_a_million_results_pass_through_little_memory(million: str, tmp_path: Path) -> None:
    def peak(how: str) -> int:
        count, megabytes = succeed(python("-c", STREAMED, million, how, cwd=tmp_path)).split()
        assert count == "1000000"
        return int(megabytes)

    assert peak("stream") < 350 < peak("whole")


SECRET = "S3CR3T-of-the-auditor"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "Postgresql", "POSTGRESQL+psycopg"])
def test_the_scheme_of_a_database_may_be_short_or_in_capitals(scheme: str) -> None:
    source = ak.open_source(f"{scheme}://me:{SECRET}@127.0.0.1:1/audits")
    assert source.location == "postgresql+psycopg://me@127.0.0.1:1/audits"


@pytest.mark.parametrize(
    "place",
    [
        f"postgresql:me:{SECRET}@host/audits",
        f"postgres:/me:{SECRET}@host/audits",
        f" postgresql://me:{SECRET}@host/audits",
        f"\tMySQL+pymysql://me:{SECRET}@host/audits",
        Path(f"postgresql://me:{SECRET}@host/audits"),
        ["runs", f"postgresql://me:{SECRET}@host/audits"],
    ],
)
def test_what_is_nearly_the_url_of_a_database_is_not_shown(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ak.errors.NoSourceError) as caught:
        ak.list_available_runs(source=place)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    if not isinstance(place, list):
        monkeypatch.setenv("AUDITKIT_SOURCE", str(place))
        with pytest.raises(ak.errors.NoSourceError) as caught:
            ak.list_available_runs()
        assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_file_may_be_called_like_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "sqlite:runs", dumped(a_run(1)))
    assert ak.list_available_runs(source="sqlite:runs") == ["run-001"]
