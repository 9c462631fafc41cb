"""ExportPanel without a browser: what it exports, says, refuses and sends, and as what script."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from children import python, succeed
from records import a_result, a_run, dumped, exported, found, hidden_document, saved
from third_party import install

import auditkit as ak
from auditkit import errors
from auditkit.receipts import ExportReceipt
from auditkit.run import AuditRun, HeaderChanged
from auditkit.sources.base import Source
from auditkit.widgets import panel as panel_module
from auditkit.widgets.assets import script, style
from auditkit.widgets.delivery import CHUNK_BYTES, Delivery
from auditkit.widgets.inspection import Inspection
from auditkit.widgets.panel import ExportPanel
from auditkit.widgets.watched import WatchedSource

FORMATS = ("csv", "json", "jsonl", "parquet")
SCOPES = ("view", "selected", "runs", "run")
LARGE = ak.Filter(user_score=(5, None))
DRAW = itertools.count()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of three runs, one of them without results."""
    folder = tmp_path / "runs"
    folder.mkdir()
    for run_id, rows in {"beta": 12, "alpha": 30, "empty": 0}.items():
        results = [a_result(row, submissionId=f"{run_id}-{row}", userScore=row % 10) for row in range(rows)]
        saved(folder / f"{run_id}.json", dumped(a_run(results, id=run_id, totalSubmissions=rows)))
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "exports"


def panel_of(source: Path, out: Path, run_ids: Any = None, **traits: Any) -> ExportPanel:
    return ExportPanel(
        ak.load_results(run_ids, source=source), source=source, **{"output_dir": out, **traits}
    )


def asked(panel: ExportPanel, **question: Any) -> tuple[dict[str, Any], list[bytes]]:
    """What the panel answers to its script: content that is JSON, and bytes."""
    answers: list[Any] = []
    panel.send = lambda content, buffers=None: answers.append(
        (json.loads(json.dumps(content)), buffers or [])
    )
    panel._answer(panel, {"id": "1", **question}, None)
    ((content, buffers),) = answers
    assert content.pop("answers") == "1"
    return content, buffers


def clicked(panel: ExportPanel) -> str:
    """What the panel says after a click on Export."""
    asked(panel, do="export")
    return str(panel.message["text"])


def rows_of(frame: pd.DataFrame) -> list[tuple[str, str]]:
    return sorted(zip(frame.run_id, frame.submission_id, strict=True))


def read_back(receipts: list[ExportReceipt]) -> list[tuple[str, str]]:
    return sorted(row for receipt in receipts for row in rows_of(ak.load_results(source=receipt)))


def everything(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file()) if folder.exists() else []


def ran(code: str) -> dict[str, Any]:
    """What a script has made."""
    names: dict[str, Any] = {}
    exec(code, names)
    return names


def receipts_in(names: dict[str, Any]) -> list[ExportReceipt]:
    return names["batch"].receipts if "batch" in names else [names["receipt"]]


# --- what is exported ----------------------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("scope", SCOPES)
def test_every_scope_in_every_format_holds_the_rows_that_are_shown(
    source: Path, out: Path, scope: str, format: str
) -> None:
    ids = ["beta"] if scope == "run" else ["beta", "alpha"]
    panel = panel_of(source, out, ids, scope=scope, format=format)
    panel.filter = LARGE
    panel.inspection.select(panel.inspection.view.iloc[[4, 2, 0]])
    receipts = panel.export()
    shown = {"view": panel.inspection.view, "selected": panel.inspection.selected}.get(scope, panel.results)
    assert read_back(receipts) == rows_of(shown)
    assert len(receipts) == (2 if scope == "runs" else 1)
    assert panel.receipts == receipts
    assert all(receipt.format == format for receipt in receipts)
    assert {receipt.path for receipt in receipts} == {out / name for name in exported(out)}


def test_a_click_makes_the_bytes_that_a_script_makes(source: Path, tmp_path: Path) -> None:
    results = ak.load_results(["alpha", "beta"], source=source)
    filter = ak.Filter(user_score=(3, 7), run_id="a")
    panel = ExportPanel(results, source=source, output_dir=tmp_path / "click", format="json")
    panel.filter, panel.flatten_results, panel.include_metadata = filter, True, False
    clicked(panel)
    options = {"flatten_results": True, "include_metadata": False}
    script = ak.export_results(
        results, "json", name="view", filter=filter, source=source, output_dir=tmp_path / "script", **options
    )
    (receipt,) = panel.receipts
    assert receipt.path.read_bytes() == script.path.read_bytes()
    assert receipt.path.name == script.path.name
    assert (receipt.filter, receipt.options, receipt.rows) == (filter, options, script.rows)


