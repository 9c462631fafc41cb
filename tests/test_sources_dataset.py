"""Parquet datasets: flat and in hive partitions, ours and foreign, whole and in parts, sound and broken."""

from __future__ import annotations

import errno
import json
import pickle
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from records import RESULT_COLUMNS, a_result, a_run, dumped, found, meaning, meanings, saved, written

import auditkit as ak
from auditkit.scan import Scan, Scannable, count_results, scan

NOTES = ("Fine", None, "", "=1+1", "two\nlines", "Größe, 评分")


def runs() -> list[dict[str, Any]]:
    """Three runs of several results, and one of none; ids that paths cannot hold."""
    made = []
    for at, run_id in enumerate(("run-001", "a/b c=ü%41", "007")):
        results = [
            a_result(
                10 * at + n, userScore=50 + n / 4, notes=NOTES[n % 6], skillArea=("front", "back")[n % 2]
            )
            for n in range(5 + at)
        ]
        made.append(a_run(results, id=run_id, totalSubmissions=5 + at, note={"any": [1]}))
    made.append(a_run(0, id="empty", totalSubmissions=0, averageDeviation=None))
    return made


def loaded(*records: dict[str, Any], folder: Path) -> list[ak.AuditRun]:
    path = saved(folder / "all.json", dumped(list(records)))
    return [run for run in ak.open_source(path).load() if isinstance(run, ak.AuditRun)]


def table_of(*records: dict[str, Any], folder: Path) -> pa.Table:
    """The rows of runs with their run ids, and the run headers in the metadata."""
    path = saved(folder / "table.parquet", written(loaded(*records, folder=folder), "parquet"))
    return parquet.read_table(path)


def foreign_table(*records: dict[str, Any]) -> pa.Table:
    """The rows of runs as another program would keep them: made from the JSON alone, no metadata."""
    rows = [
        {"run_id": run["id"]} | {RESULT_COLUMNS[key]: result.get(key) for key in RESULT_COLUMNS}
        for run in records
        for result in run["results"]
    ]
    return pa.Table.from_pylist(rows)


