"""The widgets as people use them: a real Chromium on a real JupyterLab, Notebook and web page."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import (
    chromium,
    fresh_page,
    jupyter,
    open_notebook,
    process,
    run_all,
    settings_in,
    write_notebook,
)
from playwright.sync_api import Browser, Download, Locator, Page, expect

import auditkit as ak

ROOT = Path(__file__).parent.parent
HOSTILE = "<img src=x onerror='window.hacked=1'>"
WORKBENCH = """
import os
os.environ["SOURCE_DATE_EPOCH"] = "1705312800"
import auditkit as ak, auditkit.widgets as akw
bench = akw.Workbench("sample_data/runs")
bench
"""
CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as after a clone: sample data, the notebook, and one of a single cell."""
    folder = tmp_path_factory.mktemp("desk")
    shutil.copytree(ROOT / "sample_data" / "runs", folder / "sample_data" / "runs")
    (folder / "notebooks").mkdir()
    shutil.copy(ROOT / "notebooks" / "03_workbench.ipynb", folder / "notebooks")
    write_notebook(folder / "bench.ipynb", WORKBENCH)
    return folder


@pytest.fixture(scope="module")
def lab(browser: Browser, desk: Path) -> Iterator[str]:
    with jupyter(desk) as address:
        yield address


@pytest.fixture(scope="module")
def dark_lab(browser: Browser, desk: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("dark")
    shutil.copytree(desk, folder, dirs_exist_ok=True)
    with jupyter(folder, theme="JupyterLab Dark") as address:
        yield address


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with fresh_page(browser) as (page, _):
        yield page


def open_bench(page: Page, address: str, notebook: str = "bench.ipynb") -> Locator:
    open_notebook(page, address, notebook)
    run_all(page)
    bench = page.locator(".ak-workbench").first
    expect(bench.locator(".ak-picker .ak-row").first).to_be_visible(timeout=30_000)
    return bench


def status(bench: Locator, widget: str) -> Locator:
    return bench.locator(f".ak-{widget} .ak-status").first


def pick(bench: Locator, *run_ids: str) -> None:
    for run_id in run_ids:
        row = bench.locator(".ak-picker .ak-row").filter(has_text=run_id)
        row.locator(".ak-mark").click()
        expect(row).to_have_attribute("aria-selected", "true")


def brush(page: Page, bench: Locator) -> None:
    """Drag over the right part of the histogram."""
    plot = bench.locator(".ak-explorer .ak-plot").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    height = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.62, height)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, height, steps=4)
    page.mouse.move(box["x"] + box["width"] * 0.9, height, steps=4)
    page.mouse.up()


def shown_ids(bench: Locator, count: int) -> list[str]:
    rows = bench.locator(".ak-table .ak-row")
    return [rows.nth(at).locator(".ak-cell").nth(3).inner_text() for at in range(count)]


def export(bench: Locator, button: str) -> None:
    bench.locator(".ak-panel").get_by_role("button", name=button, exact=True).click()


def download(page: Page, bench: Locator) -> Download:
    with page.expect_download() as waiting:
        bench.locator(".ak-panel").get_by_role("button", name=re.compile("^Download")).first.click()
    return waiting.value


def settle(page: Page, place: Locator) -> None:
    """Wait until a text stays: while the mouse is dragged it changes with every move."""
    texts = [place.inner_text()]
    while len(texts) < 4 or len(set(texts[-4:])) > 1:
        page.wait_for_timeout(250)
        texts.append(place.inner_text())