def test_the_receipt_of_a_filtered_view_records_its_filter(source: Path, out: Path) -> None:
    panel = panel_of(source, out)
    panel.filter = LARGE
    (receipt,) = panel.export()
    assert (receipt.filter, receipt.rows, receipt.rows_total) == (LARGE, 20, 42)
    assert panel.get_state("receipts")["receipts"][0]["filter"] == "User Score: 5 or more"


def test_a_view_without_a_filter_is_every_result_in_one_file(source: Path, out: Path) -> None:
    (receipt,) = panel_of(source, out).export()
    assert (receipt.rows, receipt.rows_total) == (42, 42)
    assert not isinstance(receipt.filter, ak.Filter)


def test_a_selection_is_called_by_its_scope_or_by_the_name_given(source: Path, out: Path) -> None:
    panel = panel_of(source, out)
    panel.inspection.mark(range(3))
    names = []
    for scope, name in (("view", ""), ("selected", ""), ("view", "Q1"), ("selected", "../x y")):
        panel.scope, panel.name = scope, name
        names += [receipt.path.name for receipt in panel.export()]
    assert names[:3] == [f"audit-results-{name}-2024-01-15.csv" for name in ("view", "selected", "Q1")]
    assert names[3].startswith("audit-results-x-y~")
    assert list(exported(out)) == sorted(names)


def test_an_empty_run_is_exported_as_a_run_and_not_as_a_view(source: Path, out: Path) -> None:
    inspection = Inspection(ak.load_results("empty", source=source), source=source, run_ids=["empty"])
    panel = ExportPanel(inspection, output_dir=out)
    with pytest.raises(errors.InvalidOptionError, match="no results here"):
        panel.export()
    panel.scope = "run"
    (receipt,) = panel.export()
    assert (receipt.rows, receipt.rows_total) == (0, 0)
    panel.scope, panel.format = "runs", "jsonl"
    assert clicked(panel) == f"Exported 0 of 0 results to {out}/audit-run-empty-2024-01-15.jsonl."
    assert panel.receipts[-1].bytes == 0


def test_the_same_bytes_are_kept_and_the_receipt_says_so(source: Path, out: Path) -> None:
    panel = panel_of(source, out, scope="runs")
    assert clicked(panel) == f"Exported 2 runs, 42 results, to {out}."
    assert clicked(panel).endswith("2 files stood there before, with the same bytes.")
    panel.scope = "view"
    panel.export()
    assert (
        clicked(panel)
        == f"Kept {out}/audit-results-view-2024-01-15.csv: it was there before, with the same bytes."
    )
    assert [receipt["reused"] for receipt in panel.get_state("receipts")["receipts"]] == [
        *(False, False, True, True),
        *(False, True),
    ]


