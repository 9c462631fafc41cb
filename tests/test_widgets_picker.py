"""RunPicker without a browser: the runs of a source searched, filtered, picked, and what cannot be read."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pages import Page, state_size, static_texts
from records import Record, a_result, a_run, dumped, saved, without

import auditkit as ak
from auditkit.errors import InvalidOptionError, NoSourceError, RunNotFoundError
from auditkit.widgets import RunPicker, Workbench

SAMPLES = Path(__file__).parents[1] / "sample_data" / "runs"
IDS = ("run-001", "run-002", "run-003", "run-004", "run-005", "run-006")
HOSTILE = "<img src=x onerror=alert(1)>"
LABELS = {
    "run_id": "Run",
    "run_task_title": "Title",
    "status": "Status",
    "run_skill_area": "Skill area",
    "run_task_difficulty": "Difficulty",
    "run_reviewer": "Reviewer",
    "started_at": "Started",
    "completed_at": "Completed",
    "total_submissions": "Submissions",
    "average_deviation": "Average deviation",
    "critical_flags": "Critical",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of its own with the sample runs, which a test may break."""
    return Path(shutil.copytree(SAMPLES, tmp_path / "runs"))


def folder_of(folder: Path, *runs: Record) -> Path:
    folder.mkdir(exist_ok=True)
    for number, run in enumerate(runs):
        saved(folder / f"{number}.json", dumped(run))
    return folder


def shown(picker: RunPicker) -> list[str]:
    """The ids of the runs that are shown, from top to bottom, as the page gets them."""
    return [row["run_id"] or "" for row in Page(picker).rows()]


def words(picker: RunPicker, kind: str) -> str:
    """What the picker says, which is one sentence or more."""
    message = picker.message
    assert message["kind"] == kind, message
    text: str = message["text"]
    assert text.endswith((".", "?")), text
    assert "Error" not in text
    assert "Traceback" not in text
    return text


# --- search ---------------------------------------------------------------------------------------------


def four_runs() -> list[Record]:
    return [
        a_run(0, id="alpha", taskTitle="Sort a list", skillArea="backend", reviewer="ada"),
        a_run(0, id="beta", taskTitle="Alpha blending", skillArea="frontend", reviewer="bo"),
        a_run(0, id="gamma", taskTitle="Parse", skillArea="ALPHAbet", reviewer="cy"),
        a_run(0, id="delta", taskTitle="100 % (a.*)", skillArea="Überblick", reviewer="alpha-1"),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("alpha", ["alpha", "beta", "gamma", "delta"]),  # id, title, skill area, reviewer
        ("SORT", ["alpha"]), ("frontEND", ["beta"]), ("cy", ["gamma"]), ("überblick", ["delta"]),
        ("(a.*)", ["delta"]),
        ("100 %", ["delta"]), (".*", ["delta"]), ("", ["alpha", "beta", "gamma", "delta"]), ("zeta", []),
        ("medium", []), ("completed", []), (" ", ["alpha", "beta", "delta"]), ("\0", []),
    ],
)  # fmt: skip
def test_a_text_is_searched_in_id_title_skill_area_and_reviewer(
    tmp_path: Path, text: str, found: list[str]
) -> None:
    picker = RunPicker(folder_of(tmp_path / "runs", *four_runs()))
    Page(picker).put(search=text)
    assert picker.search == text
    assert shown(picker) == found
    headless = RunPicker(picker.source, search=text)
    assert shown(headless) == found


def test_a_search_and_conditions_have_to_hold_together(tmp_path: Path) -> None:
    picker = RunPicker(folder_of(tmp_path / "runs", *four_runs()))
    page = Page(picker)
    page.put(search="alpha")
    page.ask("ask", column="run_skill_area", value=["frontend", "Überblick"])
    assert shown(picker) == ["beta", "delta"]
    page.put(search="")
    assert shown(picker) == ["beta", "delta"]
    page.ask("clear")
    assert len(shown(picker)) == 4


