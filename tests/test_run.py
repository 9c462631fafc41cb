"""AuditRun: what it says of itself, what may be selected from it, and how it shows."""

from __future__ import annotations

import dataclasses
import html.parser
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from records import (
    RESULT_COLUMNS,
    RUN_ATTRIBUTES,
    a_result,
    a_run,
    dumped,
    found,
    load_one,
    meaning,
    saved,
    without,
    written,
)

import auditkit as ak
from auditkit.errors import AuditkitError, InvalidOptionError, InvalidRunError

SAMPLES = Path(__file__).parents[1] / "sample_data" / "runs"
RUN_001 = json.loads((SAMPLES / "run-001.json").read_bytes())
LARGE = [row["deviation"] > 20 for row in RUN_001["results"]]  # 7 47 4 9 22 0 31 6
LARGE_ROWS = [1, 4, 6]
HEADER = {attribute: RUN_001[key] for key, attribute in RUN_ATTRIBUTES.items()}


@pytest.fixture
def run() -> ak.AuditRun:
    return ak.load_run("run-001", source=SAMPLES)


def rows_of(run: ak.AuditRun) -> list[int]:
    """The positions of its results, from the ids that they have in run-001."""
    return [int(row["id"].removeprefix("result-")) - 1 for row in found(run)["results"]]


# --- what a run says ------------------------------------------------------------------------------------


def test_the_attributes_are_the_header_in_snake_case_verbatim(run: ak.AuditRun) -> None:
    assert {name: getattr(run, name) for name in HEADER} == HEADER
    assert (run.extra, run.absent_fields, run.positions, run.whole_rows) == (None, (), None, None)


@pytest.mark.parametrize(
    "stamp", ["2024-01-15T10:00:00Z", "2024-01-15T10:00:00.000Z", "2024-01-15T11:00:00.5+01:00"]
)
def test_timestamps_stay_the_text_that_was_recorded(tmp_path: Path, stamp: str) -> None:
    run = load_one(saved(tmp_path / "run.json", dumped(a_run(startedAt=stamp, completedAt=stamp))))
    assert (run.started_at, run.completed_at) == (stamp, stamp)


def test_what_is_missing_is_none_and_what_is_empty_is_empty(tmp_path: Path) -> None:
    record = without(
        a_run(0, reviewer="", taskTitle="", totalSubmissions=0), "completedAt", "averageDeviation"
    )
    run = load_one(saved(tmp_path / "run.json", dumped(record)))
    assert (run.completed_at, run.average_deviation) == (None, None)
    assert (run.reviewer, run.task_title, run.total_submissions) == ("", "", 0)


def test_unknown_fields_of_a_run_are_kept_as_json_text(tmp_path: Path) -> None:
    run = load_one(saved(tmp_path / "run.json", dumped(a_run(1, z={"b": [1, None]}, a=12345678901234567890))))
    assert run.extra == '{"z":{"b":[1,null]},"a":12345678901234567890}'


def test_a_run_cannot_be_changed(run: ak.AuditRun) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        run.status = "failed"  # type: ignore[misc]


def test_the_results_have_run_id_and_position_first(run: ak.AuditRun) -> None:
    assert list(run.results.columns) == ["run_id", "position", *RESULT_COLUMNS.values()]
    assert run.results.run_id.unique().tolist() == ["run-001"]
    assert run.results.position.tolist() == list(range(8))
    assert run.results.submission_id.tolist() == [row["submissionId"] for row in RUN_001["results"]]


def test_an_edited_frame_leaves_the_run_as_it_was_recorded(run: ak.AuditRun) -> None:
    frame = run.results
    frame.loc[0, "user_score"] = 0.0
    frame.loc[0, "notes"] = "forged"
    frame["deviation"] += 1
    assert found(run) == meaning(RUN_001)
    assert found(run.select([0]))["results"] == meaning(RUN_001)["results"][:1]