def pick_brush_select_export(page: Page, bench: Locator, folder: Path) -> None:
    """The way of an auditor; the file on disk and the one that is downloaded hold the rows selected."""
    pick(bench, "run-001", "run-006")
    expect(status(bench, "table")).to_have_text("1,508 results")
    brush(page, bench)
    expect(status(bench, "table")).to_have_text(re.compile(r"^\d+ of 1,508 results$"))
    settle(page, status(bench, "table"))
    assert bench.locator(".ak-chip").all_inner_texts()[0].startswith("Difference:")
    rows = bench.locator(".ak-table .ak-row")
    rows.nth(0).click()
    rows.nth(2).click(modifiers=["Shift"])
    rows.nth(4).click(modifiers=["Control"])
    expect(status(bench, "table")).to_have_text(re.compile("4 selected$"))
    wanted = [shown_ids(bench, 5)[at] for at in (0, 1, 2, 4)]

    bench.locator(".ak-panel").get_by_role("radio", name="The selected rows").check()
    export(bench, "Export 4 results")
    receipt = bench.locator(".ak-receipts tbody tr").first
    expect(receipt).to_contain_text(re.compile("4 of 1,50[08] rows"))  # of the runs that the rows are from
    path = folder / receipt.locator("th").inner_text().splitlines()[0]
    assert sorted(ak.load_results(source=path).submission_id) == sorted(wanted)
    got = download(page, bench)
    assert got.suggested_filename == path.name
    assert Path(got.path()).read_bytes() == path.read_bytes()


def test_the_workbench_notebook_is_driven_in_jupyterlab(page: Page, lab: str, desk: Path) -> None:
    bench = open_bench(page, lab, "notebooks/03_workbench.ipynb")
    prompts = page.locator(".jp-CodeCell .jp-InputPrompt")
    expect(prompts.last).to_have_text(re.compile(r"\[\d+\]:"), timeout=60_000)
    expect(status(bench, "table")).to_have_text("13 of 1,508 results, 2 selected")
    bench.locator(".ak-picker").get_by_role("button", name="Pick none").click()
    expect(status(bench, "table")).to_have_text("0 results")
    bench.locator(".ak-explorer").get_by_role("button", name="Clear filter").click()
    expect(bench.locator(".ak-chip")).to_have_count(0)
    pick_brush_select_export(page, bench, desk / "notebooks")


def test_the_table_alone_answers_mouse_and_keyboard(page: Page, lab: str, desk: Path) -> None:
    write_notebook(
        desk / "table.ipynb",
        "import auditkit as ak, auditkit.widgets as akw\n"
        "akw.DeviationTable(ak.load_results(source='sample_data/runs'), source='sample_data/runs')",
    )
    open_notebook(page, lab, "table.ipynb")
    run_all(page)
    table = page.locator(".ak-table")
    rows = table.locator(".ak-row")
    expect(rows.first).to_contain_text("sub-3005")  # run-003 row 4: 82 and 0.4, the worst of all
    table.get_by_role("grid").focus()
    page.keyboard.press("Control+End")
    expect(rows.last).to_contain_text("run-006")
    page.keyboard.press("Control+Home")
    page.keyboard.press("ArrowUp")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    head = table.locator('[role=columnheader][aria-sort="descending"]')
    expect(head).to_contain_text("User Score")
    page.keyboard.press("Alt+ArrowDown")
    page.keyboard.type("99")
    page.keyboard.press("Enter")
    expect(status(page.locator("body"), "table")).to_have_text(re.compile(r"^\d+ of 1,580 results$"))
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Control+a")
    page.keyboard.press("Control+c")
    expect(table.get_by_text(re.compile(r"^Copied \d+ results\.$"))).to_be_visible()
    pasted = page.evaluate("navigator.clipboard.readText()").splitlines()
    assert pasted[0].split("\t")[:4] == ["Run", "Row", "Submission ID", "User ID"]
    assert {float(line.split("\t")[4]) >= 99 for line in pasted[1:]} == {True}
    page.keyboard.press("Enter")
    detail = table.get_by_role("region", name="One result")
    expect(detail).to_contain_text("Result ID")
    expect(detail).to_contain_text("No findings about it.")
    page.keyboard.press("Delete")
    assert "User Score" in " ".join(table.locator(".ak-headtext").all_inner_texts())


