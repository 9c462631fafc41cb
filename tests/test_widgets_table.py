"""DeviationTable without a browser: what its page is told, what it answers, says and keeps."""

from __future__ import annotations

import csv
import inspect
import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import traitlets
from pages import Page, state_size, static_texts
from records import Record, a_result, a_run, dumped, saved

import auditkit as ak
from auditkit.errors import InvalidOptionError
from auditkit.formats.guard import unguard
from auditkit.widgets import DeviationTable
from auditkit.widgets.inspection import Inspection

SAMPLES = Path(__file__).parents[1] / "sample_data" / "runs"
HOSTILE = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>&lt;b&gt;</td></table>"
LABELS = {
    "run_id": "Run",
    "position": "Row",
    "result_id": "Result ID",
    "submission_id": "Submission ID",
    "user_id": "User ID",
    "user_score": "User Score",
    "ai_score": "AI Score",
    "difference": "Difference",
    "deviation": "Deviation",
    "deviation_type": "Deviation Type",
    "suggested_action": "Suggested Action",
    "action_taken": "Action Taken",
    "task_title": "Task Title",
    "skill_area": "Skill Area",
    "task_difficulty": "Difficulty",
    "timestamp": "Timestamp",
    "reviewer": "Reviewer",
    "notes": "Notes",
}


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    return ak.load_results(source=SAMPLES)


@pytest.fixture(scope="module")
def million() -> pd.DataFrame:
    """A million results, each with a text of its own in every text column."""
    sample = ak.load_results("run-006", source=SAMPLES)
    frame = pd.concat([sample] * 667, ignore_index=True).head(1_000_000)
    ids = pd.array([f"sub-{n:07}" for n in range(len(frame))], dtype=sample.result_id.dtype)
    return frame.assign(position=np.arange(len(frame)), submission_id=ids, notes=ids)


@pytest.fixture
def table(results: pd.DataFrame) -> DeviationTable:
    return DeviationTable(results, source=SAMPLES)


def table_of(folder: Path, *rows: Record, **options: Any) -> DeviationTable:
    """A table of one run with these results, in recorded order."""
    source = saved(folder / "run.json", dumped(a_run(list(rows))))
    table = DeviationTable(ak.load_results(source=source), source=source, **options)
    table.sort = None
    return table


def rows_of(frame: pd.DataFrame) -> list[tuple[str, int]]:
    return list(zip(frame.run_id.to_list(), frame.position.to_list(), strict=True))


def named(rows: list[dict[str, str | None]]) -> list[tuple[str | None, int]]:
    """Run id and position of rows on the page."""
    return [(row["run_id"], int(row["position"] or -1)) for row in rows]


def notices(table: DeviationTable, *names: str) -> list[tuple[str, Any]]:
    """What the observers of these traits are told from now on."""
    told: list[tuple[str, Any]] = []
    table.observe(lambda change: told.append((change["name"], change["new"])), list(names))
    return told


# --- rows as they come into view ------------------------------------------------------------------------


def test_the_page_scrolls_through_the_whole_view(table: DeviationTable) -> None:
    table.filter = ak.Filter(deviation=(1, None))
    page = Page(table)
    seen = [row for first in range(0, 2000, 100) for row in page.rows(first, 100)]
    assert named(seen) == rows_of(table.view)
    assert len(seen) == page.state("_state")["shown"] < page.state("_state")["total"] == 1580


def test_an_answer_names_its_columns_first_row_and_version(table: DeviationTable) -> None:
    page = Page(table)
    answer = page.ask("rows", first=1500, count=100)
    assert answer["first"] == 1500
    assert len(answer["cells"]) == len(answer["marked"]) == 80
    assert answer["names"] == [name for name in LABELS if name not in ("result_id", "task_title")]
    assert answer["version"] == page.state("_state")["version"]


@pytest.mark.parametrize(
    ("first", "count", "shown"),
    [
        (0, 0, 0), (1579, 5, 1), (1580, 5, 0), (10**9, 5, 0), (-3, 5, 5), (0, 10**9, 200), (3, -1, 0),
        (0, -1, 0),
        (-10, -10, 0), (1.9, 2.9, 2),
    ],
)  # fmt: skip
def test_windows_at_and_beyond_the_edges(
    table: DeviationTable, first: float, count: float, shown: int
) -> None:
    assert len(Page(table).rows(first, count)) == shown  # type: ignore[arg-type]


