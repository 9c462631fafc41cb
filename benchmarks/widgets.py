"""Measure the widgets in a real browser, beside two other tables, and print what was seen."""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page

from benchmarks.data import CACHE, ROOT
from benchmarks.measure import Command, compare

sys.path.insert(0, str(ROOT / "tests"))
from browser import (
    Traffic,
    chromium,
    fresh_page,
    jupyter,
    open_notebook,
    run_next,
    write_notebook,
)

MANY, FEW, PEERS = 1_000_000, 10_000, 100_000
IMPORTS = 7
DATA = """
import sys
sys.path.insert(0, {root!r})
import pandas as pd
import auditkit as ak, auditkit.widgets as akw
from benchmarks.widget_data import results
frame = results({rows})
"""
TABLE = "akw.DeviationTable(frame)"
TOGETHER = """
from auditkit.widgets.inspection import Inspection
import ipywidgets
inspection = Inspection(frame)
ipywidgets.VBox([akw.DeviationExplorer(inspection), akw.DeviationTable(inspection)])
"""
ITABLES = "import itables; itables.init_notebook_mode(connected=False)", "itables.show(frame, maxBytes=0)"
DATAGRID = "import ipydatagrid", "ipydatagrid.DataGrid(frame)"

SETTLED_MS = 500
STATUS, TILE = ".ak-table .ak-status", ".ak-tile"
ROWS_READY = """() => {
  const rows = document.querySelectorAll('.ak-table .ak-row');
  return rows.length > 5 && [...rows].every((row) => row.getAttribute('aria-busy') === null);
}"""
PAINTED = """async (act) => {
  const table = document.querySelector('.ak-table');
  const before = table.querySelector('.ak-body').textContent;
  const began = performance.now();
  eval(act)(table);
  for (;;) {
    await new Promise(requestAnimationFrame);
    const rows = [...table.querySelectorAll('.ak-row')];
    const ready = rows.length > 5 && rows.every((row) => row.getAttribute('aria-busy') === null);
    if (ready && table.querySelector('.ak-body').textContent !== before) break;
    if (performance.now() - began > 30000) throw new Error('nothing was painted');
  }
  return performance.now() - began;
}"""
SORT = """(table) => [...table.querySelectorAll('.ak-headcell')]
  .find((cell) => cell.querySelector('.ak-headtext').textContent === '%s').click()"""
SCROLL = """(table) => {
  const bar = table.querySelector('.ak-scroll');
  bar.scrollTop = bar.scrollHeight * %f;
}"""


@dataclass(frozen=True)
class Seen:
    """A figure, and the most that it may be."""

    what: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def verdict(self) -> str:
        if self.limit is None:
            return "–"
        return "met" if self.value <= self.limit else "missed"


def main() -> int:
    """Measure everything and print a table; 1 when a figure is missed."""
    options = _options()
    seen: list[Seen] = [_imports()]
    with chromium() as browser:
        few = _first_rows(browser, FEW, TABLE)
        many = _first_rows(browser, MANY, TABLE)
        seen += [
            Seen("first rows of 10k results on screen", few[0], "s"),
            Seen("first rows of 1M results on screen", many[0], "s", 3),
            Seen("the same, against 10k", many[0] / few[0], "×", 1.5),
            Seen("bytes over the websocket for that, 10k", few[1] / 1000, "kB", 200),
            Seen("bytes over the websocket for that, 1M", many[1] / 1000, "kB", 200),
            Seen("bytes saved into the notebook, 10k", few[2] / 1000, "kB", 200),
            Seen("bytes saved into the notebook, 1M", many[2] / 1000, "kB", 200),
        ]
        seen += _in_use(browser, options.turns)
        if not options.alone:
            seen += _peers(browser)
    print("| what | seen | at most | verdict |\n|---|---|---|---|")
    for one in seen:
        limit = "–" if one.limit is None else f"{one.limit:g} {one.unit}"
        print(f"| {one.what} | {one.value:.2f} {one.unit} | {limit} | {one.verdict} |")
    return 1 if any(one.verdict == "missed" for one in seen) else 0