def test_notes_that_are_markup_stay_text(page: Page, lab: str, desk: Path) -> None:
    run = json.loads((desk / "sample_data" / "runs" / "run-001.json").read_text(encoding="utf-8"))
    run |= {"id": "hostile", "reviewer": HOSTILE, "taskTitle": HOSTILE, "skillArea": HOSTILE}
    for result in run["results"]:
        result |= {"notes": HOSTILE, "submissionId": HOSTILE + result["submissionId"], "reviewer": HOSTILE}
    (desk / "hostile").mkdir()
    (desk / "hostile" / "hostile.json").write_text(json.dumps(run), encoding="utf-8")
    write_notebook(
        desk / "hostile.ipynb",
        "import auditkit.widgets as akw\nbench = akw.Workbench('hostile')\n"
        "bench.picker.run_ids = ['hostile']\nbench",
    )
    bench = open_bench(page, lab, "hostile.ipynb")
    bench.locator(".ak-table .ak-row").first.dblclick()
    expect(bench.locator(".ak-detail")).to_contain_text(HOSTILE)
    bench.locator(".ak-panel").get_by_role("radio", name="This run").check()
    export(bench, "Export 1 run")
    expect(bench.locator(".ak-receipts")).to_contain_text("audit-run-hostile")
    assert bench.locator("img, script").count() == 0
    assert page.evaluate("window.hacked") is None


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until the focus stands there; every stop on the way, and the last, shows it."""
    for _ in range(90):
        page.keyboard.press("Tab")
        if page.evaluate("(wanted) => document.activeElement.matches(wanted)", selector):
            break
    else:
        raise AssertionError(f"Tab does not reach {selector}")
    assert page.evaluate("() => document.activeElement.matches(':focus-visible')")


def test_keyboard_alone_picks_filters_selects_and_exports(page: Page, lab: str, desk: Path) -> None:
    bench = open_bench(page, lab)
    page.evaluate("() => jupyterapp.commands.execute('notebook:enter-command-mode')")
    tab_to(page, ".ak-picker .ak-grid")
    for _ in range(5):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    expect(status(bench, "table")).to_have_text("1,500 results")
    tab_to(page, ".ak-explorer .ak-range input")
    page.keyboard.type("30")
    page.keyboard.press("Enter")
    expect(status(bench, "table")).to_have_text(re.compile(r"^\d+ of 1,500 results$"))
    tab_to(page, ".ak-table .ak-grid")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowDown")
    expect(status(bench, "table")).to_have_text(re.compile("3 selected$"))
    tab_to(page, ".ak-panel input[type=radio]")
    page.keyboard.press("ArrowDown")
    tab_to(page, ".ak-panel .ak-button-main")
    page.keyboard.press("Enter")
    expect(bench.locator(".ak-receipts tbody tr").first).to_contain_text("3 of 1,500")
    tab_to(page, ".ak-receipts td:last-child button")
    with page.expect_download() as waiting:
        page.keyboard.press("Enter")
    name = waiting.value.suggested_filename
    assert Path(waiting.value.path()).read_bytes() == (desk / "exports" / name).read_bytes()


@pytest.mark.parametrize("theme", ["lab", "dark_lab"])
def test_every_text_on_screen_has_the_contrast_of_wcag_aa(
    page: Page, theme: str, request: pytest.FixtureRequest
) -> None:
    address = request.getfixturevalue(theme)
    bench = open_bench(page, address)
    light = page.evaluate("document.body.dataset.jpThemeLight")
    assert light == str(theme == "lab").lower()
    pick(bench, "run-001", "run-006")
    expect(status(bench, "table")).to_have_text("1,508 results")
    bench.locator(".ak-table .ak-row").first.dblclick()
    bench.locator(".ak-panel .ak-button-main").click()
    expect(bench.locator(".ak-receipts tbody tr").first).to_be_visible()
    bench.locator(".ak-table").get_by_role("button", name="Copy as code").click()
    seen = page.evaluate(CONTRAST)
    assert len(seen) > 100
    assert [text for text in seen if text["contrast"] < 4.5] == []


def test_failures_are_said_and_the_widgets_go_on(page: Page, lab: str, desk: Path) -> None:
    runs = desk / "failing"
    shutil.copytree(desk / "sample_data" / "runs", runs)
    write_notebook(
        desk / "failing.ipynb", "import auditkit.widgets as akw\nbench = akw.Workbench('failing')\nbench"
    )
    bench = open_bench(page, lab, "failing.ipynb")
    message = bench.locator(".ak-picker .ak-message")
    (runs / "run-003.json").write_text('{"id": "run-003", "results": [', encoding="utf-8")
    bench.locator(".ak-picker .ak-row").filter(has_text="run-003").locator(".ak-mark").click()
    expect(bench.locator(".ak-table .ak-message")).to_contain_text("run-003.json")
    pick(bench, "run-005")
    expect(bench.locator(".ak-table .ak-message")).to_contain_text("run-005 has no results")
    pick(bench, "run-002")
    expect(bench.locator(".ak-table .ak-message")).to_contain_text("run-002 is still running")
    folder = bench.locator(".ak-panel").get_by_label("Folder")
    folder.fill("failing.ipynb")
    folder.press("Enter")
    export(bench, "Export 20 results")
    expect(bench.locator(".ak-panel .ak-message")).to_have_attribute("data-kind", "error")
    folder.fill("exports")
    folder.press("Enter")
    export(bench, "Export 20 results")
    expect(bench.locator(".ak-receipts tbody tr")).to_have_count(1)
    shutil.rmtree(runs)
    bench.locator(".ak-picker").get_by_role("button", name="Read again").click()
    expect(message).to_contain_text("failing")
    expect(status(bench, "picker")).to_have_text("0 runs")
    page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    expect(bench.locator(".ak-picker .ak-silence")).to_contain_text("Run this cell again")


def test_a_download_works_in_notebook_7(page: Page, desk: Path, tmp_path: Path) -> None:
    shutil.copytree(desk / "sample_data", tmp_path / "sample_data")
    write_notebook(tmp_path / "bench.ipynb", WORKBENCH)
    with jupyter(tmp_path, app="notebook") as address:
        open_notebook(page, address, "bench.ipynb", app="notebook")
        run_all(page)
        bench = page.locator(".ak-workbench")
        pick_brush_select_export(page, bench, tmp_path)


def test_the_web_page_is_driven_with_its_token(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "sample_data" / "runs", tmp_path / "runs")
    environment = settings_in(tmp_path / ".home", "JupyterLab Light", save_widgets=False)
    arguments = [sys.executable, "-m", "auditkit", "web", "--source", "runs", "--port", "0"]
    with process(arguments, tmp_path, environment) as server:
        address = printed_address(tmp_path / ".server-output", server)
        page.goto(address.partition("?")[0])
        assert page.locator(".ak-workbench").count() == 0
        page.goto(address)
        bench = page.locator(".ak-workbench")
        expect(bench.locator(".ak-picker .ak-row").first).to_be_visible(timeout=60_000)
        pick_brush_select_export(page, bench, tmp_path)
        bench.locator(".ak-table").get_by_role("button", name="Copy as code").click()
        code = bench.locator(".ak-table .ak-code-text")
        expect(code).to_contain_text("selected")
        names: dict[str, Any] = {}
        monkeypatch.chdir(tmp_path)
        exec(code.inner_text(), names)  # without the environment of the page
        assert len(names["results"]) == 1508
        assert len(names["selected"]) == 4


def printed_address(output: Path, server: subprocess.Popen[bytes]) -> str:
    for _ in range(600):
        found = re.search(r"http://127\.0\.0\.1:\d+/\S*token=\w+", output.read_text(encoding="utf-8"))
        if found:
            return found[0]
        assert server.poll() is None, output.read_text(encoding="utf-8")
        time.sleep(0.1)
    raise AssertionError("no address was printed")