def test_a_search_moves_the_rows_so_an_old_click_is_left_alone(folder: Path) -> None:
    picker = RunPicker(folder)
    page = Page(picker)
    layout = page.state("_state")["layout"]
    page.put(search="run-003")
    page.ask("mark", first=0, last=0, how="only", layout=layout)
    assert picker.run_ids == ()
    page.mark(0, 0)
    assert picker.run_ids == ("run-003",)


def test_a_search_for_what_is_no_text_is_refused(folder: Path) -> None:
    picker = RunPicker(folder)
    with pytest.raises(InvalidOptionError, match="lone surrogate"):
        picker.search = "\ud800"
    assert len(shown(picker)) == 6


def test_missing_values_are_no_obstacle_to_a_search(folder: Path, tmp_path: Path) -> None:
    for run_id in ("run-001", "run-003"):
        ak.export_audit_run(run_id, "csv", source=folder, output_dir=tmp_path / "csv")
    picker = RunPicker(tmp_path / "csv")  # a CSV has no title, skill area, reviewer of its run
    picker.search = "run-003"
    assert shown(picker) == ["run-003"]


# --- conditions and order -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value", "condition"),
    [
        ("status", ["running"], lambda runs: runs.status == "running"),
        ("status", ["completed", "failed"], lambda runs: runs.status != "running"),
        (
            "run_skill_area",
            ["backend", "frontend"],
            lambda runs: runs.run_skill_area.isin(["backend", "frontend"]),
        ),
        ("run_skill_area", "end", lambda runs: runs.run_skill_area.str.contains("end")),
        ("run_reviewer", ["admin-1"], lambda runs: runs.run_reviewer == "admin-1"),
        (
            "started_at",
            ["2024-01-15", "2024-01-15"],
            lambda runs: runs.started_at.dt.date.astype(str) == "2024-01-15",
        ),
        (
            "started_at",
            [None, "2024-02-01"],
            lambda runs: runs.started_at < pd.Timestamp("2024-02-02", tz="UTC"),
        ),
        ("total_submissions", [20, None], lambda runs: runs.total_submissions >= 20),
        ("average_deviation", [None, 10], lambda runs: runs.average_deviation <= 10),
    ],
)
def test_runs_are_filtered_by_their_columns(
    column: str, value: Any, condition: Callable[[pd.DataFrame], pd.Series]
) -> None:
    runs = ak.load_runs(source=SAMPLES)
    expected = runs.run_id[condition(runs)].to_list()
    picker = RunPicker(SAMPLES)
    Page(picker).ask("ask", column=column, value=value)
    assert shown(picker) == expected
    assert 0 < len(expected) < 6


@pytest.mark.parametrize("direction", ["ascending", "descending"])
@pytest.mark.parametrize("column", LABELS)
def test_runs_sort_by_each_column_as_pandas_sorts_them(column: str, direction: str) -> None:
    picker = RunPicker(SAMPLES)
    Page(picker).ask("sort", column=column, direction=direction)
    expected = picker.runs.sort_values(column, ascending=direction == "ascending", kind="stable")
    assert shown(picker) == expected.run_id.to_list()


def test_the_columns_say_what_they_are(folder: Path) -> None:
    picker = RunPicker(folder)
    page = Page(picker)
    assert {column["name"]: column["label"] for column in page.state("_columns")} == LABELS
    row = page.rows()[1]
    assert row["run_id"] == "run-002"
    assert row["status"] == "running"
    assert row["completed_at"] is None
    assert page.rows()[4]["average_deviation"] is None  # an empty run
    assert page.ask("values", column="status") == {"values": ["completed", "failed", "running"]}
    assert page.ask("values", column="run_reviewer")["values"]


def test_runs_are_those_of_load_runs(folder: Path) -> None:
    picker = RunPicker(folder)
    pd.testing.assert_frame_equal(picker.runs, ak.load_runs(source=folder))
    mine = picker.runs
    mine.loc[0, "run_id"] = "edited"
    assert shown(picker) == list(IDS)


