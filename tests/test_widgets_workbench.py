"""Workbench without a browser: four widgets that stay together, whatever happens to their source."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import Page, state_size, static_texts
from records import Record, a_result, a_run, dumped, saved

import auditkit as ak
from auditkit.errors import InvalidOptionError, RunNotFoundError
from auditkit.filters import FILTER_FIELDS
from auditkit.widgets import DeviationTable, Workbench

SAMPLES = Path(__file__).parents[1] / "sample_data" / "runs"
IDS = ("run-001", "run-002", "run-003", "run-004", "run-005", "run-006")
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of its own with the sample runs, which a test may break."""
    return Path(shutil.copytree(SAMPLES, tmp_path / "runs"))


@pytest.fixture
def bench(folder: Path, tmp_path: Path) -> Workbench:
    return Workbench(folder, output_dir=tmp_path / "exports")


def folder_of(folder: Path, *runs: Record) -> Path:
    folder.mkdir(exist_ok=True)
    for number, run in enumerate(runs):
        saved(folder / f"{number}.json", dumped(run))
    return folder


def rows_of(frame: pd.DataFrame) -> list[tuple[str, int]]:
    return list(zip(frame.run_id.to_list(), frame.position.to_list(), strict=True))


def shown_runs(bench: Workbench) -> list[str]:
    """The runs whose results are shown; all four widgets have to agree."""
    found = list(dict.fromkeys(sorted(bench.inspection.results.run_id)))
    assert found == [run_id for run_id in sorted(bench.inspection.run_ids) if run_id in found]
    assert bench.explorer.counts["total"] == len(bench.table.results) == len(bench.panel.results)
    assert bench.explorer.counts["shown"] == len(bench.table.view)
    return found


def said(widget: Any, kind: str) -> str:
    message = widget.message
    assert message["kind"] == kind, message
    text: str = message["text"]
    assert text.endswith("."), text
    return text


# --- picking and looking --------------------------------------------------------------------------------


def test_picked_runs_are_looked_at(bench: Workbench) -> None:
    assert shown_runs(bench) == []
    bench.picker.run_ids = ["run-003", "run-001"]
    assert shown_runs(bench) == ["run-001", "run-003"]
    pd.testing.assert_frame_equal(
        bench.table.results, ak.load_results(["run-001", "run-003"], source=bench.picker.source)
    )
    bench.picker.run_ids = ["run-003"]
    assert shown_runs(bench) == ["run-003"]
    bench.picker.run_ids = []
    assert shown_runs(bench) == []


def test_picking_on_the_page_is_the_same_as_from_a_cell(bench: Workbench) -> None:
    page = Page(bench.picker)
    page.mark(0, 1)
    page.mark(5, 5, "add")
    assert shown_runs(bench) == ["run-001", "run-002", "run-006"]


def test_without_picks_the_widgets_say_what_to_do(bench: Workbench) -> None:
    assert Page(bench.table).state("_state")["nothing"] == "Pick a run to see its results."
    assert bench.panel.choice.reason
    assert bench.table.message == {"kind": "", "text": ""}


def test_filter_order_and_marks_are_shared(bench: Workbench) -> None:
    bench.picker.run_ids = ["run-001", "run-006"]
    Page(bench.explorer).ask("brush", conditions={"difference": [20, None]})
    assert bench.table.filter == bench.panel.filter == ak.Filter(difference=(20, None))
    table = Page(bench.table)
    table.ask("ask", column="action_taken", value=["allow"])
    assert bench.explorer.filter == ak.Filter(difference=(20, None), action_taken="allow")
    table.mark(0, 1)
    bench.panel.scope = "selected"
    (receipt,) = bench.panel.export()
    assert receipt.rows == 2
    assert sorted(rows_of(ak.load_results(source=receipt))) == [("run-006", 0), ("run-006", 1)]


def test_a_filter_outlasts_another_choice_of_runs(bench: Workbench) -> None:
    bench.picker.run_ids = ["run-001"]
    bench.table.filter = ak.Filter(deviation=(20, None))
    bench.picker.run_ids = ["run-001", "run-003"]
    assert bench.table.filter == ak.Filter(deviation=(20, None))
    assert (bench.table.view.deviation >= 20).all()