@pytest.mark.parametrize("column", ["user_score", "ai_score", "deviation", "position", "notes", "timestamp"])
def test_a_frame_may_be_edited_in_place_however_many_blocks_it_was_read_in(
    tmp_path: Path, column: str
) -> None:
    rows = [a_result(number, notes="x" * 900) for number in range(3000)]
    large = load_one(saved(tmp_path / "large.json", dumped(a_run(rows))))
    assert len(list(large.batches())) > 1
    for frame in (large.results, load_one(SAMPLES / "run-001.json").results):
        frame.loc[1, column] = frame[column].iloc[0]
        assert frame[column].iloc[1] == frame[column].iloc[0]


def test_a_frame_of_runs_may_be_edited_in_place() -> None:
    frame = ak.load_runs(source=SAMPLES)
    for column in ("total_submissions", "average_deviation", "critical_flags", "run_reviewer"):
        frame.loc[1, column] = frame[column].iloc[0]
        assert frame[column].iloc[1] == frame[column].iloc[0]


def test_the_batches_can_be_read_again_and_again(run: ak.AuditRun) -> None:
    (opened,) = ak.open_source(SAMPLES).open(["run-001"])
    for some in (run, opened):
        assert isinstance(some, ak.AuditRun)
        assert found(some) == found(some) == meaning(RUN_001)


# --- equality -------------------------------------------------------------------------------------------


def test_runs_with_the_same_header_and_results_are_equal_wherever_they_come_from(tmp_path: Path) -> None:
    one = load_one(saved(tmp_path / "one.json", dumped(a_run(3))))
    other = load_one(saved(tmp_path / "two.json", dumped(a_run(3), indent=None)))
    (streamed,) = ak.open_source(tmp_path / "one.json").open()
    assert one == other == streamed
    assert one.select([0, 1, 2]) == one.select(range(3))


@pytest.mark.parametrize(
    "changed",
    [
        a_run(2),
        a_run(4),
        a_run(3, reviewer="admin-2"),
        a_run(3, averageDeviation=7.5),
        a_run(3, status="failed"),
        a_run(3, completedAt=None),
        a_run(3, startedAt="2024-01-15T10:00:00.0Z"),
        a_run(3, more=1),
        a_run([a_result(0), a_result(2), a_result(1)]),
        a_run([a_result(0), a_result(1), a_result(2, notes="")]),
        a_run([a_result(0), a_result(1), a_result(2, notes=None)]),
        a_run([a_result(0), a_result(1), a_result(2, more=1)]),
        a_run([a_result(0), a_result(1), a_result(2, timestamp="2024-01-15T10:15:00.0Z")]),
    ],
)
def test_any_difference_makes_two_runs_unequal(tmp_path: Path, changed: dict[str, Any]) -> None:
    one = load_one(saved(tmp_path / "one.json", dumped(a_run(3))))
    other = load_one(saved(tmp_path / "two.json", dumped(changed)))
    assert one != other


def test_a_run_is_unequal_to_what_is_no_run_and_has_no_hash(run: ak.AuditRun) -> None:
    assert run != "run-001"
    assert run != run.header
    assert run != None  # noqa: E711
    with pytest.raises(TypeError, match="unhashable"):
        hash(run)


# --- selecting ------------------------------------------------------------------------------------------


def a_frame_of(run: ak.AuditRun) -> pd.DataFrame:
    return run.results[run.results.deviation > 20]


SELECTIONS = {
    "mask": lambda run: run.results.deviation > 20,
    "nullable mask": lambda run: (run.results.deviation > 20).astype("boolean"),
    "Arrow mask": lambda run: (run.results.deviation > 20).astype("bool[pyarrow]"),
    "mask of numpy": lambda run: (run.results.deviation > 20).to_numpy(),
    "mask as a list": lambda run: LARGE,
    "mask of another index": lambda run: pd.Series(LARGE, index=run.results.index),
    "positions": lambda run: [1, 4, 6],
    "positions backwards": lambda run: [6, 4, 1],
    "positions twice": lambda run: (1, 4, 6, 4),
    "positions of numpy": lambda run: np.array([6, 1, 4], dtype="uint8"),
    "positions as a Series": lambda run: a_frame_of(run).position,
    "nullable positions": lambda run: a_frame_of(run).position.astype("Int64"),
    "frame": a_frame_of,
    "frame shuffled": lambda run: a_frame_of(run).sample(frac=1, random_state=3),
    "frame with another index": lambda run: a_frame_of(run).set_index("result_id"),
    "frame with two columns": lambda run: a_frame_of(run)[["position", "run_id"]],
    "frame of all runs": lambda run: ak.load_results("run-001", source=SAMPLES).query("deviation > 20"),
}