# --- picking --------------------------------------------------------------------------------------------


def test_runs_are_picked_from_a_cell_in_the_order_of_the_source(folder: Path) -> None:
    picker = RunPicker(folder)
    for picked in (
        ["run-003", "run-001"],
        ("run-003", "run-001"),
        pd.Series(["run-003", "run-001", "run-003"]),
    ):
        picker.run_ids = picked
        assert picker.run_ids == ("run-001", "run-003")
        picker.run_ids = []
        assert picker.run_ids == ()
    picker.run_ids = "run-002"
    assert picker.run_ids == ("run-002",)
    assert RunPicker(folder, run_ids=["run-004"]).run_ids == ("run-004",)


def test_runs_are_picked_on_the_page(folder: Path) -> None:
    picker = RunPicker(folder)
    page = Page(picker)
    page.ask("sort", column="run_id", direction="descending")
    page.mark(0, 1)
    page.mark(5, 5, "add")
    assert picker.run_ids == ("run-001", "run-005", "run-006")
    page.mark(1, 1, "toggle")
    assert picker.run_ids == ("run-001", "run-006")
    assert page.state("_state")["marked"] == 2
    page.ask("unmark")
    assert picker.run_ids == ()


def test_picked_runs_stay_picked_out_of_sight_and_are_counted(folder: Path) -> None:
    picker = RunPicker(folder, run_ids=IDS)
    page = Page(picker)
    page.put(search="run-003")
    page.ask("ask", column="status", value=["completed"])
    assert picker.run_ids == IDS
    state = page.state("_state")
    assert (state["shown"], state["marked"], state["hiddenMarks"]) == (1, 6, 5)
    page.mark(0, 0, "toggle")
    assert picker.run_ids == tuple(run_id for run_id in IDS if run_id != "run-003")


def test_all_shown_are_added_to_the_picks(folder: Path) -> None:
    picker = RunPicker(folder, run_ids=["run-001"])
    page = Page(picker)
    page.ask("ask", column="status", value=["running"])
    page.mark(0, page.state("_state")["shown"] - 1, "add")
    assert picker.run_ids == ("run-001", "run-002")
    page.put(search="nothing has this")
    page.mark(0, page.state("_state")["shown"] - 1, "add")
    assert picker.run_ids == ("run-001", "run-002")


def test_a_run_that_is_not_there_is_refused_with_the_nearest_and_the_picks_stay(folder: Path) -> None:
    picker = RunPicker(folder, run_ids=["run-002"])
    with pytest.raises(RunNotFoundError, match=r"No run 'run-0004' in .*runs\. Did you mean 'run-004'"):
        picker.run_ids = ["run-001", "run-0004"]
    assert picker.run_ids == ("run-002",)


def test_a_run_in_a_broken_file_is_refused_with_the_reason(folder: Path) -> None:
    saved(folder / "run-003.json", "{")
    picker = RunPicker(folder)
    with pytest.raises(RunNotFoundError, match=r"No run 'run-003'.*run-003\.json: not whole JSON"):
        picker.run_ids = ["run-003"]


@pytest.mark.parametrize("picked", [None, 5, [1], [None], [["run-001"]], [b"run-001"], True])
def test_what_are_no_run_ids_is_refused_in_words(folder: Path, picked: Any) -> None:
    picker = RunPicker(folder, run_ids=["run-002"])
    with pytest.raises(InvalidOptionError, match=r"\. Give "):
        picker.run_ids = picked
    assert picker.run_ids == ("run-002",)


def test_observers_are_told_of_each_change_once(folder: Path) -> None:
    picker = RunPicker(folder)
    told: list[Any] = []
    picker.observe(lambda change: told.append(change["new"]), "run_ids")
    page = Page(picker)
    page.mark(0, 1)
    page.mark(0, 1)
    picker.run_ids = ["run-001", "run-002"]
    picker.run_ids = []
    page.put(search="3")
    page.ask("sort", column="status", direction="ascending")
    assert told == [("run-001", "run-002"), ()]