def test_nothing_travels_that_is_not_asked_for(million: pd.DataFrame) -> None:
    page = Page(DeviationTable(million))
    page.rows(500_000, 100)
    page.ask("sort", column="notes", direction="ascending")
    page.ask("ask", column="notes", value="99")
    page.mark(0, 5)
    assert page.wire.sent_bytes < 60_000


def test_columns_say_what_they_are_called_and_hold(table: DeviationTable) -> None:
    columns = Page(table).state("_columns")
    assert {column["name"]: column["label"] for column in columns} == LABELS
    kinds = {column["name"]: column["kind"] for column in columns}
    assert kinds["difference"] == kinds["deviation"] == "number"
    assert (kinds["position"], kinds["notes"], kinds["action_taken"]) == ("count", "text", "category")
    assert {column["name"] for column in columns if column["numeric"]} == {
        "position", "user_score", "ai_score", "difference", "deviation",
    }  # fmt: skip


def test_a_changed_state_has_another_version_and_only_moved_rows_another_layout(
    table: DeviationTable,
) -> None:
    page = Page(table)
    seen = [page.state("_state")]
    for do, question in (
        ("sort", {"column": "notes", "direction": "ascending"}),
        ("ask", {"column": "notes", "value": "a"}),
        ("clear", {}),
    ):
        page.ask(do, **question)
        seen.append(page.state("_state"))
        assert seen[-1]["version"] > seen[-2]["version"]
        assert seen[-1]["layout"] > seen[-2]["layout"]
    page.mark(0, 3)
    assert page.state("_state")["version"] > seen[-1]["version"]
    assert page.state("_state")["layout"] == seen[-1]["layout"]


# --- sorting and filtering ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LABELS)
def test_a_click_on_a_header_sorts_as_setting_the_order_does(table: DeviationTable, name: str) -> None:
    page = Page(table)
    for direction in ("ascending", "descending"):
        page.ask("sort", column=name, direction=direction)
        assert table.sort == (name, direction)
        assert page.state("_state")["sort"] == [name, direction]
        assert named(page.rows(0, 200)) == rows_of(table.view.head(200))
    page.ask("sort", column=name, direction=None)
    assert table.sort is None
    assert rows_of(table.view) == rows_of(table.results)


def test_a_filter_of_a_column_is_told_in_words_and_taken_away(table: DeviationTable) -> None:
    page = Page(table)
    page.ask("ask", column="difference", value=[5, None])
    page.ask("ask", column="action_taken", value=["allow", None])
    assert table.filter == ak.Filter(difference=(5, None), action_taken=("allow", None))
    state = page.state("_state")
    assert state["asked"] == {
        "difference": {"words": "5 or more", "value": [5, None]},
        "action_taken": {"words": "allow or missing", "value": ["allow", None]},
    }
    assert state["shown"] == len(table.view) == len(table.filter.apply(table.results))
    page.ask("ask", column="difference", value=None)
    assert table.filter == ak.Filter(action_taken=("allow", None))
    page.ask("clear")
    assert not table.filter
    assert page.state("_state")["asked"] == {}


def test_a_filter_of_many_values_is_told_in_short(table: DeviationTable) -> None:
    table.filter = ak.Filter(submission_id=tuple(table.results.submission_id))
    words = Page(table).state("_state")["asked"]["submission_id"]["words"]
    assert len(words) == 201
    assert words.endswith("…")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("deviation", "much"), ("deviation", [None, None]), ("deviation", [1]), ("deviation", [50, 1]),
        ("notes", ""),
        ("action_taken", ["allowed"]), ("timestamp", ["yesterday", None]), ("no_column", "x"), ("extra", "x"),
    ],
)  # fmt: skip
def test_a_filter_that_makes_no_sense_is_refused_in_a_sentence(
    table: DeviationTable, column: str, value: Any
) -> None:
    page = Page(table)
    page.ask("ask", column="user_score", value=[50, None])
    before = page.state("_state")
    assert page.ask("ask", column=column, value=value) == {"failed": True}
    message = page.state("message")
    assert message["kind"] == "error"
    assert message["text"].endswith(".")
    assert "Error" not in message["text"]
    assert page.state("_state") == before
    page.ask("ask", column="user_score", value=None)
    assert page.state("message") == {"kind": "", "text": ""}