@pytest.mark.parametrize("kind", SELECTIONS)
def test_a_selection_has_the_same_header_and_some_results_in_recorded_order(
    run: ak.AuditRun, kind: str
) -> None:
    chosen = run.select(SELECTIONS[kind](run))
    assert rows_of(chosen) == LARGE_ROWS
    assert chosen.header == run.header
    assert chosen.results.position.tolist() == LARGE_ROWS
    assert chosen.results.equals(run.results.iloc[LARGE_ROWS].reset_index(drop=True))
    assert found(chosen) == meaning(RUN_001 | {"results": [RUN_001["results"][row] for row in LARGE_ROWS]})
    assert (list(chosen.positions), chosen.whole_rows) == (LARGE_ROWS, 8)  # type: ignore[arg-type]
    assert rows_of(run) == list(range(8))


MASK_KINDS = ["bool", "boolean", "bool[pyarrow]"]


@pytest.mark.parametrize("kind", MASK_KINDS)
def test_a_mask_marks_the_rows_of_its_index_as_everywhere_in_pandas(run: ak.AuditRun, kind: str) -> None:
    ordered = run.results.sort_values("deviation", ascending=False)
    mask = (ordered.deviation > 20).astype(kind)  # True True True False …, with the index 1 6 4 …
    assert rows_of(run.select(mask)) == LARGE_ROWS
    selection = run.select([1, 2, 4])
    frame = selection.results.sort_values("deviation")
    assert rows_of(selection.select((frame.deviation > 20).astype(kind))) == [1, 4]


@pytest.mark.parametrize("kind", MASK_KINDS)
@pytest.mark.parametrize(
    "index", [[1, 6, 4, 0, 2, 3, 5, 99], [0, 0, 1, 2, 3, 4, 5, 6], list("abcdefgh"), [0.5, *range(7)]]
)
def test_a_mask_with_a_foreign_index_is_never_taken_for_the_first_rows(
    run: ak.AuditRun, kind: str, index: list[Any]
) -> None:
    mask = pd.Series([True] * 3 + [False] * 5, index=index, dtype=kind)
    with pytest.raises(InvalidOptionError, match="run-001"):
        run.select(mask)


def test_a_frame_that_was_reordered_or_renumbered_does_not_change_which_row_is_which(
    run: ak.AuditRun,
) -> None:
    frame = run.results
    ordered = frame.sort_values("deviation", ascending=False)
    for column in frame.columns:
        frame[column] = ordered[column].array
    assert rows_of(run.select([1, 4, 6])) == LARGE_ROWS
    assert rows_of(run.select(frame[:3])) == LARGE_ROWS
    frame["position"] = range(100, 108)
    assert rows_of(run.select([1, 4, 6])) == LARGE_ROWS
    assert run.results.position.to_list() == list(range(8))


@pytest.mark.parametrize("rows", [[], (), np.array([], dtype=bool), pd.Series([], dtype="int64")], ids=repr)
def test_nothing_selected_is_a_run_without_results(run: ak.AuditRun, rows: Any) -> None:
    if isinstance(rows, np.ndarray):
        rows = np.zeros(8, dtype=bool)
    chosen = run.select(rows)
    assert (len(chosen.results), chosen.whole_rows) == (0, 8)
    assert chosen.results.dtypes.equals(run.results.dtypes)


def test_a_frame_without_rows_selects_nothing(run: ak.AuditRun) -> None:
    assert len(run.select(run.results[:0]).results) == 0


