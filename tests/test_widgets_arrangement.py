"""Arrangement, inspection, snippets: what is shown, marked and found, and the script that gives the same."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from records import Record, a_result, a_run, dumped, saved
from strategies import runs as some_runs

import auditkit as ak
from auditkit.errors import AuditkitError, InvalidOptionError
from auditkit.filters import FILTER_FIELDS
from auditkit.widgets import snippets
from auditkit.widgets.arrangement import Arrangement
from auditkit.widgets.inspection import Inspection
from auditkit.widgets.sheet import Sheet

SAMPLES = Path(__file__).parents[1] / "sample_data" / "runs"
WORST = ("deviation", "descending")
DIRECTIONS = ("ascending", "descending")
SCORES_OF_RUN_001 = [7, 47, 4, 9, 22, 0, 31, 6]  # the deviations, sample_data/README.md
LARGEST_ROUNDED = 1e290
"""Points beyond which floats cannot be rounded to ten decimals, as a script does."""


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    return ak.load_results(source=SAMPLES)


@pytest.fixture
def inspection() -> Inspection:
    """Of run-001, in recorded order."""
    inspection = Inspection(ak.load_results("run-001", source=SAMPLES), source=SAMPLES)
    inspection.sort = None
    return inspection


class Hidden(Arrangement):
    """One whose marks outlast a filter."""

    keeps_hidden_marks = True


def rows_of(frame: pd.DataFrame) -> list[tuple[str, int]]:
    """Run id and position of each row."""
    return list(zip(frame.run_id.to_list(), frame.position.to_list(), strict=True))


def marked(arrangement: Arrangement) -> list[int]:
    return np.flatnonzero(arrangement.marks).tolist()


def mark(arrangement: Arrangement, *places: int, how: Any = "only") -> list[int]:
    arrangement.mark(np.array(places, np.int64), how)
    return marked(arrangement)


def changes_of(arrangement: Arrangement) -> list[str]:
    """The names of the traits that change from now on."""
    seen: list[str] = []
    arrangement.observe(
        lambda change: seen.append(change["name"]), ["sheet", "conditions", "sort", "marking"]
    )
    return seen


def folder_of(folder: Path, *runs: Record) -> Path:
    folder.mkdir(exist_ok=True)
    for number, run in enumerate(runs):
        saved(folder / f"{number}.json", dumped(run))
    return folder


# --- order and conditions -------------------------------------------------------------------------------


def test_the_worst_deviation_stands_first_at_the_start() -> None:
    inspection = Inspection(ak.load_results("run-001", source=SAMPLES))
    assert inspection.sort == WORST
    assert inspection.view.deviation.to_list() == sorted(SCORES_OF_RUN_001, reverse=True)


def test_without_an_order_rows_stand_as_in_the_frame(inspection: Inspection) -> None:
    assert inspection.view.deviation.to_list() == SCORES_OF_RUN_001


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", FILTER_FIELDS)
def test_what_is_filtered_stands_in_the_order_of_pandas(
    results: pd.DataFrame, name: str, direction: str
) -> None:
    filter = ak.Filter(difference=(None, 12.5), skill_area=("backend", "frontend", "security"))
    inspection = Inspection(results)
    inspection.filter, inspection.sort = filter, (name, direction)
    frame = filter.apply(results.assign(difference=(results.user_score - results.ai_score).round(10)))
    expected = frame.sort_values(name, ascending=direction == "ascending", kind="stable")
    assert 0 < len(expected) < len(results)
    assert rows_of(inspection.view) == rows_of(expected)


def test_a_view_keeps_the_index_and_the_columns_of_the_frame(results: pd.DataFrame) -> None:
    inspection = Inspection(results.set_index(np.arange(len(results)) * 10))
    inspection.filter = ak.Filter(deviation=(60, None))
    assert list(inspection.view.columns) == list(results.columns)
    assert (inspection.view.index % 10 == 0).all()


def test_all_filtered_away_is_an_empty_view(inspection: Inspection) -> None:
    inspection.filter = ak.Filter(deviation=(1000, None))
    assert inspection.places.tolist() == []
    assert inspection.view.empty
    assert inspection.selected.empty


def test_a_column_is_asked_for_something_else_and_for_nothing(inspection: Inspection) -> None:
    inspection.ask("deviation", [20, None])
    inspection.ask("action_taken", ["override"])
    assert inspection.filter == ak.Filter(deviation=(20, None), action_taken="override")
    inspection.ask("deviation", None)
    assert inspection.filter == ak.Filter(action_taken="override")


def test_asking_for_nonsense_says_so_and_changes_nothing(inspection: Inspection) -> None:
    inspection.filter = filter = ak.Filter(deviation=(20, None))
    for name, value in (("deviation", "much"), ("deviatoin", [1, 2]), ("action_taken", ["allowed"])):
        with pytest.raises(InvalidOptionError):
            inspection.ask(name, value)
    assert inspection.filter == filter


@pytest.mark.parametrize("filter", [None, {"deviation": (1, 2)}, "deviation > 2", ak.Filter])
def test_only_a_filter_filters(inspection: Inspection, filter: Any) -> None:
    with pytest.raises(InvalidOptionError, match=r"is no filter\. Give one"):
        inspection.filter = filter


def test_a_filter_needs_its_columns(results: pd.DataFrame) -> None:
    inspection = Inspection(results.drop(columns="notes"))
    with pytest.raises(InvalidOptionError, match="column notes"):
        inspection.filter = ak.Filter(notes="a")
    assert not inspection.filter


@pytest.mark.parametrize(
    "sort",
    [
        "deviation", 5, ("deviation",), ("deviation", "down"), ("deviatoin", "ascending"),
        (["deviation"], "ascending"),
        ("deviation", None), {"deviation": "ascending"}, ("extra", "ascending"), (),
    ],
)  # fmt: skip
def test_what_is_no_order_is_refused_in_words(inspection: Inspection, sort: Any) -> None:
    inspection.sort = WORST
    with pytest.raises(InvalidOptionError, match=r"is no order\. Give a column"):
        inspection.sort = sort
    assert inspection.sort == WORST


def test_an_order_may_be_a_list(inspection: Inspection) -> None:
    inspection.sort = ["deviation", "ascending"]
    assert inspection.sort == ("deviation", "ascending")
    assert inspection.view.deviation.to_list() == sorted(SCORES_OF_RUN_001)


# --- marks ----------------------------------------------------------------------------------------------


def test_rows_are_marked_alone_added_and_turned_over(inspection: Inspection) -> None:
    assert mark(inspection, 1, 3) == [1, 3]
    assert mark(inspection, 5, how="add") == [1, 3, 5]
    assert mark(inspection, 3, 4, how="toggle") == [1, 4, 5]
    assert mark(inspection, 2) == [2]
    assert mark(inspection) == []


def test_only_a_change_of_the_marks_is_told(inspection: Inspection) -> None:
    seen = changes_of(inspection)
    mark(inspection, 1)
    mark(inspection, 1)
    mark(inspection, 1, how="add")
    assert seen == ["marking"]
    mark(inspection, 1, how="toggle")
    mark(inspection)
    assert seen == ["marking", "marking"]


def test_selected_rows_stand_in_the_order_shown(inspection: Inspection) -> None:
    mark(inspection, 0, 1, 4)
    assert inspection.selected.deviation.to_list() == [7, 47, 22]
    inspection.sort = WORST
    assert inspection.selected.deviation.to_list() == [47, 22, 7]


def test_a_mark_goes_when_its_row_is_filtered_away_and_does_not_come_back(inspection: Inspection) -> None:
    mark(inspection, 0, 1, 4)
    inspection.filter = ak.Filter(deviation=(20, None))
    assert inspection.selected.deviation.to_list() == [47, 22]
    inspection.filter = ak.Filter()
    assert marked(inspection) == [1, 4]


def test_marks_that_outlast_a_filter_stand_behind_those_shown() -> None:
    arrangement = Hidden(Sheet(ak.load_results("run-001", source=SAMPLES), FILTER_FIELDS))
    mark(arrangement, 0, 1, 2, 4)
    arrangement.sort = WORST
    arrangement.ask("deviation", (20, None))
    assert arrangement.marked_places().tolist() == [1, 4, 0, 2]


def test_rows_of_the_view_are_selected(inspection: Inspection) -> None:
    inspection.select(inspection.view[inspection.view.deviation_type == "critical"])
    assert inspection.selected.deviation.to_list() == [47, 31]
    inspection.select(inspection.view.head(0))
    assert inspection.selected.empty


def test_rows_are_named_by_run_and_position_alone(results: pd.DataFrame) -> None:
    inspection = Inspection(results)
    named = pd.DataFrame({"position": [3, 0], "run_id": ["run-004", "run-001"]})
    inspection.select(named)
    assert sorted(rows_of(inspection.selected)) == [("run-001", 0), ("run-004", 3)]


def test_rows_that_are_not_shown_cannot_be_selected(inspection: Inspection) -> None:
    inspection.select(inspection.view.head(2))
    everything = inspection.view
    inspection.filter = ak.Filter(deviation=(5, None))
    before = rows_of(inspection.selected)
    strange = everything.assign(run_id="run-999")
    for rows, words in (
        (everything, "filtered away"),
        (strange, "not among the results"),
        (everything.drop(columns="position"), "frame with run_id and position"),
        ([0, 1], "frame with run_id and position"),
        (None, "frame with run_id and position"),
    ):
        with pytest.raises(InvalidOptionError, match=f"{words}.*Take them from `view`"):
            inspection.select(rows)
    assert rows_of(inspection.selected) == before != []


def test_rows_that_stand_twice_cannot_be_named(results: pd.DataFrame) -> None:
    inspection = Inspection(pd.concat([results.head(2), results.head(2)]))
    with pytest.raises(InvalidOptionError, match=r"stands twice in the results\. Give"):
        inspection.select(inspection.view.head(1))


# --- other results --------------------------------------------------------------------------------------


def test_other_results_are_shown_through_the_same_filter_and_order(
    inspection: Inspection, results: pd.DataFrame
) -> None:
    inspection.filter, inspection.sort = ak.Filter(deviation=(40, None)), ("user_id", "ascending")
    row = inspection.view.index[:1]
    mark(inspection, *row)
    kept, gone = inspection.results.loc[row], inspection.results.drop(row)
    inspection.show(results)
    assert inspection.run_ids == ("run-001", "run-002", "run-003", "run-004", "run-006")
    assert len(inspection.view) == (results.deviation >= 40).sum()
    assert inspection.sort == ("user_id", "ascending")
    assert inspection.selected.result_id.to_list() == kept.result_id.to_list()
    inspection.show(gone)
    assert inspection.selected.empty


def test_every_observer_finds_all_parts_of_the_state_fitting(inspection: Inspection) -> None:
    inspection.filter, inspection.sort = ak.Filter(notes="a"), WORST
    mark(inspection, *inspection.places.tolist())
    fits: list[bool] = []

    def look(change: Any) -> None:
        fits.append(len(inspection.view) == len(inspection.places))
        fits.append(len(inspection.marks) == len(inspection.sheet))
        fits.append(len(inspection.selected) == inspection.marks.sum())

    inspection.observe(look, ["sheet", "conditions", "sort", "marking", "run_ids"])
    inspection.show(ak.load_results("run-003", source=SAMPLES).drop(columns=["deviation", "notes"]))
    assert fits
    assert all(fits)
    assert inspection.sort is None
    assert not inspection.filter
    assert len(inspection.view) == 24


@pytest.mark.parametrize("other", [None, [1, 2], "run-001", 7])
def test_what_is_no_frame_is_refused_and_changes_nothing(inspection: Inspection, other: Any) -> None:
    before = rows_of(inspection.view)
    with pytest.raises(InvalidOptionError, match=r"no frame of results\. Give"):
        inspection.show(other)
    with pytest.raises(InvalidOptionError, match=r"no frame of results\. Give"):
        Inspection(other)
    assert rows_of(inspection.view) == before


def test_a_frame_that_cannot_be_sorted_or_filtered_changes_nothing(
    inspection: Inspection, results: pd.DataFrame
) -> None:
    inspection.sort, inspection.filter = WORST, ak.Filter(user_score=(50, None))
    before, run_ids = rows_of(inspection.view), inspection.run_ids
    for column in ("deviation", "user_score"):
        with pytest.raises(InvalidOptionError, match=f"column {column}"):
            inspection.show(results.assign(**{column: "text"}))
    assert rows_of(inspection.view) == before
    assert (inspection.run_ids, inspection.filter) == (run_ids, ak.Filter(user_score=(50, None)))


def test_whoever_edits_a_frame_edits_their_own(inspection: Inspection) -> None:
    for frame in (inspection.results, inspection.view, inspection.selected):
        frame["deviation"] = 0.0
        frame.loc[0, "notes"] = "edited"
    assert inspection.view.deviation.to_list() == SCORES_OF_RUN_001
    assert "edited" not in inspection.view.notes.to_list()


# --- findings of one result -----------------------------------------------------------------------------


def broken_run() -> Record:
    """Twice the same ids, a wrong deviation, a score out of range, a time outside, a decision missing."""
    late = "2024-01-15T12:30:01Z"
    return a_run(
        [
            a_result(0),
            a_result(1, submissionId="sub-000"),
            a_result(2, id="result-0", deviation=8),
            a_result(3, userScore=101, deviation=23, timestamp=late),
            a_result(4, actionTaken=None, submissionId="sub-000"),
            a_result(5),
        ],
        totalSubmissions=9,
    )


def findings_of(run: ak.AuditRun, position: int) -> list[tuple[Any, ...]]:
    """What the findings of the whole run say about one place."""
    found = run.findings()
    found = found[found["where"].str.startswith(f"results[{position}].")].astype(object)
    return list(found.where(found.notna(), None).itertuples(index=False, name=None))


def assert_findings_are_those_of_the_run(source: Path, run_id: str) -> int:
    """Ask for each result in turn; gives how many findings there were."""
    run = ak.load_run(run_id, source=source)
    inspection = Inspection(ak.load_results(source=source), source=source)
    total = 0
    for place in np.flatnonzero(inspection.results.run_id == run_id):
        position = int(inspection.results.position.iloc[place])
        found = [(f.rule, f.where, f.recorded, f.recomputed, f.severity) for f in inspection.findings(place)]
        assert found == findings_of(run, position)
        total += len(found)
    return total


@pytest.mark.parametrize(
    ("run_id", "count"), [("run-001", 0), ("run-002", 6), ("run-003", 0), ("run-004", 0)]
)
def test_findings_about_a_result_are_those_of_its_run(run_id: str, count: int) -> None:
    assert assert_findings_are_those_of_the_run(SAMPLES, run_id) == count


def test_findings_of_a_large_run_are_those_of_the_run() -> None:
    run = ak.load_run("run-006", source=SAMPLES)
    inspection = Inspection(run.results, source=SAMPLES)
    undecided = np.flatnonzero(run.results.action_taken.isna())
    assert len(undecided) == 124
    for place in [*undecided[:5], 0, 1, 1499]:
        found = [(f.rule, f.where, f.recorded, f.recomputed, f.severity) for f in inspection.findings(place)]
        assert found == findings_of(run, place)


def test_doubles_wrong_numbers_and_times_outside_are_found(tmp_path: Path) -> None:
    other = a_run([a_result(0), a_result(1)], id="run-2")  # the same ids in another run are no doubles
    source = folder_of(tmp_path / "runs", broken_run(), other)
    assert assert_findings_are_those_of_the_run(source, "run-001") == 7
    assert assert_findings_are_those_of_the_run(source, "run-2") == 0


def test_findings_do_not_depend_on_what_is_shown(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "runs", broken_run())
    inspection = Inspection(ak.load_results(source=source), source=source)
    inspection.filter, inspection.sort = ak.Filter(position=(4, 4)), ("position", "descending")
    assert [finding.rule for finding in inspection.findings(4)] == [
        "duplicate_submission_id",
        "decision_missing",
    ]


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet", "json"])
def test_what_a_format_cannot_carry_is_no_finding(tmp_path: Path, format: str) -> None:
    source = folder_of(tmp_path / "runs", broken_run())
    ak.export_audit_run("run-001", format, source=source, output_dir=tmp_path / format)
    expected = {"csv": 6, "jsonl": 7, "parquet": 7, "json": 7}  # a CSV has no result ids
    assert assert_findings_are_those_of_the_run(tmp_path / format, "run-001") == expected[format]


def test_findings_of_a_frame_without_a_source_leave_out_what_needs_the_run(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "runs", broken_run())
    inspection = Inspection(ak.load_results(source=source))
    assert [finding.rule for finding in inspection.findings(3)] == ["score_range"]


def test_columns_that_are_left_out_are_no_findings(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "runs", broken_run())
    results = ak.load_results(source=source)
    slim = Inspection(results.drop(columns=["action_taken", "result_id", "reviewer", "notes"]), source=source)
    assert [finding.rule for finding in slim.findings(4)] == ["duplicate_submission_id"]
    assert [finding.rule for finding in slim.findings(2)] == ["deviation"]
    nameless = Inspection(results.drop(columns=["result_id", "submission_id"]), source=source)
    assert [finding.rule for finding in nameless.findings(2)] == ["deviation"]


def test_the_first_of_doubles_is_that_of_the_run_however_the_frame_is_sorted(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "runs", broken_run())
    turned = Inspection(ak.load_results(source=source).iloc[::-1], source=source)
    assert turned.findings(5) == []
    assert [finding.recomputed for finding in turned.findings(4)] == ["first in results[0]"]


def test_findings_need_rows_that_have_a_name(results: pd.DataFrame) -> None:
    inspection = Inspection(results.drop(columns="run_id"))
    with pytest.raises(InvalidOptionError, match=r"run_id and position.*load_results"):
        inspection.findings(0)


def test_findings_say_why_the_run_cannot_be_had(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "runs", a_run())
    inspection = Inspection(ak.load_results(source=source), source=source)
    saved(source / "0.json", "{")
    with pytest.raises(AuditkitError, match=r"No run 'run-001'.*not whole JSON"):
        inspection.findings(0)
    (source / "0.json").unlink()
    source.rmdir()
    with pytest.raises(FileNotFoundError):
        inspection.findings(0)


def test_findings_in_a_million_rows_take_no_longer_than_a_look(million: pd.DataFrame) -> None:
    inspection = Inspection(million)
    start = time.process_time()
    inspection.findings(len(million) // 2)
    taken = time.process_time() - start
    start = time.process_time()
    for name in ("run_id", "result_id", "submission_id"):
        (million[name] == "another").sum()
    assert taken < 5 * (time.process_time() - start) + 0.2


@pytest.fixture(scope="module")
def million() -> pd.DataFrame:
    sample = ak.load_results("run-006", source=SAMPLES)
    frame = pd.concat([sample] * 667, ignore_index=True).head(1_000_000)
    ids = np.arange(len(frame)).astype(str).astype(object)
    texts = pd.array(ids, dtype=sample.result_id.dtype)
    return frame.assign(position=np.arange(len(frame)), result_id=texts, submission_id=texts)


# --- code -----------------------------------------------------------------------------------------------


def code_of(inspection: Inspection) -> str:
    return snippets.script(*inspection.code_of_view(), *inspection.code_of_selection())


def run_code(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(code, names)
    return names


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Without the index, and without unknown fields where there are none."""
    return frame.reset_index(drop=True).dropna(axis="columns", how="all")