def _imports() -> Seen:
    """CPU time of importing the widgets, against what they stand on."""
    CACHE.mkdir(parents=True, exist_ok=True)
    wanted = ("import auditkit.widgets", "import ipywidgets, pandas")
    ours, theirs = compare([Command(arguments=[sys.executable, "-c", line]) for line in wanted], IMPORTS)
    return Seen(
        "import auditkit.widgets, against import ipywidgets, pandas",
        ours.cpu_seconds / theirs.cpu_seconds,
        "×",
        1.5,
    )


def _first_rows(browser: Browser, rows: int, cell: str) -> tuple[float, int, int]:
    """Seconds from the start of a cell to its rows on screen, bytes of the websocket, bytes saved."""
    seconds, traffic, saved = [], [], []
    for _ in range(3):
        with _notebook(browser, rows, cell) as (page, seen, path):
            before = seen.received_bytes + seen.sent_bytes
            seconds.append(_run_next(page, lambda page: page.wait_for_function(ROWS_READY, polling="raf")))
            traffic.append(seen.received_bytes + seen.sent_bytes - before)
            saved.append(_saved_bytes(page, path))
    return statistics.median(seconds), int(statistics.median(traffic)), int(statistics.median(saved))


def _in_use(browser: Browser, turns: int) -> Iterator[Seen]:
    with _notebook(browser, MANY, TOGETHER) as (page, _, _):
        _run_next(page, lambda page: page.wait_for_function(ROWS_READY, polling="raf"))
        names = ("User Score", "Notes", "Submission ID", "Timestamp", "Difference")
        sorts = [page.evaluate(PAINTED, SORT % names[turn % len(names)]) for turn in range(turns)]
        yield Seen("sort 1M results, to repainted rows, median", statistics.median(sorts) / 1000, "s", 1)
        yield Seen("the same, slowest column first time", max(sorts) / 1000, "s")
        scrolls = [page.evaluate(PAINTED, SCROLL % ((turn * 0.377 + 0.1) % 1)) for turn in range(turns * 2)]
        yield Seen("scroll to a random place in 1M rows, median", statistics.median(scrolls), "ms", 150)
        yield Seen("the same, slowest", max(scrolls), "ms")
        filters = [_timed_filter(page, turn) for turn in range(turns)]
        yield Seen("filter 1M results, to repainted rows, median", statistics.median(filters), "s", 1)
        brushes = [_timed_brush(page, turn) for turn in range(turns)]
        yield Seen("brush on 1M results, to table and tiles, median", statistics.median(brushes), "s", 1)


def _timed_filter(page: Page, turn: int) -> float:
    table = page.locator(".ak-table")
    table.get_by_role("button", name="Filter Deviation", exact=True).click()
    table.get_by_label("From").fill(str(10 + turn % 5))
    before = page.locator(STATUS).first.inner_text()
    began = time.perf_counter()
    table.get_by_role("button", name="Apply", exact=True).click()
    _wait_for_change(page, STATUS, before)
    page.wait_for_function(ROWS_READY, polling="raf")
    return time.perf_counter() - began


def _timed_brush(page: Page, turn: int) -> float:
    """From the last move of the mouse to the table's rows and the tiles; each time another range."""
    plot = page.locator(".ak-explorer .ak-plot").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    middle = box["y"] + box["height"] / 2
    start, end = (box["x"] + box["width"] * share for share in (0.52 + 0.01 * (turn % 10), 0.8))
    page.mouse.move(start, middle)
    page.mouse.down()
    page.mouse.move(end - 40, middle, steps=5)
    page.wait_for_timeout(SETTLED_MS)
    before = [page.locator(selector).first.inner_text() for selector in (STATUS, TILE)]
    began = time.perf_counter()
    page.mouse.move(end, middle)
    page.mouse.up()
    for selector, text in zip((STATUS, TILE), before, strict=True):
        _wait_for_change(page, selector, text)
    page.wait_for_function(ROWS_READY, polling="raf")
    return time.perf_counter() - began