@pytest.mark.parametrize(
    "rows",
    [
        [8],
        [-1],
        [0, 1, 100],
        [2**40],
        [2**64 - 1],
        [1.0],
        [1.5],
        [float("nan")],
        ["1"],
        "1",
        "deviation > 20",
        [None],
        None,
        slice(0, 3),
        {1, 2},
        [True],
        [True] * 9,
        [True, None] * 4,
        np.zeros((8, 2), dtype=bool),
        pd.Series([True, pd.NA] * 4, dtype="boolean"),
        object(),
    ],
    ids=lambda rows: " ".join(repr(rows).split())[:30],
)
def test_what_names_no_rows_of_the_run_is_refused(run: ak.AuditRun, rows: Any) -> None:
    with pytest.raises(InvalidOptionError, match="run-001"):
        run.select(rows)


@pytest.mark.parametrize(
    "frame",
    [
        lambda run: run.results[["deviation"]],
        lambda run: run.results[["run_id"]],
        lambda run: run.results[["position"]].rename(columns={"position": "Position"}),
        lambda run: run.results[["deviation"]] > 20,
        lambda run: run.results.set_index(["run_id", "position"]),
    ],
)
def test_a_frame_that_does_not_name_its_rows_is_refused(run: ak.AuditRun, frame: Any) -> None:
    with pytest.raises(InvalidOptionError, match=r"run_id|position"):
        run.select(frame(run))


def test_a_frame_with_rows_of_other_runs_is_refused(run: ak.AuditRun) -> None:
    results = ak.load_results(["run-001", "run-003"], source=SAMPLES)
    for frame in (results, results[results.run_id == "run-003"]):
        with pytest.raises(InvalidOptionError, match="other runs"):
            run.select(frame)


def test_a_frame_with_positions_that_are_none_is_refused(run: ak.AuditRun) -> None:
    for position in (-1, 8, 0.5, float("nan")):
        with pytest.raises(InvalidOptionError):
            run.select(run.results[:1].assign(position=position))


def test_a_selection_of_a_selection_keeps_the_positions_of_the_whole_run(run: ak.AuditRun) -> None:
    first = run.select([1, 4, 6])
    assert rows_of(first.select([6, 1])) == [1, 6]
    assert rows_of(first.select([False, True, True])) == [4, 6]
    assert rows_of(first.select(first.results.deviation > 30)) == [1, 6]  # 47 and 31
    assert rows_of(first.select(run.results[run.results.deviation == 22])) == [4]
    second = first.select([4, 6]).select([6])
    assert (rows_of(second), list(second.positions), second.whole_rows) == ([6], [6], 8)  # type: ignore[arg-type]
    for rows in ([0], [5], [True] * 8):
        with pytest.raises(InvalidOptionError):
            first.select(rows)


def test_a_run_that_streams_can_be_selected_from_too() -> None:
    (opened,) = ak.open_source(SAMPLES).open(["run-001"])
    assert isinstance(opened, ak.AuditRun)
    assert rows_of(opened.select([6, 1])) == [1, 6]


def test_rows_of_many_blocks_are_found_where_they_stand(tmp_path: Path) -> None:
    rows = [a_result(number, notes=str(number) * 400) for number in range(2500)]
    run = load_one(saved(tmp_path / "run.json", dumped(a_run(rows))))
    assert len(list(run.batches())) > 2
    wanted = [0, 1, 699, 700, 701, 1249, 1250, 2498, 2499]
    chosen = run.select(wanted)
    assert chosen.results.notes.tolist() == [str(number) * 400 for number in wanted]
    assert run.select([2499]).results.notes.tolist() == ["2499" * 400]


# --- how it shows ---------------------------------------------------------------------------------------


class Text(html.parser.HTMLParser):
    """What a browser makes of a piece of HTML: its elements and its text."""

    def __init__(self, document: str):
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


ATTACKS = (
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    '"><b onmouseover="x">',
    "</td></tr></table><h1>",
    "&lt;b&gt;",
    "<!--",
    "javascript:alert(1)",
)


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_text_shows_as_text(tmp_path: Path, attack: str) -> None:
    harmless = load_one(saved(tmp_path / "harmless.json", dumped(a_run(2))))
    record = a_run(2, id=attack, reviewer=attack, taskTitle=attack, skillArea=attack, **{attack: attack})
    hostile = load_one(saved(tmp_path / "hostile.json", dumped(record)))
    for run, plain in ((hostile, harmless), (hostile.select([0]), harmless.select([0]))):
        shown, expected = Text(run._repr_html_()), Text(plain._repr_html_())
        assert shown.elements == expected.elements
        assert shown.attributes == expected.attributes
        assert shown.text.count(attack) == 4  # as a reader sees it