def test_the_values_to_choose_from_are_told(table: DeviationTable) -> None:
    page = Page(table)
    assert page.ask("values", column="run_id") == {
        "values": ["run-001", "run-002", "run-003", "run-004", "run-006"]
    }
    assert page.ask("values", column="submission_id") == {"values": None}
    assert page.ask("values", column="action_taken") == {
        "values": ["allow", "flag_for_review", "escalate", "override", None]
    }


def test_an_order_can_be_given_at_the_start(results: pd.DataFrame) -> None:
    assert DeviationTable(results, sort=("notes", "ascending")).sort == ("notes", "ascending")
    assert DeviationTable(results, sort=None).sort is None
    assert DeviationTable(results, filter=ak.Filter(run_id="run-001"), hidden=[]).hidden == []


@pytest.mark.parametrize("sort", ["notes", 3, ("notes", "up"), ("no_column", "ascending")])
def test_an_order_that_makes_no_sense_is_refused(table: DeviationTable, sort: Any) -> None:
    with pytest.raises(InvalidOptionError, match="is no order"):
        table.sort = sort
    assert table.sort == ("deviation", "descending")


# --- marking --------------------------------------------------------------------------------------------


def test_rows_are_marked_by_their_number_in_the_view(table: DeviationTable) -> None:
    page = Page(table)
    page.mark(2, 4)
    assert rows_of(table.selected) == rows_of(table.view.iloc[2:5])
    page.mark(8, 7, "add")  # a range upwards
    page.mark(3, 3, "toggle")
    assert rows_of(table.selected) == rows_of(table.view.iloc[[2, 4, 7, 8]])
    marked = page.ask("rows", first=0, count=10)["marked"]
    assert [row for row, on in enumerate(marked) if on] == [2, 4, 7, 8]
    assert page.state("_state")["marked"] == 4
    page.mark(0, 0)
    assert rows_of(table.selected) == rows_of(table.view.head(1))
    page.ask("unmark")
    assert table.selected.empty


def test_all_rows_shown_are_marked_and_no_others(table: DeviationTable) -> None:
    table.filter = ak.Filter(deviation=(30, None))
    page = Page(table)
    page.mark(0, page.state("_state")["shown"] - 1)
    assert rows_of(table.selected) == rows_of(table.view)
    table.filter = ak.Filter()
    assert page.state("_state")["marked"] == (table.results.deviation >= 30).sum()


def test_a_range_that_reaches_beyond_the_rows_ends_at_them(table: DeviationTable) -> None:
    page = Page(table)
    page.mark(1578, 10**9)
    assert rows_of(table.selected) == rows_of(table.view.tail(2))
    page.mark(-5, 1)
    assert rows_of(table.selected) == rows_of(table.view.head(2))
    page.mark(-5, -2)
    assert table.selected.empty


def test_a_click_on_rows_that_have_moved_is_left_alone(table: DeviationTable) -> None:
    page = Page(table)
    page.mark(0, 1)
    before = rows_of(table.selected)
    layout = page.state("_state")["layout"]
    table.sort = ("user_id", "ascending")
    assert page.ask("mark", first=5, last=9, how="only", layout=layout) == {}
    assert sorted(rows_of(table.selected)) == sorted(before)
    page.mark(5, 9)
    assert rows_of(table.selected) == rows_of(table.view.iloc[5:10])


def test_a_click_on_rows_that_were_only_marked_counts(table: DeviationTable) -> None:
    page = Page(table)
    layout = page.state("_state")["layout"]
    table.selected = table.view.head(3)
    page.ask("mark", first=5, last=5, how="add", layout=layout)
    assert len(table.selected) == 4


def test_what_is_filtered_away_is_not_selected_any_more(table: DeviationTable) -> None:
    table.selected = table.view.head(20)
    before = rows_of(table.selected)
    table.filter = ak.Filter(user_score=(50, None))
    assert rows_of(table.selected) == [row for row in before if row in rows_of(table.view)]
    assert 0 < len(table.selected) < 20
    assert Page(table).state("_state")["hiddenMarks"] == 0


def test_view_cannot_be_set(table: DeviationTable) -> None:
    with pytest.raises(traitlets.TraitError, match="follows from `filter` and `sort`"):
        table.view = table.results