def test_a_run_is_read_once_while_it_stays_picked(bench: Workbench, folder: Path) -> None:
    bench.picker.run_ids = ["run-001", "run-003"]
    saved(folder / "run-001.json", "{")
    bench.picker.run_ids = ["run-001", "run-002"]
    assert shown_runs(bench) == ["run-001", "run-002"]
    assert said(bench.table, "info").startswith("run-002 is still running")


# --- finding --------------------------------------------------------------------------------------------


def test_what_is_found_is_shown_and_nothing_else(tmp_path: Path) -> None:
    rows = [a_result(0, submissionId="s", userId="u"), a_result(1, submissionId="s", userId="v"), a_result(2)]
    runs = [
        a_run(rows, id="one"),
        a_run([a_result(0)], id="two"),
        a_run([a_result(9, userId="u")], id="three"),
    ]
    bench = Workbench(folder_of(tmp_path / "runs", *runs))
    bench.table.filter = ak.Filter(deviation=(1000, None))
    picker = Page(bench.picker)
    picker.ask("find", text="u")
    assert rows_of(bench.table.view) == [("one", 0), ("three", 0)]
    assert bench.table.filter == ak.Filter(user_id=("u",))
    picker.ask("find", text="s")
    assert rows_of(bench.table.view) == [("one", 0), ("one", 1)]
    picker.ask("find", text="v")
    assert rows_of(bench.table.view) == [("one", 1)]
    assert said(bench.picker, "info") == "v stands in one row 1."


def test_what_is_found_as_a_submission_and_as_a_user_is_not_hidden_by_a_filter(tmp_path: Path) -> None:
    rows = [a_result(0, submissionId="x"), a_result(1, userId="x"), a_result(2)]
    bench = Workbench(folder_of(tmp_path / "runs", a_run(rows)))
    bench.table.filter = ak.Filter(deviation=(1000, None))
    bench.picker.find("x")
    assert {("run-001", 0), ("run-001", 1)} <= set(rows_of(bench.table.view))


def test_nothing_found_changes_nothing(bench: Workbench) -> None:
    bench.picker.run_ids = ["run-001"]
    bench.table.filter = filter = ak.Filter(deviation=(20, None))
    bench.picker.find("nobody")
    assert (bench.table.filter, shown_runs(bench)) == (filter, ["run-001"])


# --- what goes wrong ------------------------------------------------------------------------------------


def test_an_empty_run_and_a_running_one_are_said(bench: Workbench) -> None:
    bench.picker.run_ids = ["run-001", "run-002", "run-005"]
    assert said(bench.table, "info") == (
        "run-002 is still running: more results may come. run-005 has no results."
    )
    assert shown_runs(bench) == ["run-001", "run-002"]
    bench.picker.run_ids = ["run-005"]
    assert said(bench.table, "info") == "run-005 has no results."
    assert Page(bench.table).state("_state")["nothing"] == "No results in these runs."
    bench.panel.scope = "run"
    (receipt,) = bench.panel.export()
    assert receipt.rows == 0
    bench.picker.run_ids = ["run-001"]
    assert bench.table.message == {"kind": "", "text": ""}


def test_a_run_that_turns_unreadable_is_said_and_the_others_are_shown(bench: Workbench, folder: Path) -> None:
    saved(folder / "run-003.json", dumped(a_run([a_result(0, userScore="much")], id="run-003")))
    bench.picker.run_ids = ["run-001", "run-003"]
    text = said(bench.table, "error")
    assert "run-003.json, run 'run-003', row 0, userScore" in text
    assert text.endswith("The other picked runs are shown.")
    assert shown_runs(bench) == ["run-001"]
    bench.picker.run_ids = ["run-003"]
    assert not said(bench.table, "error").endswith("are shown.")
    assert shown_runs(bench) == []
    shutil.copy(SAMPLES / "run-003.json", folder)
    Page(bench.picker).ask("reload")
    assert shown_runs(bench) == ["run-003"]
    assert bench.table.message["text"] == ""