def assert_code_gives_the_same(inspection: Inspection) -> None:
    code = code_of(inspection)
    names = run_code(code)
    assert rows_of(names["view"]) == rows_of(inspection.view), code
    if inspection.marks.any():
        assert rows_of(names["selected"]) == rows_of(inspection.selected), code
        pd.testing.assert_frame_equal(*(plain(frame) for frame in (names["selected"], inspection.selected)))
    else:
        assert "selected" not in names, code


@contextlib.contextmanager
def environment_source(path: Path) -> Iterator[None]:
    os.environ["AUDITKIT_SOURCE"] = str(path)
    try:
        yield
    finally:
        del os.environ["AUDITKIT_SOURCE"]


@st.composite
def conditions(draw: st.DrawFn, frame: pd.DataFrame) -> dict[str, Any]:
    """What a filter may ask of these results: of some columns, mostly for values that they have."""
    asked = {}
    for name in draw(st.lists(st.sampled_from(list(FILTER_FIELDS)), unique=True, max_size=3)):
        field = FILTER_FIELDS[name]
        values = Sheet(frame, FILTER_FIELDS).column(name).to_pandas() if name == "difference" else frame[name]
        values = [
            value for value in values.to_list() if not pd.isna(value) and value not in (np.inf, -np.inf)
        ]
        if field.kind in ("number", "count", "timestamp"):
            low, high = sorted(draw(st.tuples(*[st.sampled_from(values or [0])] * 2)))
            asked[name] = draw(st.sampled_from([(low, high), (low, None), (None, high)])) if values else None
        elif field.kind == "category":
            asked[name] = draw(st.lists(st.sampled_from([*field.allowed, None]), max_size=3))
        else:
            part = st.sampled_from(["a", "'", '"', "\\", "\n", *(text[:3] for text in values if text)])
            asked[name] = draw(part | st.lists(st.sampled_from([None, "", *values]), max_size=3))
    return asked