def _wait_for_change(page: Page, selector: str, before: str) -> None:
    page.wait_for_function(
        "([selector, before]) => document.querySelector(selector).innerText !== before",
        arg=[selector, before],
        polling="raf",
    )


def _peers(browser: Browser) -> Iterator[Seen]:
    ready = {
        "itables": (ITABLES, "table.dataTable tbody tr td"),
        "ipydatagrid": (DATAGRID, ".ipydatagrid canvas, .lm-DataGrid canvas"),
    }
    for name, ((setup, cell), selector) in ready.items():
        with _notebook(browser, PEERS, cell, setup) as (page, traffic, path):
            before = traffic.received_bytes + traffic.sent_bytes
            seconds = _run_next(
                page, lambda page, wanted=selector: page.locator(wanted).first.wait_for(timeout=180_000)
            )
            page.wait_for_timeout(1000)
            sent = traffic.received_bytes + traffic.sent_bytes - before
            yield Seen(f"{name}, 100k results: first rows on screen", seconds, "s")
            yield Seen(f"{name}, 100k results: bytes over the websocket", sent / 1000, "kB")
            yield Seen(
                f"{name}, 100k results: bytes saved into the notebook", _saved_bytes(page, path) / 1000, "kB"
            )
    with _notebook(browser, PEERS, TABLE) as (page, traffic, path):
        before = traffic.received_bytes + traffic.sent_bytes
        seconds = _run_next(page, lambda page: page.wait_for_function(ROWS_READY, polling="raf"))
        yield Seen("DeviationTable, 100k results: first rows on screen", seconds, "s")
        sent = traffic.received_bytes + traffic.sent_bytes - before
        yield Seen("DeviationTable, 100k results: bytes over the websocket", sent / 1000, "kB")


@contextmanager
def _notebook(browser: Browser, rows: int, cell: str, *setup: str) -> Iterator[tuple[Page, Traffic, Path]]:
    """A notebook in which all cells but the last have run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "measure.ipynb"
        data = DATA.format(root=str(ROOT), rows=rows)
        write_notebook(path, data, *setup, cell)
        with jupyter(folder, save_widgets=True) as address, fresh_page(browser) as (page, traffic):
            open_notebook(page, address, path.name)
            for number in range(1 + len(setup)):
                _run_next(
                    page,
                    lambda page, at=number: page.locator(
                        ".jp-CodeCell .jp-InputPrompt", has_text=f"[{at + 1}]:"
                    ).wait_for(timeout=120_000),
                )
            yield page, traffic, path


def _run_next(page: Page, ready: Callable[[Page], object]) -> float:
    """Run the current cell; the seconds until something is there."""
    began = time.perf_counter()
    run_next(page)
    ready(page)
    return time.perf_counter() - began


def _saved_bytes(page: Page, path: Path) -> int:
    """How much the widgets' state and the outputs add to the saved notebook."""
    before = path.stat().st_mtime_ns
    page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
    deadline = time.monotonic() + 60
    while path.stat().st_mtime_ns == before and time.monotonic() < deadline:
        page.wait_for_timeout(100)
    page.wait_for_timeout(500)
    saved = json.loads(path.read_text(encoding="utf-8"))
    outputs = [cell.get("outputs") for cell in saved["cells"]]
    return len(json.dumps([outputs, saved["metadata"].get("widgets")]).encode())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.widgets", description=__doc__)
    parser.add_argument("--turns", type=int, default=10, metavar="N", help="how often each action is timed")
    parser.add_argument("--alone", action="store_true", help="leave the other tables out")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