# --- observers ------------------------------------------------------------------------------------------


def test_observers_of_selected_and_view_are_told(table: DeviationTable) -> None:
    told = notices(table, "selected", "view", "filter", "results")
    page = Page(table)
    page.mark(0, 2)
    assert [(name, len(new)) for name, new in told] == [("selected", 3)]
    told.clear()
    page.ask("sort", column="user_id", direction="ascending")
    assert {name for name, _ in told} == {"view", "selected"}
    told.clear()
    table.filter = ak.Filter(deviation=(40, None))
    assert {name for name, _ in told} == {"filter", "view", "selected"}
    assert dict(told)["filter"] == ak.Filter(deviation=(40, None))
    assert dict(told)["view"].equals(table.view)
    assert dict(told)["selected"].equals(table.selected)
    told.clear()
    table.results = table.results.head(5)
    assert {"results", "view", "selected"} <= {name for name, _ in told}
    assert dict(told)["view"].equals(table.view)
    assert dict(told)["results"].equals(table.results)


def test_observers_of_everything_are_told_too(table: DeviationTable) -> None:
    names: list[str] = []
    table.observe(lambda change: names.append(change["name"]))
    Page(table).mark(0, 2)
    assert "selected" in names


def test_nothing_is_made_for_nobody(results: pd.DataFrame) -> None:
    made: list[str] = []

    class Counted(DeviationTable):
        def _get_view(self) -> pd.DataFrame:
            made.append("view")
            return super()._get_view()

        def _get_selected(self) -> pd.DataFrame:
            made.append("selected")
            return super()._get_selected()

    table = Counted(results)
    page = Page(table)
    page.mark(0, 2)
    page.ask("sort", column="user_id", direction="ascending")
    table.filter = ak.Filter(deviation=(40, None))
    assert made == []
    table.observe(print_nothing, "selected")
    table.observe(print_nothing, "view")
    table.unobserve(print_nothing, "view")
    page.mark(0, 0)
    table.sort = None
    assert set(made) == {"selected"}


def print_nothing(change: Any) -> None:
    """An observer."""


# --- copying --------------------------------------------------------------------------------------------


def copied(table: DeviationTable) -> list[list[str]]:
    """The cells that a spreadsheet makes of what was copied."""
    answer = Page(table).ask("copy")
    rows = list(csv.reader(io.StringIO(answer["text"], newline=""), dialect="excel-tab"))
    assert answer["rows"] == len(rows) - 1
    return rows


def test_selected_rows_are_copied_in_the_order_shown(table: DeviationTable) -> None:
    page = Page(table)
    page.mark(3, 3)
    page.mark(0, 1, "add")
    head, *rows = copied(table)
    shown = table.view.iloc[[0, 1, 3]]
    assert [(row[0], int(row[1])) for row in rows] == rows_of(shown)
    assert head == [label for name, label in LABELS.items() if name not in table.hidden]


def test_hidden_columns_are_not_copied(table: DeviationTable) -> None:
    table.hidden = [name for name in LABELS if name not in ("deviation", "user_id")]
    Page(table).mark(0, 0)
    worst = table.results.loc[table.results.deviation.idxmax()]
    assert copied(table) == [["User ID", "Deviation"], [worst.user_id, f"{worst.deviation:g}"]]


def test_what_cuts_cells_is_quoted(tmp_path: Path) -> None:
    notes = ["a\tb", "a\nb", "a\r\nb", 'say "x"', "plain, with comma", "", None, "  blank  "]
    table = table_of(tmp_path, *(a_result(n, notes=note) for n, note in enumerate(notes)))
    table.hidden = [name for name in LABELS if name != "notes"]
    Page(table).mark(0, 99)
    assert [row[0] if row else "" for row in copied(table)] == ["Notes", *(note or "" for note in notes)]
    assert Page(table).ask("copy")["text"].splitlines()[1] == '"a\tb"'


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-2+3", "@SUM(A1)", "%0A", " =1", "\t=1", "a,=1", "'x", "＝1", "\n=2"]
)
def test_no_text_becomes_a_formula(tmp_path: Path, text: str) -> None:
    row = a_result(0, notes=text, reviewer=text, submissionId=text, userScore=10, aiScore=20)
    table = table_of(tmp_path, row, hidden=[])
    Page(table).mark(0, 0)
    cells = dict(zip(*copied(table), strict=True))
    for label in ("Notes", "Reviewer", "Submission ID"):
        assert cells[label].startswith("'") or cells[label] == "a,'=1"
        assert unguard(cells[label]) == text
    assert cells["Difference"] == "-10"