@st.composite
def states(draw: st.DrawFn, frame: pd.DataFrame) -> tuple[ak.Filter, Any, set[int]]:
    sort = st.tuples(st.sampled_from(list(FILTER_FIELDS)), st.sampled_from(DIRECTIONS)) | st.none()
    picked = st.sets(st.integers(0, max(0, len(frame) - 1)))
    return ak.Filter(**draw(conditions(frame))), draw(sort), draw(picked)


def put(inspection: Inspection, state: tuple[ak.Filter, Any, set[int]]) -> None:
    filter, sort, picked = state
    inspection.filter, inspection.sort = filter, sort
    places = inspection.places
    inspection.mark(places[[at for at in sorted(picked) if at < len(places)]])


@pytest.mark.parametrize("source", ["folder", "path", "source", "files", "environment"])
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_the_code_of_any_state_of_the_samples_gives_the_same_rows(
    results: pd.DataFrame, source: str, data: st.DataObject
) -> None:
    ids = data.draw(st.permutations(["run-001", "run-002", "run-003", "run-004", "run-005"]))
    ids = ids[: data.draw(st.integers(0, 5))]
    files = [str(SAMPLES / f"{run_id}.json") for run_id in ids or ["run-006"]]
    given_source: Any = {
        "folder": str(SAMPLES),
        "path": SAMPLES,
        "source": ak.open_source(SAMPLES, formula_guard=False),
        "files": files,
        "environment": None,
    }[source]
    with environment_source(SAMPLES) if source == "environment" else contextlib.nullcontext():
        frame = ak.load_results(ids, source=given_source)
        inspection = Inspection(frame, source=given_source, run_ids=ids)
        put(inspection, data.draw(states(frame)))
        assert_code_gives_the_same(inspection)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_the_code_of_any_state_of_any_runs_gives_the_same_rows(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    runs = st.lists(some_runs(extras=False), min_size=1, max_size=3, unique_by=lambda run: run["id"])
    source = folder_of(tmp_path_factory.mktemp("some ' \" \\ runs"), *data.draw(runs))
    frame = ak.load_results(source=source)
    assume((frame[["user_score", "ai_score"]].abs() < LARGEST_ROUNDED).all(axis=None))
    inspection = Inspection(frame, source=str(source))
    put(inspection, data.draw(states(frame)))
    assert_code_gives_the_same(inspection)


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_the_code_of_a_part_of_the_results_gives_that_part(
    results: pd.DataFrame, data: st.DataObject
) -> None:
    part = results.iloc[sorted(data.draw(st.sets(st.integers(0, 90), min_size=1)))]
    inspection = Inspection(part, source=SAMPLES)
    put(inspection, data.draw(states(part)))
    assert_code_gives_the_same(inspection)


def test_the_code_of_the_first_rows_of_a_run_gives_only_those(results: pd.DataFrame) -> None:
    inspection = Inspection(results[results.run_id == "run-006"].head(10), source=SAMPLES)
    assert_code_gives_the_same(inspection)
    assert len(run_code(code_of(inspection))["view"]) == 10


def test_the_code_of_whole_runs_does_not_list_their_rows(results: pd.DataFrame) -> None:
    assert "rows" not in code_of(Inspection(results, source=SAMPLES))


def test_the_code_reads_a_source_as_it_was_read(tmp_path: Path) -> None:
    run = a_run([a_result(0, notes="=1+1"), a_result(1, notes="'quoted")])
    source = folder_of(tmp_path / "runs", run)
    csv = ak.export_audit_run("run-001", "csv", source=source, output_dir=tmp_path, formula_guard=False).path
    opened = ak.open_source(csv, formula_guard=False)
    inspection = Inspection(ak.load_results(source=opened), source=opened)
    inspection.filter = ak.Filter(notes=("'quoted", "=1+1"))
    assert len(inspection.view) == 2
    assert_code_gives_the_same(inspection)


@pytest.mark.parametrize(
    "source",
    [
        SAMPLES,
        str(SAMPLES),
        str(SAMPLES / "run-00[1-3].json"),
        SAMPLES / "run-001.json",
        [SAMPLES / "run-001.json"],
        [SAMPLES / "run-001.json", str(SAMPLES / "run-003.json")],
        (SAMPLES / "run-001.json", SAMPLES / "run-003.json"),
        [SAMPLES / f"run-00{n}.json" for n in range(1, 7)],
    ],
    ids=str,
)
def test_a_source_is_opened_as_it_was_given(source: Any) -> None:
    for one in (source, ak.open_source(source)):
        names = run_code(snippets.script(*snippets.opening(one)))
        assert names["source"].files.paths() == ak.open_source(source).files.paths()
        assert "Posix" not in snippets.opening(one)[0]


def test_options_that_were_given_stand_in_the_code() -> None:
    opened = ak.open_source(SAMPLES, strict=True, formula_guard=False, max_uncompressed_bytes=5)
    again = run_code(snippets.script(*snippets.opening(opened)))["source"]
    assert again == opened
    assert snippets.opening(ak.open_source("sample_data/runs")) == [
        "source = ak.open_source('sample_data/runs')"
    ]
    assert snippets.opening(None) == []


HOSTILE = (
    "it's", 'say "x"', "back\\slash", "a,b", "{x}", "%s", "é", "漢字", "\u2028", "😀", "'''", '"""', "\\'",
    "#", "\u202e",
    "\ufeff", "=1+1", "<img src=x onerror=alert(1)>", "a]", "f'{1}'", "__import__('os')", "\\N{DASH}",
    "\\x41",
)  # fmt: skip


@pytest.mark.parametrize("run_id", HOSTILE)
def test_hostile_run_ids_survive_as_code(tmp_path: Path, run_id: str) -> None:
    runs = [a_run(2, id=run_id), a_run(2, id="another")]
    source = folder_of(tmp_path / "runs", *runs)
    inspection = Inspection(ak.load_results(source=source), source=source)
    inspection.filter = ak.Filter(run_id=(run_id,))
    inspection.mark(inspection.places[:1])
    assert rows_of(inspection.view) == [(run_id, 0), (run_id, 1)]
    assert_code_gives_the_same(inspection)


@pytest.mark.parametrize("text", [*HOSTILE, "two\nlines", "\r\n", "\t", "\0", "\x1b", "\x85"])
def test_hostile_texts_survive_as_code(tmp_path: Path, text: str) -> None:
    rows = [a_result(0, notes=f"x{text}x"), a_result(1, notes=text), a_result(2, notes="else")]
    source = folder_of(tmp_path / "runs", a_run(rows))
    inspection = Inspection(ak.load_results(source=source), source=source)
    for asked, count in ((text, 2), ((text,), 1), ((text, None), 1)):
        inspection.filter = ak.Filter(notes=asked)
        assert len(inspection.view) == count
        assert_code_gives_the_same(inspection)


def test_the_code_of_a_large_selection_is_short(results: pd.DataFrame) -> None:
    inspection = Inspection(results, source=SAMPLES)
    inspection.filter = ak.Filter(run_id="run-006", position=(0, 1200))
    inspection.mark(inspection.places[inspection.results.position.to_numpy()[inspection.places] < 1000])
    assert inspection.marks.sum() == 1000
    assert len(code_of(inspection)) < 1000
    assert_code_gives_the_same(inspection)


def test_all_rows_selected_need_no_list(inspection: Inspection) -> None:
    mark(inspection, *range(8))
    assert inspection.code_of_selection() == ["selected = view"]


def test_rows_without_names_are_selected_by_their_place(inspection: Inspection) -> None:
    nameless = Inspection(inspection.results.drop(columns="position"), source=SAMPLES)
    nameless.mark(nameless.places[[0, 1, 2, 5]])
    view = nameless.view
    names = {"view": view}
    exec("\n".join(nameless.code_of_selection()), names)
    assert names["selected"].equals(nameless.selected)


@given(st.sets(st.integers(0, 40)))
def test_listed_numbers_are_the_numbers(numbers: set[int]) -> None:
    wanted = sorted(numbers)
    if wanted:
        assert eval(snippets.listed(np.array(wanted))) == wanted


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([3], "[3]"),
        ([3, 4], "[3, 4]"),
        ([3, 4, 5], "[*range(3, 6)]"),
        ([1, 4, 5, 6, 9], "[1, *range(4, 7), 9]"),
    ],
)
def test_neighbours_are_listed_as_ranges(numbers: Sequence[int], text: str) -> None:
    assert snippets.listed(np.array(numbers)) == text


def test_fields_that_a_format_loses_do_not_stop_the_code(tmp_path: Path) -> None:
    run = a_run([a_result(0), a_result(1, reviewer=None)])
    source = folder_of(tmp_path / "runs", run)
    csv = ak.export_audit_run("run-001", "csv", source=source, output_dir=tmp_path).path
    inspection = Inspection(ak.load_results(source=csv), source=csv)
    inspection.filter = ak.Filter(result_id=(None,), reviewer="admin")
    inspection.sort = ("result_id", "descending")
    assert len(inspection.view) == 2
    assert_code_gives_the_same(inspection)