def test_a_run_whose_file_went_is_said(bench: Workbench, folder: Path) -> None:
    (folder / "run-003.json").unlink()
    bench.picker.run_ids = ["run-001", "run-003"]
    assert "No run 'run-003' in" in said(bench.table, "error")
    assert shown_runs(bench) == ["run-001"]


def test_a_folder_that_vanishes_leaves_what_is_held_of_the_picks(bench: Workbench, folder: Path) -> None:
    bench.picker.run_ids = ["run-001", "run-003"]
    shutil.rmtree(folder)
    bench.picker.run_ids = ["run-001", "run-002"]
    assert "Check that it is still there" in said(bench.table, "error")
    assert shown_runs(bench) == ["run-001"]
    bench.picker.run_ids = ["run-002"]
    assert shown_runs(bench) == []  # never results of a run that is not picked
    Page(bench.picker).ask("reload")
    assert "Check that it is still there" in said(bench.picker, "error")
    assert bench.picker.run_ids == ()
    shutil.copytree(SAMPLES, folder)
    Page(bench.picker).ask("reload")
    bench.picker.run_ids = ["run-002"]
    assert shown_runs(bench) == ["run-002"]


def test_what_could_not_be_listed_stays_said_while_picks_change(bench: Workbench, folder: Path) -> None:
    bench.picker.run_ids = ["run-001"]
    saved(folder / "broken.json", "{")
    Page(bench.picker).ask("reload")
    assert "broken.json" in said(bench.picker, "error")
    assert shown_runs(bench) == ["run-001"]
    bench.picker.run_ids = ["run-002"]
    assert "broken.json" in said(bench.picker, "error")


def test_reading_again_shows_what_has_changed(bench: Workbench, folder: Path) -> None:
    bench.picker.run_ids = ["run-001"]
    saved(folder / "run-001.json", dumped(a_run(3, id="run-001")))
    Page(bench.picker).ask("reload")
    assert bench.picker.run_ids == ("run-001",)
    assert len(bench.table.view) == 3


def test_all_rows_filtered_away_leave_everything_working(bench: Workbench) -> None:
    bench.picker.run_ids = list(IDS)
    bench.table.filter = ak.Filter(deviation=(1000, None))
    assert bench.explorer.counts["shown"] == 0
    assert "none of 1,580 results" in bench.panel.choice.reason
    page = Page(bench.panel)
    page.ask("export")
    assert bench.panel.message["text"] == bench.panel.choice.reason
    assert static_texts(bench.table.static_html())[-1].startswith("No result passes the filters. ")
    exec(bench.code, {})
    Page(bench.table).ask("clear")
    assert len(bench.table.view) == 1580


def test_no_runs_at_all_is_said(tmp_path: Path) -> None:
    bench = Workbench(tmp_path)
    assert said(bench.picker, "info").startswith(f"No runs in {tmp_path}.")
    assert shown_runs(bench) == []
    with pytest.raises(RunNotFoundError):
        bench.picker.run_ids = ["run-001"]
    assert static_texts(bench.static_html())
    exec(bench.code, {})


def test_without_a_source_it_says_how_to_name_one() -> None:
    bench = Workbench()
    assert "AUDITKIT_SOURCE" in said(bench.picker, "error")
    assert repr(bench) == "Workbench(RunPicker(0 of 0 runs picked), DeviationTable(0 of 0 results))"


def test_a_find_shows_a_row_that_came_after_its_run_was_read(bench: Workbench, folder: Path) -> None:
    bench.picker.run_ids = ["run-001"]
    path = folder / "run-001.json"
    path.write_text(path.read_text(encoding="utf-8").replace("sub-003", "sub-late"), encoding="utf-8")
    bench.picker.find("sub-late")
    assert bench.table.view.submission_id.to_list() == ["sub-late"]