# --- reading again --------------------------------------------------------------------------------------


def test_a_new_run_is_seen_and_the_others_stay_picked(folder: Path) -> None:
    picker = RunPicker(folder, run_ids=["run-001", "run-006"])
    saved(folder / "a.json", dumped(a_run(id="run-000")))
    Page(picker).ask("reload")
    assert shown(picker) == ["run-000", *IDS]
    assert picker.run_ids == ("run-001", "run-006")
    assert picker.message["text"] == ""


def test_a_run_that_vanished_is_not_picked_any_more(folder: Path) -> None:
    picker = RunPicker(folder, run_ids=["run-001", "run-006"])
    (folder / "run-001.json").unlink()
    picker.reload()
    assert picker.run_ids == ("run-006",)
    assert shown(picker) == list(IDS[1:])


def test_search_conditions_and_order_outlast_reading_again(folder: Path) -> None:
    picker = RunPicker(folder, search="run")
    page = Page(picker)
    page.ask("ask", column="status", value=["completed"])
    page.ask("sort", column="run_id", direction="descending")
    before = shown(picker)
    page.ask("reload")
    assert shown(picker) == before
    assert len(before) < 6


def test_a_file_that_broke_is_named_and_the_others_are_listed(folder: Path) -> None:
    picker = RunPicker(folder, run_ids=["run-001", "run-003"])
    saved(folder / "run-003.json", "{")
    Page(picker).ask("reload")
    assert shown(picker) == [run_id for run_id in IDS if run_id != "run-003"]
    assert picker.run_ids == ("run-001",)
    text = words(picker, "error")
    assert "run-003.json: not whole JSON" in text
    assert text.endswith("The other runs are listed.")
    shutil.copy(SAMPLES / "run-003.json", folder)
    Page(picker).ask("reload")
    assert picker.message == {"kind": "", "text": ""}
    assert shown(picker) == list(IDS)


def test_several_broken_files_are_counted(folder: Path) -> None:
    saved(folder / "run-003.json", "{")
    saved(folder / "run-004.csv", "a,b\n1,2\n")
    saved(folder / "run-005.json", b"")
    assert "and 2 more" in words(RunPicker(folder), "error")


def test_a_broken_value_does_not_flood_the_page(folder: Path) -> None:
    saved(folder / "long.json", dumped(a_run(id="long", status="x" * 100_000)))
    assert len(words(RunPicker(folder), "error")) < 1000


def test_only_broken_files_leave_nothing_else(tmp_path: Path) -> None:
    saved(tmp_path / "run.json", dumped(without(a_run(), "status")))
    picker = RunPicker(tmp_path)
    assert "Nothing else is there." in words(picker, "error")
    assert shown(picker) == []


def test_an_id_that_stands_in_two_files_is_named(folder: Path) -> None:
    shutil.copy(folder / "run-001.json", folder / "copy.json")
    picker = RunPicker(folder)
    assert "run 'run-001' stands in 2 places (copy.json, run-001.json)" in words(picker, "error")
    assert shown(picker) == list(IDS[1:])


def test_a_folder_without_runs_says_what_to_do(tmp_path: Path) -> None:
    saved(tmp_path / "README.md", "no run")
    picker = RunPicker(tmp_path)
    assert words(picker, "info") == f"No runs in {tmp_path}. Put run files there and press “Read again”."
    assert Page(picker).state("_state")["nothing"] == "There are no runs here."
    assert repr(picker) == "RunPicker(0 of 0 runs picked)"
    assert picker.run_ids == ()
    assert picker.runs.empty
    saved(tmp_path / "run.json", dumped(a_run()))
    Page(picker).ask("reload")
    assert shown(picker) == ["run-001"]