def test_a_run_shows_its_header_as_recorded(run: ak.AuditRun) -> None:
    shown = Text(run._repr_html_()).text
    for value in (
        "run-001",
        "admin-1",
        "Build a responsive navigation bar",
        "frontend",
        "medium",
        "completed",
    ):
        assert value in shown
    for value in ("2024-01-15T10:00:00Z", "2024-01-15T12:30:00Z", "15.8", "8", "2"):
        assert value in shown


@pytest.mark.parametrize("average", [12.3456789, 0.1, 7.00000001, 1234567.25])
def test_the_average_deviation_shows_with_all_its_digits(tmp_path: Path, average: float) -> None:
    run = load_one(saved(tmp_path / "run.json", dumped(a_run(averageDeviation=average))))
    assert str(average) in Text(run._repr_html_()).text


def test_a_selection_shows_how_many_of_how_many(run: ak.AuditRun) -> None:
    assert "3 of 8" in Text(run.select([1, 4, 6])._repr_html_()).text


def test_a_run_shows_what_its_file_could_not_carry(tmp_path: Path) -> None:
    run = load_one(saved(tmp_path / "run.csv", written(load_one(SAMPLES / "run-001.json"), "csv")))
    assert "run_task_title" in Text(run._repr_html_()).text
    assert "run_task_title" in repr(run)


def test_the_html_takes_the_colours_of_its_surroundings(run: ak.AuditRun) -> None:
    shown = run._repr_html_()
    assert "color:inherit" in shown
    assert not any(colour in shown for colour in ("#", "rgb(", "white;", "black", "style>"))


def test_the_text_of_a_run_is_its_header_in_one_line_whatever_its_size(tmp_path: Path) -> None:
    for rows in (0, 3000):
        run = load_one(saved(tmp_path / "run.json", dumped(a_run(rows, reviewer="a\nb"))))
        shown = repr(run)
        assert shown.startswith("AuditRun(id='run-001', reviewer='a\\nb'")
        assert "\n" not in shown
        assert len(shown) < 600


# --- a run out of a frame -------------------------------------------------------------------------------


def test_a_frame_becomes_the_run_that_it_came_from(run: ak.AuditRun) -> None:
    made = ak.AuditRun.from_frame(run.results, **HEADER)
    assert made == run
    for format in ("json", "csv", "jsonl"):
        assert written(made, format) == written(run, format)


@pytest.mark.parametrize("run_id", ["run-002", "run-004", "run-005", "run-006"])
def test_every_sample_comes_back_from_its_frame(run_id: str) -> None:
    run = ak.load_run(run_id, source=SAMPLES)
    header = {name: getattr(run, name) for name in HEADER}
    made = ak.AuditRun.from_frame(run.results, **header)
    assert made.results.equals(run.results)
    assert made.findings().equals(run.findings())


def test_a_frame_of_other_dtypes_makes_the_same_run(run: ak.AuditRun) -> None:
    frame = run.results.astype({"user_score": "int64", "ai_score": "Int64", "deviation": "float32"})
    frame = frame.astype({"deviation_type": "str", "suggested_action": "object", "notes": "object"})
    frame["timestamp"] = [row["timestamp"] for row in RUN_001["results"]]
    assert ak.AuditRun.from_frame(frame, **HEADER) == run
    frame["timestamp"] = run.results.timestamp.dt.tz_convert("Asia/Kolkata")
    assert ak.AuditRun.from_frame(frame, **HEADER) == run


def test_the_order_of_the_rows_of_a_frame_is_that_of_the_run(run: ak.AuditRun) -> None:
    made = ak.AuditRun.from_frame(run.results.iloc[::-1], **HEADER)
    assert rows_of(made) == list(range(8))[::-1]
    assert made.results.position.tolist() == list(range(8))
    assert rows_of(made.select([0])) == [7]