def test_reading_again_reads_changed_runs_and_tells_of_no_empty_pick(bench: Workbench, folder: Path) -> None:
    bench.picker.run_ids = ["run-001"]
    told = []
    bench.picker.observe(lambda change: told.append(bench.picker.run_ids), "run_ids")
    path = folder / "run-001.json"
    path.write_text(path.read_text(encoding="utf-8").replace("sub-003", "sub-late"), encoding="utf-8")
    bench.picker.reload()
    assert told == []
    assert bench.picker.run_ids == ("run-001",)
    assert "sub-late" in bench.table.results.submission_id.to_list()


def test_selected_rows_stay_so_when_another_run_is_picked(bench: Workbench) -> None:
    bench.picker.run_ids = ["run-001"]
    bench.table.selected = bench.table.view.head(2)
    wanted = rows_of(bench.table.selected)
    bench.picker.run_ids = ["run-001", "run-003"]
    assert sorted(rows_of(bench.table.selected)) == sorted(wanted)
    bench.picker.reload()
    assert sorted(rows_of(bench.table.selected)) == sorted(wanted)
    bench.picker.run_ids = ["run-003"]
    assert rows_of(bench.table.selected) == []


def test_an_export_of_other_rows_than_shown_is_said(bench: Workbench, folder: Path) -> None:
    bench.picker.run_ids = ["run-001"]
    bench.table.filter = ak.Filter(notes="Critical deviation")
    assert len(bench.table.view) == 1
    path = folder / "run-001.json"
    path.write_text(path.read_text(encoding="utf-8").replace("Critical dev", "Dev"), encoding="utf-8")
    [receipt] = bench.panel.export()
    assert receipt.rows == 0
    assert said(bench.panel, "error").startswith("1 result was shown, but 0 written")


def test_a_frame_that_the_explorer_refuses_changes_nothing(bench: Workbench) -> None:
    bench.picker.run_ids = ["run-001"]
    with pytest.raises(InvalidOptionError, match="deviation"):
        bench.table.results = bench.table.results.drop(columns="deviation")
    assert len(bench.table.results) == bench.explorer.counts["total"] == 8
    assert bench.table.sort == ("deviation", "descending")


@pytest.mark.parametrize(
    ("name", "value"), [("filter", ak.Filter(notes="x")), ("sort", ("notes", "ascending"))]
)
def test_what_cannot_be_compared_is_refused_and_not_kept(name: str, value: Any) -> None:
    table = DeviationTable(ak.load_results("run-001", source=SAMPLES).assign(notes=5))
    before = (table.filter, table.sort)
    with pytest.raises(InvalidOptionError, match="notes"):
        setattr(table, name, value)
    assert (table.filter, table.sort) == before


def test_rows_that_no_script_can_load_are_not_said_to_be_others() -> None:
    results = ak.load_results("run-001", source=SAMPLES)
    for frame in (results.drop(columns="position"), pd.concat([results.head(3)] * 2, ignore_index=True)):
        code = DeviationTable(frame, source=SAMPLES).code
        assert "load_results" not in code
        names = {"results": frame}
        exec(code, names)
        assert len(names["view"]) == len(frame)


# --- code -----------------------------------------------------------------------------------------------


@st.composite
def benches(draw: st.DrawFn, source: Any) -> Workbench:
    """A workbench in any state of picks, filter, order and marks."""
    bench = Workbench(source)
    bench.picker.run_ids = draw(st.sets(st.sampled_from(IDS[:5])))
    low = draw(st.integers(0, 60))
    conditions = [
        {},
        {"deviation": (low, None)},
        {"difference": (None, low)},
        {"reviewer": ("admin-1", None)},
    ]
    bench.table.filter = ak.Filter(**draw(st.sampled_from(conditions)))
    orders = st.tuples(st.sampled_from(list(FILTER_FIELDS)), st.sampled_from(["ascending", "descending"]))
    bench.table.sort = draw(orders | st.none())
    places = bench.inspection.places
    bench.inspection.mark(
        places[draw(st.lists(st.integers(0, max(0, len(places) - 1)), max_size=len(places)))]
    )
    return bench


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_the_code_of_each_widget_gives_the_rows_that_it_shows(data: st.DataObject) -> None:
    bench = data.draw(benches(str(SAMPLES)))
    for widget in (bench.table, bench.explorer):
        names: dict[str, Any] = {}
        exec(widget.code, names)
        assert rows_of(names["view"]) == rows_of(bench.table.view), widget.code
        if "selected" in names:
            assert rows_of(names["selected"]) == rows_of(bench.table.selected)
    names = {}
    exec(bench.picker.code, names)
    assert rows_of(names["results"]) == rows_of(bench.table.results)