def test_a_folder_that_is_not_there_is_said_and_seen_once_it_is(tmp_path: Path, folder: Path) -> None:
    picker = RunPicker(tmp_path / "later")
    text = words(picker, "error")
    assert str(tmp_path / "later") in text
    assert text.endswith("Check that it is still there, then try again.")
    folder.rename(tmp_path / "later")
    Page(picker).ask("reload")
    assert shown(picker) == list(IDS)
    assert picker.message["text"] == ""


def test_a_folder_that_vanishes_is_said_and_the_picker_goes_on(folder: Path) -> None:
    picker = RunPicker(folder, run_ids=["run-001"])
    shutil.rmtree(folder)
    page = Page(picker)
    assert page.ask("find", text="sub-001") == {"failed": True}
    assert str(folder) in words(picker, "error")
    page.ask("reload")
    assert "Check that it is still there" in words(picker, "error")
    assert picker.run_ids == ()
    assert page.rows() == []
    page.put(search="x")
    page.mark(0, -1, "add")
    assert picker.run_ids == ()


def test_without_a_source_the_picker_says_how_to_name_one() -> None:
    picker = RunPicker()
    assert words(picker, "error").startswith("No source of audit runs is named. Give source=")
    with pytest.raises(NoSourceError):
        picker.find("sub-001")


def test_the_source_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDITKIT_SOURCE", str(SAMPLES))
    picker = RunPicker(run_ids=["run-003"])
    assert shown(picker) == list(IDS)
    names: dict[str, Any] = {}
    exec(picker.code, names)
    assert set(names["results"].run_id) == {"run-003"}


def test_a_kind_of_source_that_cannot_be_opened_is_said() -> None:
    assert "gopher://" in words(RunPicker("gopher://somewhere/runs"), "error")


@pytest.mark.parametrize(
    "source", [SAMPLES / "run-001.json", [SAMPLES / "run-001.json"], str(SAMPLES / "*1.json")]
)
def test_a_file_files_and_a_glob_are_sources(source: Any) -> None:
    picker = RunPicker(source, run_ids="run-001")
    assert shown(picker) == ["run-001"]
    names: dict[str, Any] = {}
    exec(picker.code, names)
    assert len(names["results"]) == 8


# --- finding a submission or user -----------------------------------------------------------------------


def runs_with_x() -> list[Record]:
    return [
        a_run([a_result(0), a_result(1, submissionId="x"), a_result(2, userId="x")], id="one"),
        a_run([a_result(0), a_result(1)], id="two"),
        a_run([a_result(0), a_result(1), a_result(2, submissionId="x")], id="three"),
    ]


def test_what_is_found_is_said_and_its_runs_are_picked(tmp_path: Path) -> None:
    picker = RunPicker(folder_of(tmp_path / "runs", *runs_with_x()), run_ids="two")
    told: list[Any] = []
    picker.observe(lambda change: told.append(change["new"]), "found")
    assert Page(picker).ask("find", text=" x ") == {}
    assert words(picker, "info") == "x stands in one row 1, one row 2, three row 2."
    assert picker.run_ids == ("one", "three")
    assert [len(found) for found in told] == [3]
    found = picker.found
    assert list(zip(found.run_id, found.position, strict=True)) == [("one", 1), ("one", 2), ("three", 2)]
    pd.testing.assert_frame_equal(found, ak.find_results("x", source=picker.source))
    pd.testing.assert_frame_equal(picker.find("x"), found)
    assert len(told) == 2


def test_nothing_found_leaves_the_picks_and_says_what_to_give(tmp_path: Path) -> None:
    picker = RunPicker(folder_of(tmp_path / "runs", *runs_with_x()), run_ids="two")
    assert picker.find("nobody").empty
    assert words(picker, "info") == "Nothing is named nobody. Give a whole submission or user id."
    assert picker.run_ids == ("two",)