def by_id(records: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {record["id"]: record for record in records}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    made = tmp_path / "audits"
    made.mkdir()
    return made


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    made = tmp_path / "scratch"
    made.mkdir()
    return made


def source(place: Path | str) -> Any:
    return ak.open_source(f"parquet:{place}")


def refusal(place: Path, run_id: str | None = None) -> str:
    """What is said of a dataset whose first run cannot be had."""
    runs = source(place).open(None if run_id is None else [run_id])
    error = runs[-1] if run_id is None else runs[0]
    if isinstance(error, ak.AuditRun):
        with pytest.raises(ak.errors.InvalidRunError) as caught:
            error.loaded()
        error = caught.value
    assert isinstance(error, ak.errors.InvalidRunError)
    return str(error)


def test_a_file_a_run_gives_what_the_json_holds(place: Path, scratch: Path) -> None:
    for at, run in enumerate(loaded(*runs(), folder=scratch)):
        saved(place / f"{at}.parquet", written(run, "parquet"))
    assert meanings(f"parquet:{place}") == [meaning(run) for run in runs()]
    assert ak.list_available_runs(source=f"parquet:{place}") == [run["id"] for run in runs()]


def test_a_file_of_several_runs_gives_what_the_json_holds(place: Path, scratch: Path) -> None:
    parquet.write_table(table_of(*runs(), folder=scratch), place / "all.parquet", row_group_size=4)
    assert meanings(f"parquet:{place}") == [meaning(run) for run in runs()]
    assert meanings(f"parquet:{place / 'all.parquet'}") == [meaning(run) for run in runs()]


def test_a_run_may_go_on_from_file_to_file(place: Path, scratch: Path) -> None:
    table = table_of(*runs(), folder=scratch)
    for number, start in enumerate(range(0, len(table), 3)):
        parquet.write_table(table.slice(start, 3), place / f"part-{number:02}.parquet")
    assert meanings(f"parquet:{place}") == [meaning(run) for run in runs()]
    ids = [run["id"] for run in runs()][::-1]
    assert [run.id for run in source(place).load(ids)] == ids


def test_hive_partitions_give_what_the_json_holds(place: Path, scratch: Path) -> None:
    table = table_of(*runs(), folder=scratch)
    parquet.write_to_dataset(table, place, partition_cols=["run_id"])
    assert by_id(meanings(f"parquet:{place}")) == by_id([meaning(run) for run in runs()])


def test_a_further_partition_becomes_its_column(place: Path) -> None:
    parquet.write_to_dataset(foreign_table(*runs()), place, partition_cols=["run_id", "skill_area"])
    frames = [ak.load_run(run["id"], source=source(place)).results for run in runs()[:3]]
    for frame, run in zip(frames, runs()[:3], strict=True):
        expected = {result["id"]: result["skillArea"] for result in run["results"]}
        assert dict(zip(frame.result_id, frame.skill_area, strict=True)) == expected


def test_a_partition_without_a_value_is_missing(place: Path) -> None:
    folder = place / "run_id=one" / "reviewer=__HIVE_DEFAULT_PARTITION__"
    folder.mkdir(parents=True)
    parquet.write_table(foreign_table(runs()[0]).drop_columns(["run_id", "reviewer"]), folder / "0.parquet")
    assert ak.load_run("one", source=source(place)).results.reviewer.isna().all()


def test_foreign_files_have_their_types_turned_and_lack_what_they_lack(place: Path) -> None:
    instant = datetime(2024, 1, 15, 10, 15, 0, 250000, tzinfo=UTC)
    table = foreign_table(runs()[0]).drop_columns(["task_title", "notes"])
    count = len(table)
    changed = {
        "timestamp": pa.array([instant] * count, pa.timestamp("ms", "Europe/Berlin")),
        "user_score": pa.array([Decimal("85.50")] * count),
        "ai_score": pa.array([78] * count, pa.int16()),
        "user_id": pa.array(["007"] * count, pa.large_string()),
        "deviation_type": pa.array(["minor"] * count).dictionary_encode(),
    }
    for name, column in changed.items():
        table = table.set_column(table.schema.names.index(name), name, column)
    parquet.write_table(table, place / "0.parquet")
    run = ak.load_run("run-001", source=source(place))
    header = ["run_reviewer", "started_at", "completed_at", "run_task_title", "run_task_difficulty"]
    header += ["run_skill_area", "status", "total_submissions", "average_deviation", "critical_flags"]
    assert run.absent_fields == (*header, "task_title", "notes")
    (row, *_) = (row for batch in run.batches() for row in batch.to_pylist())
    assert row["timestamp"] == "2024-01-15T10:15:00.25Z"
    assert (row["user_score"], row["ai_score"], row["user_id"]) == (85.5, 78.0, "007")
    assert (row["task_title"], row["notes"], row["deviation_type"]) == (None, None, "minor")


def test_what_the_receipt_of_foreign_rows_says_is_absent(place: Path, tmp_path: Path) -> None:
    parquet.write_table(foreign_table(runs()[0]).drop_columns(["notes"]), place / "0.parquet")
    receipt = ak.export_audit_run("run-001", "csv", source=source(place), output_dir=tmp_path / "out")
    assert receipt.rows == 5
    assert {"notes", "status"} <= set(receipt.absent_fields)


def test_what_begins_with_a_dot_or_an_underscore_is_left_alone(place: Path) -> None:
    table = foreign_table(runs()[0])
    for name in ("0.parquet", "_metadata", "_0.parquet", ".0.parquet", "_temporary/0.parquet", "READ.ME"):
        (place / name).parent.mkdir(exist_ok=True)
        if name.endswith("parquet"):
            parquet.write_table(table, place / name)
        else:
            saved(place / name, "no table")
    assert count_results(source(place).open(["run-001"])[0]) == 5


def test_a_dataset_in_a_store_is_read_likewise(place: Path, scratch: Path) -> None:
    import fsspec

    data = written(loaded(*runs(), folder=scratch), "parquet")
    store = fsspec.filesystem("memory")
    store.pipe("/datasets-of-tests/a/0.parquet", data)
    try:
        assert meanings("parquet:memory://datasets-of-tests/a") == [meaning(run) for run in runs()]
    finally:
        store.rm("/datasets-of-tests", recursive=True)


@pytest.fixture
def grouped(place: Path, scratch: Path) -> list[dict[str, Any]]:
    """One run of 1,000 results in row groups of 100, in two files; its scores rise."""
    results = [a_result(n, userScore=n / 10, aiScore=0, submissionId=f"sub-{n:04}") for n in range(1000)]
    table = table_of(a_run(results, totalSubmissions=1000), folder=scratch)
    for at, start in enumerate((0, 450)):
        part = table.slice(start, 450 if at == 0 else None)
        parquet.write_table(part, place / f"{at}.parquet", row_group_size=100)
    return results


def scanned(place: Path, **wanted: Any) -> list[tuple[int, dict[str, Any]]]:
    (run,) = source(place).open(["run-001"])
    return [
        (int(position), row)
        for part in scan(run, Scan(**wanted))
        for position, row in zip(part.positions, part.batch.to_pylist(), strict=True)
    ]


@pytest.mark.parametrize("start", [0, 1, 99, 100, 449, 450, 451, 999, 1000])
@pytest.mark.parametrize("length", [0, 1, 100, 555, None])
def test_a_slice_is_that_of_all_results(
    place: Path, grouped: list[dict[str, Any]], start: int, length: int | None
) -> None:
    stop = None if length is None else start + length
    expected = [(n, {"submission_id": f"sub-{n:04}"}) for n in range(1000)[start:stop]]
    assert scanned(place, columns=("submission_id",), start=start, stop=stop) == expected


def test_a_filter_may_ask_for_columns_that_are_not_wanted(place: Path, grouped: list[dict[str, Any]]) -> None:
    asked = ak.Filter(difference=(20.05, 30), position=(0, 250), run_id=("run-001",))
    rows = scanned(place, columns=("user_score",), filter=asked)
    assert rows == [(n, {"user_score": n / 10}) for n in range(201, 251)]


def harmed(place: Path, file: str, group: int) -> None:
    """Break the data of one row group, and nothing else."""
    path = place / file
    told = parquet.read_metadata(path).row_group(group)
    data = bytearray(path.read_bytes())
    for at in range(told.num_columns):
        column = told.column(at)
        start = column.dictionary_page_offset or column.data_page_offset
        data[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(data)


def test_what_is_not_wanted_is_not_read(place: Path, grouped: list[dict[str, Any]]) -> None:
    harmed(place, "0.parquet", 1)  # positions 100 to 199, scores 10 to 19.9
    with pytest.raises(ak.errors.InvalidRunError, match=r"0\.parquet"):
        scanned(place)
    assert len(scanned(place, start=200)) == 800
    assert len(scanned(place, stop=100)) == 100
    assert len(scanned(place, filter=ak.Filter(user_score=(20, None)))) == 800
    assert len(scanned(place, filter=ak.Filter(submission_id=("sub-0333", "sub-0999")))) == 2
    with pytest.raises(ak.errors.InvalidRunError):
        scanned(place, filter=ak.Filter(user_score=(19.9, None)))


def test_results_are_counted_without_reading_them(place: Path, grouped: list[dict[str, Any]]) -> None:
    for group in range(5):
        harmed(place, "0.parquet", group)
    assert count_results(source(place).open(["run-001"])[0]) == 1000


def test_a_run_can_be_sent_to_another_process(place: Path, grouped: list[dict[str, Any]]) -> None:
    (run,) = pickle.loads(pickle.dumps(source(place).open(["run-001"])))
    assert isinstance(run.batches, Scannable)
    assert found(run)["results"] == meaning(a_run(grouped))["results"]


def test_nothing_at_that_path_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        source(tmp_path / "nowhere")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, str(tmp_path / "nowhere"))


def test_a_folder_without_any_file_is_refused(place: Path) -> None:
    assert "no .parquet file in it" in refusal(place)


@pytest.mark.parametrize("harm", [lambda data: data[:-20], lambda data: b"no table" * 20, lambda data: b""])
def test_a_file_that_is_none_makes_every_run_unsure(place: Path, scratch: Path, harm: Any) -> None:
    data = written(loaded(runs()[0], folder=scratch), "parquet")
    saved(place / "0.parquet", data)
    saved(place / "1.parquet", harm(data))
    for run_id in (None, "run-001"):
        assert "1.parquet" in refusal(place, run_id)
    with pytest.raises(ak.errors.InvalidRunError, match=r"1\.parquet"):
        ak.list_available_runs(source=source(place))


def test_a_broken_file_in_the_folder_of_a_run_is_the_failure_of_that_run(place: Path) -> None:
    parquet.write_to_dataset(foreign_table(*runs()), place, partition_cols=["run_id"])
    saved(place / "run_id=007" / "broken.parquet", "no table")
    assert "broken.parquet" in refusal(place, "007")
    assert len(ak.load_run("run-001", source=source(place)).results) == 5


def test_files_that_disagree_about_a_run_are_both_named(place: Path, scratch: Path) -> None:
    run = runs()[0]
    for name, record in (("0", run), ("1", run | {"reviewer": "somebody-else"})):
        saved(place / f"{name}.parquet", written(loaded(record, folder=scratch), "parquet"))
    said = refusal(place, "run-001")
    assert "0.parquet" in said
    assert "1.parquet" in said


def test_files_of_one_run_with_other_columns_are_refused(place: Path) -> None:
    table = foreign_table(runs()[0])
    parquet.write_table(table, place / "0.parquet")
    parquet.write_table(table.drop_columns(["ai_score"]), place / "1.parquet")
    assert "other columns" in refusal(place, "run-001")


def test_rows_of_a_run_that_do_not_stand_together_are_refused(place: Path) -> None:
    first, second = (foreign_table(run) for run in runs()[:2])
    parquet.write_table(pa.concat_tables([first, second, first]), place / "0.parquet")
    assert "do not stand together" in refusal(place, "run-001")


def test_every_failure_of_every_file_is_told(place: Path) -> None:
    for name in "01":
        results = [a_result(n, deviationType=kind) for n, kind in enumerate(("minor", "awful", "none"))]
        parquet.write_table(foreign_table(a_run(results)), place / f"{name}.parquet")
    (run,) = source(place).open(["run-001"])
    with pytest.raises(ak.errors.InvalidRunError) as caught:
        run.loaded()
    places = [(Path(row.file).name, row.position, row.field) for row in caught.value.rows]
    assert places == [("0.parquet", 1, "deviationType"), ("1.parquet", 4, "deviationType")]


def test_a_file_that_changed_after_it_was_looked_at_is_refused(place: Path) -> None:
    parquet.write_table(foreign_table(runs()[0]), place / "0.parquet")
    (run,) = source(place).open(["run-001"])
    parquet.write_table(foreign_table(runs()[0]).slice(1), place / "0.parquet")
    with pytest.raises(ak.errors.InvalidRunError, match="changed"):
        run.loaded()


def test_without_any_run_id_a_file_is_refused(place: Path) -> None:
    parquet.write_table(foreign_table(runs()[0]).drop_columns(["run_id"]), place / "0.parquet")
    assert "run_id" in refusal(place)


def test_headers_that_are_no_json_are_refused(place: Path, scratch: Path) -> None:
    table = table_of(runs()[0], folder=scratch)
    parquet.write_table(
        table.replace_schema_metadata({"auditkit.runs": json.dumps("x")}), place / "0.parquet"
    )
    assert "headers" in refusal(place)


def test_the_pieces_of_a_run_go_on_in_the_order_of_their_numbers(place: Path) -> None:
    table = foreign_table(a_run(12))
    expected = table.column("result_id").to_pylist()
    for at in range(12):
        parquet.write_table(table.slice(at, 1), place / f"part-{at}.parquet")
    assert sorted(path.name for path in place.iterdir())[2] == "part-10.parquet"  # as text, before part-2
    assert ak.load_run("run-001", source=source(place)).results.result_id.to_list() == expected


def with_positions(table: pa.Table, kind: pa.DataType | None = None) -> pa.Table:
    return table.append_column("position", pa.array(range(len(table)), kind or pa.int64()))


def test_rows_that_name_their_positions_are_never_silently_in_another_order(place: Path) -> None:
    """Partitions by skill area take every other result of the run."""
    table = with_positions(foreign_table(runs()[0]))
    parquet.write_to_dataset(table, place, partition_cols=["run_id", "skill_area"])
    assert "not in their order" in refusal(place, "run-001")


@pytest.mark.parametrize("kind", [pa.int64(), pa.uint8(), pa.float64()])
def test_rows_that_stand_at_the_positions_that_they_name_are_read(place: Path, kind: pa.DataType) -> None:
    table = with_positions(foreign_table(runs()[0]), kind)
    expected = table.column("result_id").to_pylist()
    for at, start in enumerate((0, 3)):
        parquet.write_table(table.slice(start, 3), place / f"{at}.parquet")
    assert ak.load_run("run-001", source=source(place)).results.result_id.to_list() == expected


def test_a_gap_between_positions_is_refused_where_it_is_read(place: Path) -> None:
    table = with_positions(foreign_table(runs()[0]))
    parquet.write_table(table.take([0, 1, 3, 4]), place / "0.parquet")
    assert "row 2, position: 3: " in refusal(place, "run-001")
    assert len(scanned(place, columns=("user_id",), stop=2)) == 2


def test_links_to_folders_are_followed(place: Path, tmp_path: Path) -> None:
    parquet.write_to_dataset(foreign_table(*runs()), tmp_path / "elsewhere", partition_cols=["run_id"])
    for folder in (tmp_path / "elsewhere").iterdir():
        (place / folder.name).symlink_to(folder)
    (place / "loop").symlink_to(place)
    assert set(ak.list_available_runs(source=source(place))) == {run["id"] for run in runs()[:3]}


def test_a_folder_that_is_linked_to_twice_is_refused(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    parquet.write_table(foreign_table(runs()[0]), folder / "0.parquet")
    for name in ("one", "two"):
        (place / name).symlink_to(folder)
    assert "twice" in refusal(place, "run-001")


def test_a_link_to_a_folder_that_is_gone_is_a_failure(place: Path, tmp_path: Path) -> None:
    parquet.write_table(foreign_table(runs()[0]), place / "0.parquet")
    (place / "more").symlink_to(tmp_path / "gone")
    assert "more" in refusal(place, "run-001")


def test_the_suffix_may_be_in_capitals(place: Path) -> None:
    parquet.write_table(foreign_table(runs()[0]), place / "0.PARQUET")
    assert len(ak.load_run("run-001", source=source(place)).results) == 5
    assert len(ak.load_run("run-001", source=source(place / "0.PARQUET")).results) == 5


@pytest.mark.parametrize(
    ("folder", "column"),
    [("run_id=run-002", "run_id"), ("skill_area=front", "skill_area"), ("user_score=50", "user_score")],
)
def test_a_folder_and_a_column_that_disagree_are_a_failure(place: Path, folder: str, column: str) -> None:
    (place / folder).mkdir()
    parquet.write_table(foreign_table(runs()[0]), place / folder / "0.parquet")
    assert folder.partition("=")[2] in refusal(place, "run-001")
    agreed = pa.array([folder.partition("=")[2]] * 5)
    table = foreign_table(runs()[0])
    agreed = agreed.cast(table.schema.field(column).type)
    table = table.set_column(table.schema.names.index(column), column, agreed)
    parquet.write_table(table, place / folder / "0.parquet")
    assert [len(run.results) for run in source(place).load()] == [5]


def test_instants_without_a_time_zone_are_refused_with_what_to_do_about_them(place: Path) -> None:
    table = foreign_table(runs()[0])
    naive = pa.array([datetime(2024, 1, 15, 10, 15)] * 4 + [None], pa.timestamp("us"))
    table = table.set_column(table.schema.names.index("timestamp"), "timestamp", naive)
    parquet.write_table(table, place / "0.parquet")
    (run,) = source(place).open(["run-001"])
    with pytest.raises(ak.errors.InvalidRunError, match="without a time zone: write the column") as caught:
        run.loaded()
    assert [row.position for row in caught.value.rows if "zone" in row.rule] == [0, 1, 2, 3]
    assert [row.position for row in caught.value.rows if "zone" not in row.rule] == [4]  # it has none
    assert "naive_timestamps" not in str(caught.value)  # only mappings have it