def test_whole_texts_are_copied(tmp_path: Path) -> None:
    table = table_of(tmp_path, a_result(0, notes="x" * 5000))
    Page(table).mark(0, 0)
    assert copied(table)[1][-1] == "x" * 5000


def test_nothing_selected_copies_no_rows(table: DeviationTable) -> None:
    assert Page(table).ask("copy")["rows"] == 0


def test_up_to_ten_thousand_rows_are_copied_at_once(million: pd.DataFrame) -> None:
    table = DeviationTable(million)
    page = Page(table)
    page.mark(0, 9_999)
    start = time.process_time()
    assert page.ask("copy")["rows"] == 10_000
    assert time.process_time() - start < 5  # the page gives the kernel ten seconds
    page.mark(0, 10_000)
    assert page.ask("copy") == {"failed": True}
    assert page.state("message") == {
        "kind": "error",
        "text": "10,001 results are too many to copy. Select up to 10,000, or export them as a file.",
    }


# --- one result in detail -------------------------------------------------------------------------------


def test_a_detail_has_every_field_whole(tmp_path: Path) -> None:
    note = "line\n" * 300
    row = a_result(5, userScore=60, aiScore=80.5, deviation=20.5, notes=note, reviewer="", actionTaken=None)
    table = table_of(tmp_path, row | {"model": {"name": "m", "tries": [1, 2.50]}})
    fields = dict(Page(table).ask("detail", row=0)["fields"])
    assert list(fields) == [*LABELS.values(), "Extra fields"]
    assert fields["Notes"] == note
    assert fields["Difference"] == "-20.5"
    assert fields["Action Taken"] is None
    assert fields["Reviewer"] == ""
    assert json.loads(fields["Extra fields"]) == {"model": {"name": "m", "tries": [1, 2.5]}}


def test_a_detail_is_of_the_row_that_is_shown(table: DeviationTable) -> None:
    table.filter, table.sort = ak.Filter(run_id="run-004"), ("user_id", "descending")
    page = Page(table)
    for row in (0, 5, 27):
        fields = dict(page.ask("detail", row=row)["fields"])
        assert (fields["Run"], int(fields["Row"])) == rows_of(table.view)[row]
        assert fields["Notes"] == table.view.astype(object).where(table.view.notna(), None).notes.iloc[row]


def test_results_without_unknown_fields_have_no_line_for_them(table: DeviationTable) -> None:
    assert [label for label, _ in Page(table).ask("detail", row=0)["fields"]] == list(LABELS.values())


def test_hidden_columns_stand_in_the_detail(table: DeviationTable) -> None:
    table.hidden = list(LABELS)[1:]
    assert len(Page(table).ask("detail", row=0)["fields"]) == len(LABELS)


def test_findings_about_a_result_are_told_in_words(tmp_path: Path) -> None:
    twin = a_result(1, submissionId="sub-000", actionTaken=None, deviation=8)
    table = table_of(tmp_path, a_result(0), twin)
    page = Page(table)
    assert page.ask("findings", row=0) == {"findings": []}
    assert page.ask("findings", row=1) == {
        "findings": [
            ["deviation", "error", "8", "7"],
            ["duplicate submission id", "error", "sub-000", "first in results[0]"],
            ["decision missing", "warning", None, None],
        ]
    }


def test_findings_that_cannot_be_had_are_said_and_the_table_goes_on(tmp_path: Path) -> None:
    table = table_of(tmp_path, a_result(0), a_result(1))
    (tmp_path / "run.json").unlink()
    page = Page(table)
    assert page.ask("findings", row=0) == {"failed": True}
    text = page.state("message")["text"]
    assert text.startswith("No such f")
    assert text.endswith("Check that it is still there, then try again.")
    assert len(page.rows()) == 2
    assert page.ask("detail", row=1)["fields"]