@pytest.mark.parametrize("text", ["", "   "])
def test_an_empty_text_is_not_looked_for(folder: Path, text: str) -> None:
    picker = RunPicker(folder)
    assert Page(picker).ask("find", text=text) == {"failed": True}
    assert "Give a submission id or a user id." in words(picker, "error")
    with pytest.raises(InvalidOptionError):
        picker.find("")


def test_many_places_are_counted(tmp_path: Path) -> None:
    run = a_run([a_result(n, userId="x") for n in range(1500)])
    picker = RunPicker(folder_of(tmp_path / "runs", run))
    assert len(picker.find("x")) == 1500
    assert words(picker, "info").endswith("run-001 row 9 and 1,490 more.")


def test_a_broken_run_is_named_beside_what_was_found(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "runs", *runs_with_x())
    saved(folder / "1.json", "{")
    picker = RunPicker(folder)
    picker.find("x")
    text = words(picker, "error")
    assert text.startswith("x stands in one row 1, one row 2, three row 2. Not everything could be searched:")
    assert "1.json: not whole JSON" in text
    assert picker.run_ids == ("one", "three")
    picker.find("nobody")
    assert words(picker, "error").startswith("Nothing is named nobody. Give a whole")


def test_what_is_found_in_a_run_that_is_not_listed_yet_lists_it(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "runs", a_run(id="zero"))
    picker = RunPicker(folder)
    folder_of(folder, *runs_with_x())
    picker.find("x")
    assert picker.run_ids == ("one", "three")


def test_hostile_ids_are_found_and_stay_text(tmp_path: Path) -> None:
    row = a_result(0, submissionId=HOSTILE)
    picker = RunPicker(folder_of(tmp_path / "runs", a_run([row], id="'\"\\ <b>")))
    picker.find(HOSTILE)
    assert words(picker, "info") == f"{HOSTILE} stands in '\"\\ <b> row 0."
    names: dict[str, Any] = {}
    exec(picker.code, names)
    assert names["results"].run_id.to_list() == ["'\"\\ <b>"]


# --- code, size, static copy ----------------------------------------------------------------------------


@pytest.mark.parametrize("picked", [[], ["run-005"], ["run-003", "run-001"], list(IDS)])
def test_the_code_loads_the_results_of_the_picked_runs(picked: list[str]) -> None:
    picker = RunPicker(SAMPLES, run_ids=picked)
    assert Page(picker).ask("code") == {"code": picker.code}
    names: dict[str, Any] = {}
    exec(picker.code, names)
    pd.testing.assert_frame_equal(names["results"], ak.load_results(picker.run_ids, source=SAMPLES))


SECRET = "S3CR3T-of-the-auditor"
SECRET_SOURCES = [
    f"postgresql://auditor:{SECRET}@127.0.0.1:1/audits",
    f"Postgres://auditor:{SECRET}@127.0.0.1:1/audits?sslpassword={SECRET}",
    f"mysql://auditor:{SECRET}@127.0.0.1:1/audits",
    f"postgresql:auditor:{SECRET}@127.0.0.1/audits",
    f" postgresql://auditor:{SECRET}@127.0.0.1/audits",
    [f"postgresql://auditor:{SECRET}@127.0.0.1/audits", "sample_data/runs"],
    f"s3://key:{SECRET}@bucket/runs",
    f"nothing://auditor:{SECRET}@127.0.0.1/audits",
]


def shown_by(call: Callable[[], Any]) -> str:
    """The traceback of what a call raises."""
    try:
        call()
    except Exception:
        return traceback.format_exc()
    return ""


@pytest.mark.parametrize("source", SECRET_SOURCES)
def test_a_password_in_the_source_is_shown_nowhere(source: Any) -> None:
    bench = Workbench(source)
    said = [shown_by(lambda: bench.picker.find("sub-001")), shown_by(bench.panel.export)]
    with pytest.raises(RunNotFoundError) as caught:
        bench.picker.pick(["run-001"])
    said.append(str(caught.value))
    with pytest.raises(RunNotFoundError) as caught:
        bench.picker.run_ids = ["run-001"]
    said.append(str(caught.value))
    for widget in (bench, bench.picker, bench.panel, bench.table, bench.explorer):
        said += [repr(widget), widget.static_html(), repr(widget.get_state())]
        said.append(getattr(widget, "code", ""))
    assert SECRET not in "".join(said)
    compile(bench.picker.code, "code", "exec")