def test_fractions_of_a_second_are_written_as_far_as_they_go(run: ak.AuditRun) -> None:
    stamps = ["2024-01-15T10:15:00Z", "2024-01-15T10:15:00.5Z", "2024-01-15T10:15:00.12345Z"]
    stamps += ["2024-01-15T10:15:10Z", "2024-01-15T10:20:00Z", "2024-01-15T10:15:00.000001Z"]
    stamps += ["2024-01-15T00:00:00Z", "2024-01-15T10:15:30.1Z"]
    frame = run.results.assign(timestamp=pd.to_datetime(stamps, format="ISO8601"))
    made = ak.AuditRun.from_frame(frame, **HEADER)
    assert [row["timestamp"] for row in found(made)["results"]] == stamps


def test_columns_that_are_not_required_may_be_missing(run: ak.AuditRun) -> None:
    frame = run.results.drop(columns=["action_taken", "reviewer", "notes", "run_id", "position"])
    rows = [without(row, "actionTaken", "reviewer", "notes") for row in RUN_001["results"]]
    assert found(ak.AuditRun.from_frame(frame, **HEADER)) == meaning(RUN_001 | {"results": rows})


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("user_score", float("nan")),
        ("user_score", float("inf")),
        ("user_score", None),
        ("user_score", "many"),
        ("user_score", True),
        ("deviation_type", "huge"),
        ("deviation_type", None),
        ("task_difficulty", "Medium"),
        ("action_taken", "nothing"),
        ("timestamp", "yesterday"),
        ("timestamp", None),
        ("timestamp", 5),
        ("timestamp", pd.Timestamp("2024-01-15 10:00")),  # in which zone?
        ("submission_id", None),
        ("notes", "\ud800"),
        ("notes", ["a", "list"]),
        ("extra", "no JSON"),
        ("extra", "[1]"),
    ],
    ids=repr,
)
def test_a_value_that_the_table_does_not_allow_is_a_failure(
    run: ak.AuditRun, column: str, value: Any
) -> None:
    values: list[Any] = [None] * 8 if column == "extra" else run.results[column].to_list()
    if column == "timestamp":
        values = [row["timestamp"] for row in RUN_001["results"]]
    values[3] = value
    frame = run.results.assign(**{column: pd.Series(values, dtype="object")})
    with pytest.raises(InvalidRunError) as caught:
        ak.AuditRun.from_frame(frame, **HEADER)
    assert caught.value.failures.position.dropna().tolist() in ([3], [])
    assert column in caught.value.failures.field.tolist()


@pytest.mark.parametrize("column", ["result_id", "user_score", "deviation_type", "timestamp", "skill_area"])
def test_a_required_column_that_is_missing_is_a_failure(run: ak.AuditRun, column: str) -> None:
    with pytest.raises(InvalidRunError, match=column):
        ak.AuditRun.from_frame(run.results.drop(columns=column), **HEADER)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None},
        {"id": "a\nb"},
        {"id": 7},
        {"reviewer": None},
        {"started_at": "yesterday"},
        {"started_at": pd.Timestamp("2024-01-15T10:00:00Z")},
        {"status": "done"},
        {"task_difficulty": "Medium"},
        {"total_submissions": 8.5},
        {"total_submissions": "8"},
        {"average_deviation": float("nan")},
        {"run_reviewer": "admin-1"},
        {"results": []},
    ],
    ids=repr,
)
def test_a_header_that_the_table_does_not_allow_is_a_failure(
    run: ak.AuditRun, changes: dict[str, Any]
) -> None:
    (name,) = changes
    with pytest.raises((InvalidRunError, TypeError), match=name):
        ak.AuditRun.from_frame(run.results, **HEADER | changes)


def test_a_header_lists_every_failure_at_once(run: ak.AuditRun) -> None:
    with pytest.raises(AuditkitError) as caught:
        ak.AuditRun.from_frame(run.results, id="trial")
    missing = {"reviewer", "started_at", "task_title", "task_difficulty", "skill_area", "status"}
    assert set(caught.value.failures.field) == missing | {"total_submissions", "critical_flags"}  # type: ignore[attr-defined]