def test_a_row_that_is_not_there_fails_and_the_table_goes_on(table: DeviationTable) -> None:
    page = Page(table)
    assert page.ask("detail", row=1580) == {"failed": True}
    assert page.state("message")["kind"] == "error"
    assert len(page.rows(0, 10)) == 10


# --- columns --------------------------------------------------------------------------------------------


def test_columns_are_hidden_from_a_cell_and_from_the_page(table: DeviationTable) -> None:
    page = Page(table)
    table.hidden = ["notes", "run_id"]
    assert page.state("hidden") == ["notes", "run_id"]
    page.put(hidden=["notes"], _widths={"user_id": 300})
    assert table.hidden == ["notes"]
    assert page.ask("rows", first=0, count=1)["names"] == [name for name in LABELS if name != "notes"]


# --- words and code -------------------------------------------------------------------------------------


def test_a_table_without_results_says_what_to_do(results: pd.DataFrame) -> None:
    assert (
        Page(DeviationTable(results.head(0))).state("_state")["nothing"] == "Pick a run to see its results."
    )
    empty = Inspection(results.head(0), run_ids=["run-005"])
    assert Page(DeviationTable(empty)).state("_state")["nothing"] == "No results in these runs."


def test_an_unknown_question_is_left_alone(table: DeviationTable) -> None:
    page = Page(table)
    page.wire.heard({"content": {"data": {"method": "custom", "content": {"do": "explode", "id": 1}}}})
    page.wire.heard({"content": {"data": {"method": "custom", "content": {}}}})
    assert page.state("message") == {"kind": "", "text": ""}


def test_a_question_without_its_parts_fails_and_the_table_goes_on(table: DeviationTable) -> None:
    page = Page(table)
    for do in ("rows", "mark", "sort", "ask", "detail", "values", "findings"):
        assert page.ask(do) == {"failed": True}
    assert len(page.rows(0, 10)) == 10


def test_the_code_button_gives_the_code(table: DeviationTable) -> None:
    table.filter = ak.Filter(deviation=(20, None))
    page = Page(table)
    page.mark(0, 1)
    assert page.ask("code") == {"code": table.code}
    names: dict[str, Any] = {}
    exec(table.code, names)
    assert rows_of(names["view"]) == rows_of(table.view)
    assert rows_of(names["selected"]) == rows_of(table.selected)


def test_the_code_reads_as_somebody_would_write_it() -> None:
    table = DeviationTable(ak.load_results("run-001", source="sample_data/runs"), source="sample_data/runs")
    table.filter = ak.Filter(deviation=(20, None), deviation_type=("critical",))
    table.selected = table.view.head(1)
    assert (
        table.code
        == inspect.cleandoc("""
        import auditkit as ak

        source = ak.open_source('sample_data/runs')
        results = ak.load_results(['run-001'], source=source)
        view = ak.Filter(deviation=(20, None), deviation_type=('critical',)).apply(results)
        view = view.sort_values('deviation', ascending=False, kind='stable')
        rows = {'run-001': [1]}
        rows = {(run_id, position) for run_id, positions in rows.items() for position in positions}
        selected = view[[row in rows for row in zip(view.run_id, view.position)]]
    """)
        + "\n"
    )


def test_a_table_is_told_in_a_line_that_is_always_the_same(results: pd.DataFrame) -> None:
    table = DeviationTable(results)
    assert repr(table) == "DeviationTable(1580 of 1580 results)"
    table.filter = ak.Filter(deviation=(50, None))
    table.selected = table.view.head(2)
    assert repr(table) == "DeviationTable(13 of 1580 results, 2 selected)"


# --- other results --------------------------------------------------------------------------------------


def test_other_results_take_the_place_of_these(table: DeviationTable, results: pd.DataFrame) -> None:
    page = Page(table)
    page.mark(0, 5)
    table.results = results[results.run_id == "run-001"].drop(columns=["deviation", "notes"])
    state = page.state("_state")
    assert (state["total"], state["shown"], state["marked"], state["sort"]) == (8, 8, 0, None)
    assert {column["name"] for column in page.state("_columns")} == set(LABELS) - {"deviation", "notes"}
    assert len(page.rows()) == 8


def test_results_that_are_none_change_nothing(table: DeviationTable, results: pd.DataFrame) -> None:
    for wrong in (None, results.assign(deviation="x"), "sample_data/runs"):
        with pytest.raises(InvalidOptionError):
            table.results = wrong
    assert len(table.view) == 1580
    assert len(Page(table).rows(0, 10)) == 10