def test_the_code_tells_that_the_password_comes_from_the_environment() -> None:
    source = SECRET_SOURCES[0]
    expected = [
        "# Left out of the URL: the password, which comes from the environment (PGPASSWORD).",
        "source = ak.open_source('postgresql+psycopg://auditor@127.0.0.1:1/audits')",
    ]
    assert RunPicker(source).code.splitlines()[2:4] == expected
    assert RunPicker(ak.open_source(source)).code.splitlines()[2:4] == expected
    assert "#" not in RunPicker("postgresql+psycopg://auditor@127.0.0.1:1/audits").code


@pytest.mark.parametrize("place", [str(SAMPLES), [str(SAMPLES / "run-001.json"), SAMPLES / "run-002.json"]])
def test_the_code_opens_what_an_open_source_reads(place: Any) -> None:
    names: dict[str, Any] = {}
    exec(RunPicker(ak.open_source(place), run_ids=["run-001"]).code, names)
    pd.testing.assert_frame_equal(names["results"], ak.load_results(["run-001"], source=place))


def test_the_code_reads_as_somebody_would_write_it() -> None:
    assert RunPicker("sample_data/runs", run_ids="run-001").code == (
        "import auditkit as ak\n\n"
        "source = ak.open_source('sample_data/runs')\n"
        "run_ids = ['run-001']\n"
        "results = ak.load_results(run_ids, source=source)\n"
    )


def test_what_is_synced_does_not_grow_with_the_runs(tmp_path: Path) -> None:
    saved(tmp_path / "many.json", dumped([a_run(0, id=f"run-{n:05}") for n in range(3000)], None))
    picker = RunPicker(tmp_path)
    picker.run_ids = [f"run-{n:05}" for n in range(3000)]
    assert len(picker.run_ids) == 3000
    assert abs(state_size(picker) - state_size(RunPicker(SAMPLES))) < 100
    assert len(picker.static_html().encode()) < 20_000
    assert len(repr(picker)) < 100


def test_a_static_copy_has_the_first_runs_and_their_count(folder: Path) -> None:
    picker = RunPicker(folder)
    title, *texts = static_texts(picker.static_html())
    assert title == "Runs: 6"
    assert texts[:11] == list(LABELS.values())
    assert [text for text in texts if text in IDS] == list(IDS)
    assert RunPicker(folder).static_html() == picker.static_html()
    picker.search = "no such run"
    assert static_texts(picker.static_html())[0] == "Runs: 0 of 6"
    assert static_texts(picker.static_html())[-1] == "No run passes the filters."


def test_a_static_copy_says_what_could_not_be_read(folder: Path) -> None:
    saved(folder / "run-003.json", "{")
    picker = RunPicker(folder)
    assert static_texts(picker.static_html())[-1] == words(picker, "error")
    shutil.rmtree(folder)
    picker.reload()
    last = static_texts(picker.static_html())[-1]
    assert last.startswith("There are no runs here. No such folder")


def test_hostile_texts_stay_texts_in_a_static_copy(tmp_path: Path) -> None:
    texts = dict.fromkeys(("id", "taskTitle", "skillArea", "reviewer"), HOSTILE)
    picker = RunPicker(folder_of(tmp_path / "runs", a_run(**texts)))
    assert static_texts(picker.static_html()).count(HOSTILE) == 4
    bundle, _ = picker._repr_mimebundle_()
    assert bundle["text/html"] == picker.static_html()
    assert bundle["text/plain"] == "RunPicker(0 of 1 runs picked)"
    assert "application/vnd.jupyter.widget-view+json" in bundle