@pytest.mark.parametrize("scope", ["view", "selected", "runs"])
def test_the_code_of_the_bench_exports_what_it_exports(folder: Path, tmp_path: Path, scope: str) -> None:
    bench = Workbench(folder, output_dir=tmp_path / "exports")
    bench.picker.run_ids = ["run-001", "run-003"]
    bench.table.filter = ak.Filter(deviation=(10, None))
    bench.table.selected = bench.table.view.iloc[[0, 2]]
    bench.panel.scope = scope
    receipts = bench.panel.export()
    names: dict[str, Any] = {}
    exec(bench.code, names)
    again = names["batch"].receipts if "batch" in names else [names["receipt"]]
    assert [one.sha256 for one in again] == [one.sha256 for one in receipts]
    assert all(one.reused for one in again)


# --- static copy and size -------------------------------------------------------------------------------


def test_a_static_copy_shows_all_four(bench: Workbench) -> None:
    bench.picker.run_ids = ["run-001"]
    texts = static_texts(bench.static_html())
    for widget in (bench.picker, bench.explorer, bench.table, bench.panel):
        assert static_texts(widget.static_html())[0] in texts
    bundle = bench._repr_mimebundle_()[0]
    assert bundle["text/html"] == bench.static_html()
    assert bundle["text/plain"] == repr(bench)
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert len(bench.static_html().encode()) < 40_000


def test_a_static_copy_says_that_a_run_is_still_running(bench: Workbench) -> None:
    bench.picker.run_ids = ["run-002"]
    assert "still running" in static_texts(bench.table.static_html())[-1]


def test_a_static_copy_is_the_same_every_time(folder: Path) -> None:
    copies = set()
    for _ in range(2):
        bench = Workbench(folder)
        bench.picker.run_ids = ["run-004"]
        copies.add((bench.static_html(), repr(bench), bench.code))
    assert len(copies) == 1
    assert "0x" not in repr(bench)


def test_hostile_texts_stay_texts(tmp_path: Path) -> None:
    keys = ("id", "submissionId", "userId", "taskTitle", "skillArea", "reviewer", "notes")
    header = dict.fromkeys(("id", "taskTitle", "skillArea", "reviewer"), HOSTILE)
    source = folder_of(tmp_path / HOSTILE, a_run([a_result(0, **dict.fromkeys(keys, HOSTILE))], **header))
    bench = Workbench(source, output_dir=tmp_path / f"to {HOSTILE}")
    bench.picker.run_ids = [HOSTILE]
    bench.table.filter = ak.Filter(notes=HOSTILE, run_id=(HOSTILE,))
    bench.table.hidden = []
    bench.panel.export()
    assert static_texts(bench.static_html()).count(HOSTILE) >= 12
    names: dict[str, Any] = {}
    exec(bench.table.code, names)
    assert rows_of(names["view"]) == [(HOSTILE, 0)]


def test_what_is_synced_does_not_grow_with_the_results(tmp_path: Path) -> None:
    sizes = []
    for count in (100, 20_000):
        rows = [a_result(n, notes=f"note {n}", userScore=n % 101) for n in range(count)]
        bench = Workbench(folder_of(tmp_path / str(count), a_run(rows)))
        bench.picker.run_ids = ["run-001"]
        bench.inspection.mark(np.arange(count))
        sizes.append(sum(state_size(child) for child in bench.children))
    assert sizes[1] < 200_000
    assert sizes[1] - sizes[0] < 5000  # digits of counts