def test_the_source_may_stand_in_the_environment(
    source: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = ExportPanel(ak.load_results(source=source), output_dir=out)
    assert "AUDITKIT_SOURCE" in clicked(panel)
    monkeypatch.setenv("AUDITKIT_SOURCE", str(source))
    (receipt,) = panel.export()
    assert receipts_in(ran(panel.code)) == [receipt]
    assert "source=" not in panel.code


def test_widgets_that_share_an_inspection_stay_together(source: Path, out: Path) -> None:
    inspection = Inspection(ak.load_results(["alpha"], source=source), source=source)
    panel = ExportPanel(inspection, output_dir=out)
    heard = []
    panel.observe(lambda change: heard.append(change["name"]), ["filter", "results"])
    inspection.filter = LARGE
    assert panel.filter == LARGE
    assert panel._choices["view"]["amount"] == "15 of 30 results"
    inspection.select(inspection.view.head(1))
    assert panel._choices["selected"] == {
        "label": "The selected rows",
        "amount": "1 of 30 results",
        "button": "Export 1 result",
        "reason": "",
    }
    assert panel._choices["run"]["reason"] == ""
    inspection.show(ak.load_results(["alpha", "beta"], source=source))
    assert panel._choices["runs"]["amount"] == "2 runs, a file each, with all results"
    assert panel._choices["run"]["reason"] == "2 runs are picked. Pick one, or export these runs."
    assert panel._choices["selected"]["amount"] == "1 of 42 results"  # it is still there
    panel.results = ak.load_results(["beta"], source=source)
    assert panel._choices["selected"]["reason"] == "No rows are selected. Select some in the table."
    assert panel._choices["view"]["amount"] == "5 of 12 results"
    assert heard.count("results") == 2
    assert {"filter", "results"} == set(heard)


# --- settings ------------------------------------------------------------------------------------------

# README, "The command": what each option is for.
HEEDED = {
    "xlsx": {"include_metadata"},
    "csv": {"include_metadata", "formula_guard", "excel", "compression"},
    "json": {"include_metadata", "flatten_results", "compression"},
    "jsonl": {"include_metadata", "compression"},
    "parquet": {"include_metadata", "compression"},
}
CHANGED = {
    "include_metadata": False,
    "flatten_results": True,
    "formula_guard": False,
    "excel": True,
    "compression": "zstd",
}


@pytest.mark.parametrize("format", [*FORMATS, "xlsx"])
def test_an_option_that_means_nothing_to_the_format_is_neither_shown_nor_passed_on(
    source: Path, out: Path, format: str
) -> None:
    panel = panel_of(source, out, format=format, **CHANGED)
    assert set(panel._heeded) == HEEDED[format]
    (receipt,) = panel.export()
    assert receipt.options == {name: CHANGED[name] for name in panel._heeded}
    for name in CHANGED.keys() - HEEDED[format]:
        assert name not in panel.code


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scope", "all"),
        ("scope", None),
        ("scope", ["view"]),
        ("format", "cvs"),
        ("format", None),
        ("format", ["csv"]),
        ("output_dir", ""),
        ("output_dir", " "),
        ("output_dir", None),
        ("output_dir", b"exports"),
        ("output_dir", "a\0b"),
        ("name", None),
        ("name", 5),
        ("name", "a\nb"),
        ("name", "x" * 1025),
        ("name", "\ud800"),
        ("include_metadata", 1),
        ("flatten_results", "yes"),
        ("formula_guard", None),
        ("excel", 0),
        ("compression", "zip"),
        ("compression", ""),
        ("compression", ["gzip"]),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_in_words(
    source: Path, out: Path, name: str, value: Any
) -> None:
    panel = panel_of(source, out)
    before = getattr(panel, name)
    with pytest.raises(errors.AuditkitError, match=r"\. (Give|Did you mean|There are) "):
        setattr(panel, name, value)
    with pytest.raises(errors.AuditkitError):
        panel_of(source, out, **{name: value})
    assert getattr(panel, name) == before
    asked(panel, do="set", name=name, value=value if not isinstance(value, bytes) else None)
    assert panel.message["kind"] == "error"
    assert panel.export()[0].rows == 42


@pytest.mark.parametrize("frame", [None, 5, "run-001", [1]])
def test_what_is_no_frame_is_refused_in_words(frame: Any) -> None:
    with pytest.raises(errors.InvalidOptionError, match="load_results"):
        ExportPanel(frame)


def test_the_page_sets_settings_and_nothing_else(source: Path, out: Path) -> None:
    panel = panel_of(source, out)
    for name, value in {"scope": "runs", "format": "json", "output_dir": "x", "compression": None}.items():
        assert asked(panel, do="set", name=name, value=value) == ({}, [])
        assert getattr(panel, name) == value
    asked(panel, do="set", name="receipts", value=[{"path": "/etc/passwd"}])
    asked(panel, do="set", name="inspection", value=None)
    assert panel.receipts == []
    assert isinstance(panel.inspection, Inspection)


def test_installed_formats_are_offered_with_what_they_can(
    source: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(install(tmp_path / "site")))
    panel = panel_of(source, out, excel=True)
    assert panel._known["formats"][:4] == list(FORMATS)
    assert "table" in panel._known["formats"]
    panel.format = "table"
    assert panel._heeded == ["compression"]
    assert panel._choices["view"]["reason"] == (
        "The format table cannot hold a selection. Choose another, or export whole runs."
    )
    panel.scope = "runs"
    assert [receipt.path.suffix for receipt in panel.export()] == [".table", ".table"]
    assert receipts_in(ran(panel.code)) == panel.receipts[:2]
    assert "broken" in panel._known["formats"]
    assert asked(panel, do="set", name="format", value="broken")[0] == {"failed": True}
    assert "Repair or remove its package" in panel.message["text"]
    assert panel.format == "table"
    panel.format = "failing"
    assert "in the middle" in clicked(panel)
    panel.format = "csv"
    assert clicked(panel).startswith("Exported 2 runs")


# --- what cannot be exported ---------------------------------------------------------------------------


def test_where_there_is_nothing_to_export_it_says_why_and_goes_on(source: Path, out: Path) -> None:
    panel = panel_of(source, out)
    reasons = {"selected": "No rows are selected.", "run": "2 runs are picked."}
    for scope, reason in reasons.items():
        panel.scope = scope
        with pytest.raises(errors.InvalidOptionError, match=reason):
            panel.export()
        assert clicked(panel).startswith(reason)
        assert panel.message["kind"] == "error"
    panel.scope, panel.filter = "view", ak.Filter(user_score=(99, None))
    assert clicked(panel) == "The filter leaves none of 42 results. Widen it."
    assert everything(out) == []
    panel.filter = LARGE
    assert clicked(panel).startswith("Exported 20 of 42 results")


def test_without_any_runs_every_choice_says_so(source: Path, out: Path) -> None:
    panel = ExportPanel(ak.load_results([], source=source), source=source, output_dir=out)
    for scope in SCOPES:
        panel.scope = scope
        assert clicked(panel) == panel._choices[scope]["reason"] != ""
        assert "export_" not in panel.code
        ran(panel.code)
    assert (everything(out), panel.receipts, panel.progress) == ([], [], None)


@pytest.mark.parametrize("lost", [["run_id"], ["position"], ["run_id", "position"]])
def test_results_without_the_names_of_their_rows_are_refused_in_words(
    source: Path, out: Path, lost: list[str]
) -> None:
    panel = ExportPanel(ak.load_results(source=source).drop(columns=lost), source=source, output_dir=out)
    panel.inspection.mark(range(2))
    for scope in ("view", "selected"):
        panel.scope = scope
        assert clicked(panel) == (
            f"The results lack {' and '.join(lost)}, which name the rows. Take them from load_results."
        )
        assert lost[0] in panel.code


@pytest.mark.parametrize("scope", SCOPES)
def test_a_folder_that_cannot_be_made_is_named_and_another_one_works(
    source: Path, out: Path, tmp_path: Path, scope: str
) -> None:
    panel = panel_of(source, out, ["alpha"], scope=scope)
    panel.inspection.mark(range(2))
    panel.output_dir = saved(tmp_path / "file", "in the way") / "below"
    with pytest.raises((OSError, errors.BatchError)):
        panel.export()
    said = clicked(panel)
    assert str(tmp_path / "file") in said
    assert said.endswith("Choose another folder.")
    assert (panel.message["kind"], panel.progress, panel.receipts) == ("error", None, [])
    panel.output_dir = out
    assert clicked(panel).startswith("Exported")


def test_a_file_in_the_place_of_the_folder_is_named(source: Path, tmp_path: Path) -> None:
    panel = panel_of(source, saved(tmp_path / "file", "in the way"))
    said = clicked(panel)
    assert str(tmp_path / "file") in said
    assert said.endswith(". Choose another folder.") or "File exists" in said
    assert (tmp_path / "file").read_text() == "in the way"


READ_ONLY = """
import sys
import auditkit as ak
from auditkit.widgets.panel import ExportPanel

panel = ExportPanel(ak.load_results(source=sys.argv[1]), source=sys.argv[1], output_dir=sys.argv[2])
for scope in ("view", "runs"):
    panel.scope = scope
    panel.send = lambda content, buffers=None: None
    panel._answer(panel, {"do": "export"}, None)
    print(panel.message["text"])
"""


@pytest.mark.skipif(os.name == "nt", reason="needs the permissions of POSIX")
def test_a_read_only_folder_is_named_with_what_to_do(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    said = succeed(python("-c", READ_ONLY, source, folder, cwd=Path.cwd(), humble=True))
    denied = os.strerror(errno.EACCES)
    assert said.count(f"{denied}: {folder}/audit-") == 3
    assert said.count("Choose another folder, or ask for access.") == 3
    assert "0 of 2 runs exported. Not exported:\nalpha: " in said
    assert everything(folder) == []


def test_a_run_that_was_deleted_or_broken_is_named_and_the_others_are_exported(
    source: Path, out: Path
) -> None:
    results = ak.load_results(source=source)
    panel = ExportPanel(results, source=source, output_dir=out, scope="runs")
    (source / "alpha.json").unlink()
    with pytest.raises(errors.BatchError):
        panel.export()
    assert [receipt.run_ids for receipt in panel.receipts] == [("beta",)]
    said = clicked(panel)
    assert said.startswith("1 of 2 runs exported. Not exported:\nalpha: No run 'alpha' in ")
    assert [receipt.reused for receipt in panel.receipts] == [False, True]
    broken = a_run([a_result(0, aiScore=None), *map(a_result, range(1, 30))], id="alpha")
    saved(source / "alpha.json", dumped(broken))
    said = clicked(panel)
    assert "alpha.json, run 'alpha', row 0, aiScore" in said
    assert said.endswith("Correct the file, or leave the run out.")
    for scope in ("view", "selected"):
        panel.scope = scope
        panel.inspection.mark(range(42))
        said = clicked(panel)
        assert "aiScore" in said
        assert said.endswith("Correct the file, or leave the run out.")
    assert list(exported(out)) == ["audit-run-beta-2024-01-15.csv"]
    panel.results, panel.scope = results[results.run_id == "beta"], "runs"
    assert clicked(panel).startswith("Kept ")


def test_runs_that_fail_for_the_same_reason_are_named_together(tmp_path: Path, out: Path) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    for number in range(8):
        saved(folder / f"{number}.json", dumped(a_run(1, id=f"run-{number}")))
    panel = panel_of(folder, saved(tmp_path / "file", "") / "below", scope="runs")
    assert clicked(panel).splitlines() == [
        "0 of 8 runs exported. Not exported:",
        f"run-0, run-1, run-2, run-3, run-4 and 3 more: {os.strerror(errno.ENOTDIR)}: "
        f"{tmp_path}/file/below. Choose another folder.",
    ]


def test_a_source_that_vanishes_is_named(source: Path, out: Path, tmp_path: Path) -> None:
    panel = panel_of(source, out)
    source.rename(tmp_path / "elsewhere")
    for scope in ("view", "runs"):
        panel.scope = scope
        assert str(source) in clicked(panel)
        assert panel.message["kind"] == "error"
    (tmp_path / "elsewhere").rename(source)
    assert clicked(panel).startswith("Exported 2 runs")


def test_rows_of_another_source_are_refused_in_words(source: Path, out: Path) -> None:
    results = ak.load_results(source=source)
    panel = ExportPanel(results.assign(submission_id="other"), source=source, output_dir=out)
    assert "Load the frame from the same source." in clicked(panel)
    assert everything(out) == []


class Stopped:
    """A source during whose reading somebody interrupts the kernel."""

    location = "a source that is interrupted"

    def __init__(self, source: Source):
        self._source = source
        self.listing = source.listing
        self.load = source.load

    def open(self, run_ids: Any = None) -> list[Any]:
        raise KeyboardInterrupt


def test_an_interrupted_export_is_said_by_a_click_and_raised_in_a_cell(source: Path, out: Path) -> None:
    panel = ExportPanel(
        ak.load_results(source=source), source=Stopped(ak.open_source(source)), output_dir=out
    )
    assert clicked(panel).startswith("The export was interrupted.")
    with pytest.raises(KeyboardInterrupt):
        panel.export()
    assert (panel.progress, everything(out)) == (None, [])


# --- progress ------------------------------------------------------------------------------------------


def progress_of(panel: ExportPanel, monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """Every value that `progress` takes during an export, told of every batch."""
    monkeypatch.setattr(panel_module, "_TOLD_EVERY_SECONDS", 0)
    seen: list[float | None] = []
    panel.observe(lambda change: seen.append(change["new"]), "progress")
    panel.export()
    return seen


def a_large_run(path: Path, rows: int, **changes: Any) -> Path:
    """A file that is read in several blocks."""
    notes = "x" * 2_000
    results = [a_result(row, notes=notes) for row in range(rows)]
    return saved(path, dumped(a_run(results, **{"id": "large", "totalSubmissions": rows, **changes})))


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("declared", [0, 5, 3_000, 100_000])
def test_progress_rises_to_one_whatever_the_run_declares(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, scope: str, declared: int
) -> None:
    file = a_large_run(tmp_path / "large.json", 3_000, totalSubmissions=declared)
    panel = panel_of(file, out, scope=scope)
    panel.inspection.mark(range(0, 3_000, 7))
    *seen, last = progress_of(panel, monkeypatch)
    assert (seen[0], seen[-1], last) == (0.0, 1.0, None)
    assert seen == sorted(seen)
    assert len(seen) > 4
    if declared == 3_000:
        assert any(0.3 < share < 0.7 for share in seen)


def test_progress_never_falls_back_where_an_export_starts_again(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run([a_result(row, notes="x" * 2_000) for row in range(3_000)], totalSubmissions=3_000)
    file = saved(tmp_path / "run.json", hidden_document(run, '"status": "failed"'))
    panel = panel_of(file, out, scope="run")
    *seen, last = progress_of(panel, monkeypatch)
    assert (seen[0], seen[-1], last) == (0.0, 1.0, None)
    assert seen == sorted(seen)
    assert ak.load_run("run-001", source=panel.receipts[0]).status == "failed"


def test_progress_is_told_ten_times_a_second_at_most(tmp_path: Path, out: Path) -> None:
    panel = panel_of(a_large_run(tmp_path / "large.json", 12_000), out, scope="run")
    told: list[float] = []
    panel.observe(lambda change: told.append(time.monotonic()), "progress")
    panel.export()
    assert all(late - early >= 0.1 for early, late in itertools.pairwise(told[:-2]))


def test_a_watched_source_gives_what_the_source_gives(source: Path) -> None:
    plain = ak.open_source(source)
    told: list[tuple[int, int]] = []
    watched = WatchedSource(plain, lambda *counts: told.append(counts))
    assert isinstance(watched, Source)
    assert ak.open_source(watched) is watched
    assert watched.location == plain.location
    assert watched.listing().headers == plain.listing().headers
    assert ak.list_available_runs(source=watched) == ["alpha", "beta", "empty"]
    assert ak.load_results(source=watched).equals(ak.load_results(source=plain))
    for ids in (None, ["beta", "nowhere", "alpha"], []):
        for ours, theirs in zip(watched.open(ids), plain.open(ids), strict=True):
            assert type(ours) is type(theirs)
            if isinstance(ours, AuditRun) and isinstance(theirs, AuditRun):
                assert ours == theirs
                assert found(ours) == found(theirs)
            else:
                assert str(ours) == str(theirs)
    assert told[0] == (30, 30)  # of those that were loaded by then


def test_a_watched_source_counts_every_result_once(source: Path) -> None:
    told: list[tuple[int, int]] = []
    (run,) = WatchedSource(ak.open_source(source), lambda *counts: told.append(counts)).open(["alpha"])
    assert isinstance(run, AuditRun)
    for _ in range(3):
        assert sum(map(len, run.batches())) == 30
    assert told[-1] == (30, 30)
    assert run.total_submissions == 30


def test_a_watched_run_starts_again_as_the_run_does(tmp_path: Path) -> None:
    file = saved(tmp_path / "run.json", hidden_document(a_run(400), '"status": "failed"'))
    told: list[tuple[int, int]] = []
    (run,) = WatchedSource(ak.open_source(file), lambda *counts: told.append(counts)).open(["run-001"])
    assert isinstance(run, AuditRun)
    with pytest.raises(HeaderChanged) as changed:
        list(run.batches())
    again = changed.value.run
    assert (again.status, sum(map(len, again.batches()))) == ("failed", 400)
    assert told[-1] == (400, 3)
    assert run.loaded().status == "failed"


def test_failures_of_a_source_come_through_a_watched_one(source: Path) -> None:
    saved(source / "broken.json", dumped(a_run([a_result(0, aiScore="x")], id="broken")))
    watched = WatchedSource(ak.open_source(source), lambda *counts: None)
    with pytest.raises(errors.InvalidRunError):
        ak.load_results(source=watched)
    with pytest.raises(errors.RunNotFoundError):
        ak.load_run("nowhere", source=watched)
    assert ak.load_failures(source=watched).equals(ak.load_failures(source=source))


# --- downloads -----------------------------------------------------------------------------------------


def receipt_of(path: Path) -> ExportReceipt:
    data = path.read_bytes()
    return ExportReceipt(
        path=path,
        format="csv",
        run_ids=("a",),
        rows=1,
        rows_total=1,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        options={},
        seconds=0.0,
        reused=False,
    )


def downloaded(panel: ExportPanel, number: int) -> bytes:
    """What the page puts together, chunk by chunk."""
    data, last, name = b"", False, f"download-{next(DRAW)}"
    while not last:
        answer, chunks = asked(panel, do="chunk", receipt=number, offset=len(data), download=name)
        assert not answer.get("failed"), panel.message["text"]
        assert answer["size"] == len(chunks[0]) <= CHUNK_BYTES
        data, last = data + chunks[0], answer["last"]
    return data


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_chunks_put_together_are_the_file(tmp_path: Path, size: int) -> None:
    file = saved(tmp_path / "file", os.urandom(size))
    delivery, data, sizes, last = Delivery(receipt_of(file)), b"", [], False
    while not last:
        chunk, last = delivery.chunk(len(data))
        data, sizes = data + chunk, [*sizes, len(chunk)]
    assert data == file.read_bytes()
    assert len(sizes) == max(1, -(-size // CHUNK_BYTES))


def test_every_receipt_can_be_downloaded_also_two_at_a_time(source: Path, out: Path) -> None:
    panel = panel_of(source, out, scope="runs")
    panel.export()
    panel.scope = "view"
    panel.export()
    for number, receipt in enumerate(panel.receipts):
        assert downloaded(panel, number) == receipt.path.read_bytes()
    data = os.urandom(2 * CHUNK_BYTES + 5)
    panel.receipts = [*panel.receipts, receipt_of(saved(out / "large", data))]
    got = {"a": b"", "b": b""}
    for name in "abababa"[:6]:
        _, chunks = asked(panel, do="chunk", receipt=3, offset=len(got[name]), download=name)
        got[name] += chunks[0]
    assert got == {"a": data, "b": data}
    assert panel._deliveries == {}


@pytest.mark.parametrize("change", ["same size", "longer", "shorter", "gone", "a folder"])
@pytest.mark.parametrize("begun", [False, True])
def test_a_file_that_is_no_longer_what_the_receipt_says_is_not_delivered(
    source: Path, out: Path, change: str, begun: bool
) -> None:
    panel = panel_of(source, out)
    out.mkdir()
    file = saved(out / "large", os.urandom(CHUNK_BYTES + 10))
    panel.receipts = [receipt_of(file)]
    offset = 0
    if begun:
        asked(panel, do="chunk", receipt=0, offset=0, download="x")
        offset = CHUNK_BYTES
    data = file.read_bytes()
    if change in ("gone", "a folder"):
        file.unlink()
    if change == "a folder":
        file.mkdir()
    changed = {"same size": data[:-1] + bytes([data[-1] ^ 1]), "longer": data + b"x", "shorter": data[:-1]}
    if change in changed:
        saved(file, changed[change])
    answer, chunks = asked(panel, do="chunk", receipt=0, offset=offset, download="x")
    while not answer.get("failed"):
        assert answer["last"] is False
        offset += len(chunks[0])
        answer, chunks = asked(panel, do="chunk", receipt=0, offset=offset, download="x")
    assert chunks == []
    said = panel.message["text"]
    assert said.startswith(
        f"{os.strerror(errno.ENOENT)}: {file}" if change == "gone" else f"{file} has changed"
    )
    assert said.endswith(("Export it again.", "then try again."))
    assert clicked(panel).startswith("Exported")


def test_a_file_that_was_changed_and_put_back_behind_a_chunk_is_not_delivered(tmp_path: Path) -> None:
    data = os.urandom(2 * CHUNK_BYTES)
    delivery = Delivery(receipt_of(saved(tmp_path / "file", data)))
    saved(tmp_path / "file", b"x" + data[1:])
    delivery.chunk(0)
    saved(tmp_path / "file", data)
    with pytest.raises(errors.AuditkitError, match="has changed since it was exported"):
        delivery.chunk(CHUNK_BYTES)


@pytest.mark.parametrize("number", [-1, 1, 10**9, None, "0", "/etc/passwd", 0.0, [0]])
def test_only_files_of_receipts_are_delivered(source: Path, out: Path, number: Any) -> None:
    panel = panel_of(source, out)
    panel.export()
    answer, chunks = asked(panel, do="chunk", receipt=number, offset=0, download="x")
    assert (answer, chunks) == ({"failed": True}, [])
    assert panel.message["text"] == "There is no such receipt any more. Export it again."


@pytest.mark.parametrize("offset", [1, -1, CHUNK_BYTES, None, "0"])
def test_chunks_are_delivered_in_their_order_only(source: Path, out: Path, offset: Any) -> None:
    panel = panel_of(source, out)
    panel.export()
    assert asked(panel, do="chunk", receipt=0, offset=offset, download="x")[0] == {"failed": True}
    assert panel.message["text"] == "The download lost its place. Start it again."
    assert downloaded(panel, 0) == panel.receipts[0].path.read_bytes()


def test_downloads_that_a_page_gave_up_are_forgotten(source: Path, out: Path) -> None:
    panel = panel_of(source, out)
    out.mkdir()
    panel.receipts = [receipt_of(saved(out / "large", os.urandom(CHUNK_BYTES + 1)))]
    for number in range(50):
        asked(panel, do="chunk", receipt=0, offset=0, download=f"given up {number}")
    assert len(panel._deliveries) < 10


# --- as code -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("filter", [ak.Filter(), ak.Filter(user_score=(5, None), notes="quality")])
def test_the_code_makes_the_same_file(
    source: Path, out: Path, scope: str, format: str, filter: ak.Filter
) -> None:
    ids = ["beta"] if scope == "run" else ["beta", "alpha"]
    panel = panel_of(source, out, ids, scope=scope, format=format, **CHANGED)
    panel.filter = filter
    panel.inspection.select(panel.inspection.view.iloc[[3, 1, 4]])
    receipts = panel.export()
    assert receipts_in(ran(panel.code)) == receipts
    assert asked(panel, do="code")[0] == {"code": panel.code}


@pytest.mark.parametrize("scope", ["view", "selected"])
@pytest.mark.parametrize(
    "part",
    [
        lambda results: results.head(5),
        lambda results: results[results.position < 10],
        lambda results: results[results.user_score > 3].sample(frac=1, random_state=1),
        lambda results: results[::-1],
        lambda results: results[results.run_id == "beta"],
    ],
)
def test_the_code_of_a_part_of_the_results_names_that_part(
    source: Path, out: Path, scope: str, part: Any
) -> None:
    panel = ExportPanel(part(ak.load_results(source=source)), source=source, output_dir=out, scope=scope)
    panel.filter = ak.Filter(user_score=(2, None))
    panel.inspection.mark(panel.inspection.places[::2])
    receipts = panel.export()
    assert read_back(receipts) == rows_of(
        panel.inspection.view if scope == "view" else panel.inspection.selected
    )
    assert [receipt.sha256 for receipt in receipts_in(ran(panel.code))] == [
        receipt.sha256 for receipt in receipts
    ]


@pytest.mark.parametrize("declared", [2, 30, 500])
def test_the_code_names_no_rows_where_all_are_at_hand_whatever_the_run_declares(
    tmp_path: Path, out: Path, declared: int
) -> None:
    file = saved(tmp_path / "run.json", dumped(a_run(30, totalSubmissions=declared)))
    panel = panel_of(file, out)
    assert "rows = " not in panel.code
    assert receipts_in(ran(panel.code)) == panel.export()
    panel.results = panel.results.head(2)
    assert ("rows = " in panel.code) == (declared != 2)  # the source says itself that two are all


def test_the_code_is_short_where_nothing_differs_from_the_defaults(source: Path) -> None:
    panel = ExportPanel(ak.load_results(["alpha"], source=source), source=source)
    panel.filter = ak.Filter(difference=(10, None))
    opening = ["import auditkit as ak", "", f"source = ak.open_source({str(source)!r})"]
    panel.scope = "run"
    call = "receipt = ak.export_audit_run('alpha', 'csv', source=source)"
    assert panel.code.splitlines() == [*opening, call]
    panel.scope = "runs"
    call = "batch = ak.export_multiple_runs(['alpha'], 'csv', source=source)"
    assert panel.code.splitlines() == [*opening, call]
    panel.scope, panel.filter = "view", LARGE
    load = "results = ak.load_results(['alpha'], source=source)"
    filter = "filter=ak.Filter(user_score=(5, None))"
    call = f"receipt = ak.export_results(results, 'csv', name='view', {filter}, source=source)"
    assert panel.code.splitlines() == [*opening, load, call]


@pytest.mark.parametrize("scope", ["selected", "run"])
def test_the_code_of_a_panel_with_nothing_to_export_runs_and_says_so(
    source: Path, out: Path, scope: str
) -> None:
    panel = panel_of(source, out, scope=scope)
    assert panel.code.splitlines()[-1] == f"# {panel._choices[scope]['reason']}"
    ran(panel.code)
    assert everything(out) == []


def test_the_code_of_a_source_that_is_gone_can_still_be_had(source: Path, out: Path, tmp_path: Path) -> None:
    panel = panel_of(source, out)
    source.rename(tmp_path / "elsewhere")
    code = panel.code
    (tmp_path / "elsewhere").rename(source)
    assert receipts_in(ran(code)) == panel.export()


# --- how it shows --------------------------------------------------------------------------------------

ATTACK = "<img src=x onerror=alert(1)>"


def test_it_shows_without_scripts_and_nothing_of_it_becomes_a_part_of_the_page(tmp_path: Path) -> None:
    file = saved(tmp_path / "run.json", dumped(a_run(2, id=ATTACK, totalSubmissions=2)))
    panel = panel_of(file, tmp_path / ATTACK)
    panel.filter = ak.Filter(run_id=ATTACK)
    panel.export()
    panel.scope = "runs"
    panel.export()
    html = panel.static_html()
    assert panel._repr_mimebundle_()[0]["text/html"] == html
    assert "<img" not in html
    for receipt in panel.receipts:
        assert receipt.sha256 in html
    assert html.index("audit-run-") < html.index("audit-results-")
    assert "2 of 2" in html


def test_many_receipts_show_the_last_ones_and_how_many_there_are_besides(source: Path, out: Path) -> None:
    panel = panel_of(source, out, scope="runs")
    for _ in range(7):
        panel.export()
    html = panel.static_html()
    assert html.count("Exported as csv") == 10
    assert "4 earlier exports not shown." in html


def test_its_repr_is_short_and_the_same_every_time(source: Path, out: Path) -> None:
    one, two = (panel_of(source, out) for _ in range(2))
    assert repr(one) == repr(two) == "ExportPanel(the filtered view: all 42 results, no filter, as csv)"
    one.scope = "run"
    assert repr(one) == "ExportPanel(this run: 2 runs are picked. Pick one, or export these runs, as csv)"


def test_what_it_sends_to_the_page_is_json(source: Path, out: Path) -> None:
    panel = panel_of(source, out)
    panel.filter = LARGE
    panel.export()
    state = json.loads(
        json.dumps({name: panel.get_state(name)[name] for name in panel.keys if name[0] != "_"}, default=str)
    )
    (receipt,) = state["receipts"]
    assert receipt["rows"] == "20 of 42 rows"
    assert receipt["sha256"] == panel.receipts[0].sha256
    assert json.loads(json.dumps([panel._choices, panel._known, panel._heeded]))


def test_its_script_and_style_are_small_and_make_no_markup() -> None:
    own = [script("panel.js"), style("panel.css")]
    assert sum(map(len, own)) - len(script("base.js")) < 30_000
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "http://", "https://"):
        assert word not in own[0].replace("http://www.w3.org/2000/svg", "")
    assert "import " not in own[0]