def test_two_tables_of_an_inspection_stay_together(results: pd.DataFrame) -> None:
    first = DeviationTable(results)
    second = DeviationTable(first.inspection)
    page = Page(second)
    first.filter = ak.Filter(deviation=(40, None))
    first.selected = first.view.head(3)
    assert page.state("_state")["marked"] == 3
    page.ask("clear")
    assert not first.filter


# --- size and static copy -------------------------------------------------------------------------------


def test_what_is_synced_does_not_grow_with_the_rows(million: pd.DataFrame) -> None:
    small, large = DeviationTable(million.head(1000)), DeviationTable(million)
    for table in (small, large):
        table.filter = ak.Filter(deviation=(0, None))
        page = Page(table)
        page.mark(0, 10**9)
        assert page.state("_state")["marked"] == len(table.results)
    assert state_size(large) < 100_000
    assert abs(state_size(large) - state_size(small)) < 100  # the digits of counts
    assert "sub-0" not in json.dumps(Page(large).traits)


def test_a_million_rows_are_shown_at_once(million: pd.DataFrame) -> None:
    start = time.process_time()
    page = Page(DeviationTable(million))
    page.rows(0, 100)
    page.rows(999_900, 100)
    assert time.process_time() - start < 5


@pytest.mark.parametrize("run_id", ["run-001", "run-004", "run-005", "run-006"])
def test_a_static_copy_is_small_and_always_the_same(run_id: str) -> None:
    first, second = (DeviationTable(ak.load_results(run_id, source=SAMPLES)) for _ in range(2))
    assert first.static_html() == second.static_html()
    assert "0x" not in repr(first)
    assert len(first.static_html().encode()) < 20_000


def test_a_static_copy_of_a_million_rows_is_as_small(million: pd.DataFrame) -> None:
    table = DeviationTable(million)
    assert len(table.static_html().encode()) < 20_000
    texts = static_texts(table.static_html())
    assert texts[0] == "Results: 1,000,000"
    assert texts[-1] == "These are the first 8."


def test_a_static_copy_has_head_rows_and_counts(results: pd.DataFrame) -> None:
    table = DeviationTable(results, hidden=[])
    table.filter = ak.Filter(deviation=(50, None))
    title, *texts, note = static_texts(table.static_html())
    assert title == "Results: 13 of 1,580"
    assert texts[: len(LABELS)] == list(LABELS.values())
    assert texts[len(LABELS)] == table.view.run_id.iloc[0]
    assert note == "These are the first 8."


def test_a_static_copy_says_that_nothing_is_shown(results: pd.DataFrame) -> None:
    table = DeviationTable(results)
    table.filter = ak.Filter(deviation=(1000, None))
    texts = static_texts(table.static_html())
    assert texts[0] == "Results: 0 of 1,580"
    assert texts[-1] == "No result passes the filters."
    assert static_texts(DeviationTable(results.head(0)).static_html())[-1] == "Pick a run to see its results."


def test_hostile_texts_stay_texts_in_a_static_copy(tmp_path: Path) -> None:
    keys = ("id", "submissionId", "userId", "taskTitle", "skillArea", "reviewer", "notes")
    row = a_result(0, **dict.fromkeys(keys, HOSTILE))
    source = saved(tmp_path / "run.json", dumped(a_run([row], id=HOSTILE)))
    table = DeviationTable(ak.load_results(source=source), hidden=[])
    table.filter = ak.Filter(notes=HOSTILE, run_id=(HOSTILE,))
    assert static_texts(table.static_html()).count(f"{HOSTILE[:48]}…") == len(keys) + 1
    bundle, _ = table._repr_mimebundle_()
    assert bundle["text/plain"] == "DeviationTable(1 of 1 results)"
    page = Page(table)
    assert page.rows()[0]["notes"] == HOSTILE  # escaping is the page's, which writes text only
    assert dict(page.ask("detail", row=0)["fields"])["Notes"] == HOSTILE


def test_a_notebook_gets_the_widget_and_its_static_copy(table: DeviationTable) -> None:
    bundle, _ = table._repr_mimebundle_()
    assert bundle["text/html"] == table.static_html()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == table.model_id
    assert bundle["text/plain"] == repr(table)
