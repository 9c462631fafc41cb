"""load(export(run)) is the run: exactly for nested JSON and Parquet, else but for a list of losses."""

from __future__ import annotations

import dataclasses
import gzip
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import reference_exporter as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from records import (
    OTHERS,
    RESULT_COLUMNS,
    RUN_COLUMNS,
    Record,
    a_result,
    a_run,
    dumped,
    found,
    load_all,
    load_one,
    meaning,
    meanings,
    saved,
    without,
    written,
)
from strategies import runs

import auditkit as ak

some = settings(max_examples=30, deadline=None)
few = settings(max_examples=20, deadline=None)

HOSTILE_IDS = (
    "007",
    "1e5",
    "NA",
    "N/A",
    "null",
    "None",
    "nan",
    "NaN",
    "inf",
    "true",
    "",
    " 1 ",
    "-0",
    "1_000",
)
FORMATS = {
    "nested": ("json", {}),
    "flat": ("json", {"flatten_results": True}),
    "lines": ("jsonl", {}),
    "csv": ("csv", {}),
    "csv for excel": ("csv", {"excel": True}),
    "parquet": ("parquet", {}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def opened(run: Record, folder: Path) -> ak.AuditRun:
    return load_one(saved(folder / "recorded.json", dumped(run)))


def reloaded(
    run: ak.AuditRun, folder: Path, format: str, *, guarded_file: bool = True, **options: Any
) -> list[ak.AuditRun]:
    """What a file of the run holds; its name says nothing of its format."""
    return load_all(saved(folder / "exported", written(run, format, **options)), formula_guard=guarded_file)


def after_flat(run: Record) -> list[Record]:
    """What flat records keep of a run's meaning: of a run with results eight fields and those."""
    if not run["results"]:
        return []
    return [without(run, "taskTitle", "taskDifficulty", "skillArea", OTHERS)]


def after_csv(run: Record) -> list[Record]:
    """What the CSV keeps of a run's meaning."""
    if not run["results"]:
        return []
    kept = without(run, "reviewer", "taskTitle", "taskDifficulty", "skillArea", OTHERS)
    if "averageDeviation" in kept:
        # Math.round(x * 100) / 100 of ECMAScript: the nearest whole number, a half up.
        kept["averageDeviation"] = reference.math_round(kept["averageDeviation"] * 100) / 100
    kept["results"] = [_result_after_csv(result, run.get("reviewer")) for result in run["results"]]
    return [kept]


def _result_after_csv(result: Record, run_reviewer: str | None) -> Record:
    kept = without(result, "id", OTHERS)
    if "reviewer" not in kept and run_reviewer is not None:
        kept["reviewer"] = run_reviewer
    return {key: value for key, value in kept.items() if key not in ("reviewer", "notes") or value != ""}


def id_alone(run: Record) -> Record:
    """A run written without metadata."""
    return {"id": run["id"], "results": run["results"]}


@some
@given(runs())
def test_nested_json_gives_the_run_back(folder: Path, run: Record) -> None:
    made = opened(run, folder)
    (again,) = reloaded(made, folder, "json")
    assert found(again) == meaning(run)
    assert again == made
    assert written(again, "json") == written(made, "json")


@some
@given(runs())
def test_parquet_gives_the_run_back(folder: Path, run: Record) -> None:
    made = opened(run, folder)
    (again,) = reloaded(made, folder, "parquet")
    assert found(again) == meaning(run)
    assert again == made
    assert written(again, "parquet") == written(made, "parquet")


@some
@given(runs())
def test_flat_json_gives_the_run_back_but_for_its_losses(folder: Path, run: Record) -> None:
    again = reloaded(opened(run, folder), folder, "json", flatten_results=True)
    assert [found(one) for one in again] == after_flat(meaning(run))
    for one in again:
        assert set(one.absent_fields) == {"run_task_title", "run_task_difficulty", "run_skill_area"}
        assert written(one, "json", flatten_results=True) == reference.flat_json(run)


@some
@given(runs())
def test_json_lines_give_the_run_back_but_for_their_losses(folder: Path, run: Record) -> None:
    lines = written(opened(run, folder), "jsonl")
    again = load_all(saved(folder / "exported.jsonl", lines))
    assert [found(one) for one in again] == after_flat(meaning(run))
    for one in again:
        assert set(one.absent_fields) == {"run_task_title", "run_task_difficulty", "run_skill_area"}
        assert written(one, "jsonl") == lines


@some
@given(runs(), st.booleans(), st.booleans())
def test_csv_gives_the_run_back_but_for_its_losses(
    folder: Path, run: Record, guard: bool, excel: bool
) -> None:
    made = opened(run, folder)
    again = reloaded(made, folder, "csv", guarded_file=guard, formula_guard=guard, excel=excel)
    assert [found(one) for one in again] == after_csv(meaning(run))
    for one in again:
        assert set(one.absent_fields) == {
            "result_id",
            "run_reviewer",
            "run_task_title",
            "run_task_difficulty",
            "run_skill_area",
        }
        assert written(one, "csv", formula_guard=guard, excel=excel) == written(
            made, "csv", formula_guard=guard, excel=excel
        )


@few
@given(runs())
def test_without_metadata_every_format_keeps_the_run_id_and_the_results(folder: Path, run: Record) -> None:
    made = opened(run, folder)
    whole = meaning(run)
    expected = {
        "nested": [id_alone(whole)],
        "parquet": [id_alone(whole)],
        "flat": [id_alone(kept) for kept in after_flat(whole)],
        "lines": [id_alone(kept) for kept in after_flat(whole)],
        "csv": [id_alone(kept) for kept in after_csv(whole)],
    }
    header = {column for key, column in RUN_COLUMNS.items() if key != "id"}
    for name, wanted in expected.items():
        format, options = FORMATS[name]
        if format == "jsonl" and not wanted:
            continue  # an empty file, which only its name explains
        again = reloaded(made, folder, format, include_metadata=False, **options)
        assert [found(one) for one in again] == wanted, name
        for one in again:
            assert set(one.absent_fields) == header | ({"result_id"} if name == "csv" else set())
            assert written(one, format, include_metadata=False, **options) == written(
                made, format, include_metadata=False, **options
            )


@few
@given(runs(), st.sampled_from(sorted(FORMATS)), st.sampled_from(("gzip", "zstd")))
def test_a_compressed_file_is_read_as_the_plain_one(folder: Path, run: Record, name: str, codec: str) -> None:
    format, options = FORMATS[name]
    plain = written(opened(run, folder), format, **options)
    suffix = ".jsonl" if format == "jsonl" else ""
    packed = gzip.compress(plain) if codec == "gzip" else pa.compress(plain, codec="zstd", asbytes=True)
    expected = meanings(saved(folder / f"plain{suffix}", plain))
    assert meanings(saved(folder / f"packed{suffix}{'.gz' if suffix else ''}", packed)) == expected


@few
@given(st.lists(runs(max_results=3), min_size=2, max_size=4, unique_by=lambda run: run["id"]))
def test_several_runs_in_one_file_come_back_in_their_order(folder: Path, group: list[Record]) -> None:
    made = [opened(run, folder) for run in group]
    whole = [meaning(run) for run in group]
    assert meanings(saved(folder / "group", written(made, "json"))) == whole
    assert meanings(saved(folder / "group", written(made, "parquet"))) == whole
    flat = [kept for run in whole for kept in after_flat(run)]
    assert meanings(saved(folder / "group.jsonl", written(made, "jsonl"))) == flat
    assert meanings(saved(folder / "group", written(made, "json", flatten_results=True))) == flat
    table = [kept for run in whole for kept in after_csv(run)]
    assert meanings(saved(folder / "group", written(made, "csv"))) == table


def test_a_parquet_file_whose_first_run_is_empty_gives_each_run_its_own_results(tmp_path: Path) -> None:
    group = [a_run(0, id="empty"), a_run(2, id="full"), a_run(0, id="void"), a_run(1, id="last")]
    made = [opened(run, tmp_path) for run in group]
    file = saved(tmp_path / "group.parquet", written(made, "parquet"))
    for run in group:
        assert found(ak.load_run(run["id"], source=file)) == meaning(run)
    (streamed,) = ak.open_source(file).open(["full"])
    assert isinstance(streamed, ak.AuditRun)
    assert found(streamed.loaded()) == meaning(group[1])


@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
@pytest.mark.parametrize("name", FORMATS)
def test_an_exported_file_is_loaded_without_any_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, compression: Any
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1705276800")
    format, options = FORMATS[name]
    run = a_run([a_result(n, notes=f"=note {n},\n}},{{") for n in range(300)], completedAt=None)
    source = saved(tmp_path / "run.json", dumped(run))
    exports = tmp_path / "exports"
    receipt = ak.export_audit_run(
        "run-001", format, source=source, output_dir=exports, compression=compression, **options
    )
    whole = meaning(run)
    kept = (
        after_csv(whole) if format == "csv" else after_flat(whole) if name in ("flat", "lines") else [whole]
    )
    assert meanings(receipt.path) == kept
    assert meanings(exports) == kept


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
@pytest.mark.parametrize("name", FORMATS)
def test_a_compressed_export_is_the_same_bytes_every_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, compression: Any
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1705276800")
    format, options = FORMATS[name]
    source = saved(tmp_path / "run.json", dumped(a_run(50)))
    exported = [
        ak.export_audit_run(
            "run-001", format, source=source, output_dir=tmp_path / part, compression=compression, **options
        ).path
        for part in ("one", "two")
    ]
    assert exported[0].read_bytes() == exported[1].read_bytes()
    if format != "parquet":
        plain = written(load_one(source), format, **options)
        packed = exported[0].read_bytes()
        if compression == "gzip":
            assert packed[4:8] == bytes(4), "RFC 1952: MTIME 0 says that no time is given"
            assert not packed[3] & 8, "RFC 1952: FNAME is not set"
            assert gzip.decompress(packed) == plain
        else:
            assert pa.decompress(packed, len(plain), codec="zstd", asbytes=True) == plain


@pytest.mark.parametrize("name", FORMATS)
def test_a_run_of_many_blocks_comes_back_row_by_row(tmp_path: Path, name: str) -> None:
    format, options = FORMATS[name]
    notes = (None, "", "},{", 'a,"b"\n', "=1+1", "é😀" * 70)
    rows = [a_result(n, notes=notes[n % 6], userScore=n / 7) for n in range(4000)]
    for row in rows[1000::5]:
        row["x"] = [{"a": 1}]
    run = a_run(rows)
    data = written(load_one(saved(tmp_path / "run.json", dumped(run, None))), format, **options)
    whole = meaning(run)
    kept = (
        after_csv(whole) if format == "csv" else after_flat(whole) if name in ("flat", "lines") else [whole]
    )
    assert meanings(saved(tmp_path / "exported", data)) == kept


@pytest.mark.parametrize("name", FORMATS)
def test_ids_that_look_like_numbers_or_like_nothing_stay_what_they_are(tmp_path: Path, name: str) -> None:
    format, options = FORMATS[name]
    rows = [
        a_result(0, id=text, submissionId=text, userId=text, taskTitle=text, skillArea=text)
        for text in HOSTILE_IDS
    ]
    for run_id in HOSTILE_IDS[::3]:
        made = opened(a_run(rows, id=run_id, reviewer=run_id), tmp_path)
        file = saved(tmp_path / "exported", written(made, format, **options))
        assert ak.list_available_runs(source=file) == [run_id]
        assert ak.load_runs(source=file)["run_id"].to_list() == [run_id]
        frame = ak.load_results(source=file)
        assert frame["run_id"].to_list() == [run_id] * len(rows)
        columns = ["submission_id", "user_id", "task_title", "skill_area"]
        for column in columns if format == "csv" else ["result_id", *columns]:
            assert frame[column].to_list() == list(HOSTILE_IDS), column


@pytest.mark.parametrize("name", [name for name in FORMATS if "csv" not in name])
def test_zero_empty_and_missing_are_three_facts(tmp_path: Path, name: str) -> None:
    format, options = FORMATS[name]
    rows = [
        a_result(0, notes="0", reviewer="0", userScore=0),
        a_result(1, notes="", reviewer="", userScore=-0.0),
        a_result(2, notes=None, reviewer=None, userScore=1),
        without(a_result(3), "notes", "reviewer", "actionTaken"),
    ]
    run = a_run(rows, averageDeviation=0, criticalFlags=0)
    made = opened(run, tmp_path)
    file = saved(tmp_path / "exported", written(made, format, **options))
    (again,) = meanings(file)
    assert again["results"] == meaning(run)["results"]
    assert again["averageDeviation"] == 0
    frame = ak.load_results(source=file)
    assert frame["notes"].to_list()[:2] == ["0", ""]
    assert frame["notes"].isna().to_list() == [False, False, True, True]
    assert frame["reviewer"].isna().to_list() == [False, False, True, True]


@pytest.mark.parametrize("name", FORMATS)
def test_an_average_of_nothing_is_not_an_average_of_zero(tmp_path: Path, name: str) -> None:
    format, options = FORMATS[name]
    for average in (None, 0, 0.0):
        run = a_run(1, averageDeviation=average, completedAt=None, status="running")
        (again,) = reloaded(opened(run, tmp_path), tmp_path, format, **options)
        assert again.average_deviation == average
        assert again.completed_at is None


@pytest.mark.parametrize("name", FORMATS)
def test_timestamps_come_back_letter_by_letter(tmp_path: Path, name: str) -> None:
    format, options = FORMATS[name]
    stamps = [
        "2024-01-15T10:00:00Z",
        "2024-01-15T10:00:00.000Z",
        "2024-01-15T10:00:00.0+00:00",
        "2024-01-15T10:00:00-00:00",
        "2024-02-29T23:59:59.123456789123+14:00",
        "1970-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999-23:59",
    ]
    for stamp in stamps:
        run = a_run([a_result(0, timestamp=stamp)], startedAt=stamp, completedAt=stamp)
        (again,) = meanings(saved(tmp_path / "exported", written(opened(run, tmp_path), format, **options)))
        assert (again["startedAt"], again["completedAt"]) == (stamp, stamp)
        assert again["results"][0]["timestamp"] == stamp


@pytest.mark.parametrize("name", FORMATS)
def test_any_double_comes_back_to_the_last_bit(tmp_path: Path, name: str) -> None:
    format, options = FORMATS[name]
    doubles = [5e-324, 2.2250738585072011e-308, 1.7976931348623157e308, 0.1 + 0.2, 1e21, 1e-7, 2.0**53 + 2]
    doubles += [math.nextafter(100.0, 0), -1e-6, 123456789012345680000.0, 9007199254740993, 1e22, 1e23]
    run = a_run([a_result(n, userScore=x, aiScore=-x, deviation=x / 3) for n, x in enumerate(doubles)])
    (again,) = reloaded(opened(run, tmp_path), tmp_path, format, **options)
    got = [row for batch in again.batches() for row in batch.to_pylist()]
    assert [row["user_score"].hex() for row in got] == [float(x).hex() for x in doubles]
    assert [row["ai_score"].hex() for row in got] == [(-float(x)).hex() for x in doubles]
    assert [row["deviation"].hex() for row in got] == [(x / 3).hex() for x in doubles]


@pytest.mark.parametrize("name", FORMATS)
def test_counts_keep_all_their_64_bits(tmp_path: Path, name: str) -> None:
    format, options = FORMATS[name]
    run = a_run(1, totalSubmissions=2**63 - 1, criticalFlags=2**53 + 1)
    (again,) = reloaded(opened(run, tmp_path), tmp_path, format, **options)
    assert (again.total_submissions, again.critical_flags) == (2**63 - 1, 2**53 + 1)


def test_unknown_integers_keep_all_their_digits(tmp_path: Path) -> None:
    digits = "1234567890" * 600
    text = dumped(a_run([a_result(0, big=111, small=-222)], huge=333)).decode()
    for short, long in (("111", digits), ("-222", "-" + digits), ("333", digits[:-1])):
        text = text.replace(short, long)
    made = load_one(saved(tmp_path / "run.json", text))
    for format in ("json", "parquet"):
        (again,) = reloaded(made, tmp_path, format)
        assert again.extra == f'{{"huge":{digits[:-1]}}}'
        (row,) = [row for batch in again.batches() for row in batch.to_pylist()]
        assert row["extra"] == f'{{"big":{digits},"small":-{digits}}}'


def test_a_run_with_an_unknown_field_named_as_in_flat_records_stays_a_nested_run(tmp_path: Path) -> None:
    run = a_run(2, auditRunId="another", auditStatus="odd")
    made = opened(run, tmp_path)
    assert found(made) == meaning(run)
    (again,) = reloaded(made, tmp_path, "json")
    assert found(again) == meaning(run)


def test_a_selection_comes_back_as_the_rows_it_holds(tmp_path: Path) -> None:
    run = a_run(5)
    chosen = opened(run, tmp_path).select([1, 3])
    for format in ("json", "parquet"):
        (again,) = reloaded(chosen, tmp_path, format)
        assert found(again) == meaning(run | {"results": [run["results"][1], run["results"][3]]})


def test_the_list_of_losses_is_what_the_formats_lose() -> None:
    """Worked out from the specification: the columns it gives a CSV, and the keys of its flat records."""
    from auditkit.formats.losses import LOSSES

    carried = {
        "csv": {
            *(RUN_COLUMNS[key] for _, owner, key in reference.CSV_COLUMNS if owner == "run"),
            *(RESULT_COLUMNS[key] for _, owner, key in reference.CSV_COLUMNS if owner == "result"),
        },
        "json flat": {
            *(RUN_COLUMNS[key] for key in reference.FLAT_KEYS.values()),
            *RESULT_COLUMNS.values(),
        },
    }
    carried["jsonl"] = carried["json flat"]
    changed = {"csv": {"average_deviation", "reviewer", "notes"}, "json flat": set(), "jsonl": set()}
    every = {*RUN_COLUMNS.values(), *RESULT_COLUMNS.values()}
    assert set(LOSSES) == set(carried)
    for format, losses in LOSSES.items():
        columns = {loss.column for loss in losses}
        assert columns == (every - carried[format]) | changed[format] | {"extra", None}, format
        assert all(loss.why.strip() for loss in losses)


def test_runs_compare_by_what_they_hold(tmp_path: Path) -> None:
    made = opened(a_run(2), tmp_path)
    assert made == opened(a_run(2), tmp_path)
    for change in ({"reviewer": "admin-2"}, {"x": 1}, {"averageDeviation": None}):
        assert made != opened(a_run(2, **change), tmp_path)
    assert made != opened(a_run([a_result(0), a_result(1, notes="")]), tmp_path)
    assert made != opened(a_run(1), tmp_path)
    assert made != dataclasses.asdict(made.header)


def test_a_run_that_came_as_csv_goes_on_as_parquet(tmp_path: Path) -> None:
    source = Path(__file__).parent.parent / "sample_data" / "runs"
    csv = ak.export_audit_run("run-001", "csv", source=source, output_dir=tmp_path / "csv")
    parquet = ak.export_audit_run("run-001", "parquet", source=csv, output_dir=tmp_path / "parquet")
    assert ak.load_run("run-001", source=parquet) == ak.load_run("run-001", source=csv)
