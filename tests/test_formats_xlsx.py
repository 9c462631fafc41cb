"""xlsx: the columns of the CSV in one sheet, scores as numbers, text as text, whatever it looks like."""

from __future__ import annotations

import io
import os
import re
import sys
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import reference_exporter as reference
import xlsxwriter
from calc import converted, sheet
from children import python, succeed
from hypothesis import given, settings
from records import Record, a_result, a_run, dumped, load_one, saved, without, written
from strategies import runs

import auditkit as ak
from auditkit.errors import InvalidOptionError, InvalidRunError, MissingExtraError
from auditkit.formats import get_format, recognise
from auditkit.formats.base import WriteOptions

SAMPLES = Path(__file__).parent.parent / "sample_data" / "runs"
LONGEST = 32_767  # Microsoft, "Excel specifications and limits": characters in a cell, in UTF-16 units
ROWS = 1_048_576  # the same: rows of a sheet

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_ESCAPE = re.compile("_x([0-9A-Fa-f]{4})_")  # ECMA-376, part 1, 22.9.2.19 (ST_Xstring)

Value = str | float | None

HOSTILE_TEXTS = (
    "=1+1", "+1", "-1", "@SUM(1)", "=HYPERLINK(\"http://a.b\")", "http://a.b", "mailto:a@b.c", "internal:A1",
    "007", "1e5", "TRUE", "NaN", "12", "2024-01-15", "#N/A", "'quoted", " padded ", "a  b", "\t=1", "a\tb",
    "a\nb", "\n", " ", "a\n", "<r>&</r>", "<r></r>", "<r><t>bold</t></r>", "<b>&amp;</b>", "]]>", '"',
    "_x0041_", "_x0041_x0041_", "_x0041_x0041", "_x005F_", "_x005F_x0041_", "_x005f_x0041_", "_x00e9_",
    "_X0041_", "__x0041__", "_x000D_", "_x", "_xD800_", "é", "漢字", "😀", "\u2028", "\x7f", "\x85", "\u200b",
)  # fmt: skip
CONTROLLED_TEXTS = (
    "a\rb", "\r", "\x01", "_x0041\x01", "_x0041\x1f_", "_\x01", "\x00=1", "\x0b\x0c", "\x1b[0m", "\ufffe",
    "_x0041\uffff",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def opened(run: Record, folder: Path) -> ak.AuditRun:
    return load_one(saved(folder / "recorded.json", dumped(run)))


def parts(workbook: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(workbook)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def cells(workbook: bytes) -> list[list[Value]]:
    """The rows of the only sheet, by the letter of the standard: no formula, no link, no shared text."""
    held = parts(workbook)
    assert [name for name in held if "sheet" in name] == ["xl/worksheets/sheet1.xml"]
    root = ET.fromstring(held["xl/worksheets/sheet1.xml"])
    assert not list(root.iter(f"{_MAIN}f")) + list(root.iter(f"{_MAIN}hyperlink"))
    rows: list[list[Value]] = []
    for number, row in enumerate(root.iter(f"{_MAIN}row"), start=1):
        assert row.get("r") == str(number)
        found = {cell.get("r"): _value(cell) for cell in row}
        names = [f"{chr(ord('A') + column)}{number}" for column in range(21)]
        assert found.keys() <= set(names)
        rows.append([found.get(name) for name in names])
    return rows


def _value(cell: ET.Element) -> Value:
    if cell.get("t") != "inlineStr":
        assert cell.get("t") is None
        return float(cell.find(f"{_MAIN}v").text)
    (text,) = cell.iter(f"{_MAIN}t")
    assert len(list(cell.iter())) == 3  # the cell, <is> and <t>: nothing in the text became markup
    raw = text.text or ""
    kept = text.get("{http://www.w3.org/XML/1998/namespace}space") == "preserve"
    assert kept or raw == raw.strip()
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), raw)


def expected(run: Record, include_metadata: bool = True) -> list[list[Value]]:
    """The cells of a run by the specification: those of its CSV, before they become text."""
    columns = reference.CSV_COLUMNS if include_metadata else reference.CSV_COLUMNS[:-6]
    rows: list[list[Value]] = [[label for label, _, _ in columns]]
    for result in run["results"]:
        shown = result if result.get("reviewer") is not None else result | {"reviewer": run.get("reviewer")}
        rows.append([_cell(key, (run if owner == "run" else shown).get(key)) for _, owner, key in columns])
    return [row + [None] * (21 - len(row)) for row in rows]


def _cell(key: str, value: Any) -> Value:
    if key == "averageDeviation" and value is not None:
        return reference._rounded_to_cents(float(value))
    return float(value) if key in (*reference.DOUBLES, *reference.COUNTS) and value is not None else value


# --- what stands in it ---------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(runs())
def test_the_cells_are_those_of_the_csv_with_numbers_as_numbers_and_text_as_text(
    folder: Path, run: Record
) -> None:
    assert cells(written(opened(run, folder), "xlsx")) == expected(run)


def test_the_sample_runs_come_out_as_recorded() -> None:
    for file in sorted(SAMPLES.glob("*.json")):
        run = reference.parse(file.read_text(encoding="utf-8"))
        if len(run["results"]) < 100:
            assert cells(written(load_one(file), "xlsx")) == expected(run)


def test_the_headers_are_the_21_of_the_specification_and_without_metadata_15(folder: Path) -> None:
    run = a_run()
    made = opened(run, folder)
    assert cells(written(made, "xlsx"))[0] == [label for label, _, _ in reference.CSV_COLUMNS]
    assert cells(written(made, "xlsx", include_metadata=False)) == expected(run, include_metadata=False)


@pytest.mark.parametrize("text", HOSTILE_TEXTS + CONTROLLED_TEXTS)
def test_a_text_stays_the_text_that_it_is_in_every_column(folder: Path, text: str) -> None:
    keys = ("submissionId", "userId", "taskTitle", "skillArea", "reviewer", "notes")
    (row,) = cells(written(opened(a_run([a_result(**dict.fromkeys(keys, text))]), folder), "xlsx"))[1:]
    labels = [label for label, _, key in reference.CSV_COLUMNS if key in keys]
    named = dict(zip((label for label, _, _ in reference.CSV_COLUMNS), row, strict=True))
    assert [named[label] for label in labels] == [text] * 6


def test_xlsxwriter_alone_changes_some_of_these_texts(folder: Path) -> None:
    texts = HOSTILE_TEXTS + CONTROLLED_TEXTS
    path = folder / "plain.xlsx"
    with xlsxwriter.Workbook(path, {"constant_memory": True}) as workbook:
        plain = workbook.add_worksheet()
        for row, text in enumerate(text for text in texts if not text.startswith("<r>")):
            plain.write_string(row, 0, text)
    came_back = {row[0] for row in cells(path.read_bytes())}
    assert not came_back >= set(texts) - {"<r>&</r>"}
    assert {"_x0041_x0041_", "_x0041\x01"}.isdisjoint(came_back)


def test_empty_text_is_a_cell_and_missing_text_none(folder: Path) -> None:
    run = a_run([a_result(notes="", actionTaken=None), without(a_result(), "notes")], reviewer="")
    (first, second) = cells(written(opened(run, folder), "xlsx"))[1:]
    assert (first[14], second[14]) == ("", None)
    assert first[11] is None


@pytest.mark.parametrize(
    "score", [0.1 + 0.2, 1e300, -1e300, 5e-324, 1.7976931348623157e308, 100 / 3, -5, 85, 0, 2**53 + 2, 1e21]
)
def test_a_score_has_all_its_digits(folder: Path, score: float) -> None:
    workbook = written(opened(a_run([a_result(userScore=score)]), folder), "xlsx")
    assert cells(workbook)[1][6] == float(score)
    shown = re.search(rb'<c r="G2"><v>([^<]*)</v>', parts(workbook)["xl/worksheets/sheet1.xml"])[1].decode()
    assert shown == reference.js_number(float(score))


def test_xlsxwriter_alone_cuts_numbers_at_16_digits(folder: Path) -> None:
    with xlsxwriter.Workbook(folder / "plain.xlsx") as workbook:
        workbook.add_worksheet().write_number(0, 0, 0.1 + 0.2)
    assert cells((folder / "plain.xlsx").read_bytes())[0][0] == 0.3


def test_a_count_has_all_its_digits(folder: Path) -> None:
    workbook = written(opened(a_run(totalSubmissions=2**63 - 1), folder), "xlsx")
    assert b"<v>9223372036854775807</v>" in parts(workbook)["xl/worksheets/sheet1.xml"]


def test_several_runs_stand_in_one_sheet_run_by_run(folder: Path) -> None:
    made = [a_run(2, id="a"), a_run(0, id="b"), a_run([a_result(7, notes="=2")], id="c", reviewer="chief")]
    whole = [row for run in made for row in expected(run)[1:]]
    loaded = [load_one(saved(folder / f"{run['id']}.json", dumped(run))) for run in made]
    assert cells(written(loaded, "xlsx")) == [expected(made[0])[0], *whole]


def test_a_run_without_results_leaves_the_headers(folder: Path) -> None:
    assert cells(written(opened(a_run(0), folder), "xlsx")) == expected(a_run(0))


def test_rows_picked_from_several_runs_are_exported(tmp_path: Path) -> None:
    source = tmp_path / "runs"
    source.mkdir()
    for name in ("a", "b"):
        saved(source / f"{name}.json", dumped(a_run([a_result(n, userScore=n) for n in range(4)], id=name)))
    results = ak.load_results(source=source)
    receipt = ak.export_results(
        results[results.user_score > 1], "xlsx", name="high", source=source, output_dir=tmp_path / "out"
    )
    found = cells(receipt.path.read_bytes())
    assert [(row[0], row[6]) for row in found[1:]] == [("a", 2), ("a", 3), ("b", 2), ("b", 3)]
    assert (receipt.rows, receipt.rows_total) == (4, 8)


# --- as a spreadsheet sees it --------------------------------------------------------------------------


def test_calc_sees_no_formula_the_same_texts_and_numbers(tmp_path: Path) -> None:
    results = [
        a_result(n, notes=text, taskTitle=text, userScore=-n - 0.5, aiScore=1e300)
        for n, text in enumerate(HOSTILE_TEXTS)
    ]
    file = saved(tmp_path / "run.xlsx", written(opened(a_run(results), tmp_path), "xlsx"))
    rows = sheet(converted([file], "fods", tmp_path)[0])
    assert not [cell for row in rows for cell in row if cell.formula]
    assert [row[14].value for row in rows[1:]] == list(HOSTILE_TEXTS)
    assert [row[3].value for row in rows[1:]] == list(HOSTILE_TEXTS)
    assert [row[6].value for row in rows[1:]] == [-n - 0.5 for n in range(len(HOSTILE_TEXTS))]
    assert {row[7].value for row in rows[1:]} == {1e300}
    assert {type(row[16].value) for row in rows[1:]} == {float}


def test_calc_reads_back_control_characters(tmp_path: Path) -> None:
    results = [a_result(n, notes=text) for n, text in enumerate(CONTROLLED_TEXTS)]
    file = saved(tmp_path / "run.xlsx", written(opened(a_run(results), tmp_path), "xlsx"))
    as_csv = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,true,false,false,false,false"
    text = converted([file], as_csv, tmp_path)[0].read_bytes().decode()
    for wanted in ("a\rb", "\x01", "_x0041\x01", "_x0041\x1f_", "_\x01", "\x0b\x0c", "\x1b[0m", "\ufffe"):
        assert f'"{wanted}"' in text, wanted


# --- what has no room ----------------------------------------------------------------------------------

EMOJI = "😀"  # two UTF-16 units


@pytest.mark.parametrize(
    "text", ["x" * LONGEST, EMOJI * (LONGEST // 2) + "x", "é" * LONGEST, "\x01" * LONGEST]
)
def test_a_text_of_32767_units_has_room(folder: Path, text: str) -> None:
    assert cells(written(opened(a_run([a_result(notes=text)]), folder), "xlsx"))[1][14] == text


@pytest.mark.parametrize("text", ["x" * (LONGEST + 1), EMOJI * (LONGEST // 2 + 1), "é" * (LONGEST + 1)])
def test_a_text_of_one_unit_more_is_refused(folder: Path, text: str) -> None:
    with pytest.raises(InvalidRunError, match="32,768 characters: too long for a cell, which holds 32,767"):
        written(opened(a_run([a_result(notes=text)]), folder), "xlsx")


def test_every_text_that_is_too_long_is_listed_and_nothing_is_written(tmp_path: Path) -> None:
    long = "y" * 40_000
    first = a_run([a_result(0), a_result(1, notes=long, userId=long), a_result(2)], id="a")
    second = a_run([without(a_result(3), "reviewer"), a_result(4, taskTitle=long)], id="b", reviewer=long)
    second["results"][1]["timestamp"] = f"2024-01-15T10:00:00.{'0' * 40_000}Z"
    third = a_run(1, id="c", startedAt=f"2024-01-15T10:00:00.{'0' * 40_000}Z")
    loaded = [load_one(saved(tmp_path / f"{run['id']}.json", dumped(run))) for run in (first, second, third)]
    sink = io.BytesIO()
    with pytest.raises(InvalidRunError, match="the results, run 'a', row 1, user_id: ") as caught:
        get_format("xlsx").write_selection(loaded, sink)  # type: ignore[attr-defined]
    assert sink.getvalue() == b""
    assert [(row.run_id, row.position, row.field) for row in caught.value.rows] == [
        ("a", 1, "user_id"),
        ("a", 1, "notes"),
        ("b", 0, "reviewer"),
        ("b", 1, "task_title"),
        ("b", 1, "timestamp"),
        ("c", None, "started_at"),
    ]
    assert caught.value.failure_count == 6
    assert "(and 5 more). Nothing was written. Export CSV, JSON or Parquet" in str(caught.value)
    assert len(str(caught.value)) < 400
    assert list(caught.value.failures.position) == [1, 1, 0, 1, 1, pd_missing()]


def pd_missing() -> Any:
    import pandas as pd

    return pd.NA


def test_a_header_that_is_left_out_may_be_long(folder: Path) -> None:
    run = a_run(1, startedAt=f"2024-01-15T10:00:00.{'0' * 40_000}Z")
    assert len(cells(written(opened(run, folder), "xlsx", include_metadata=False))) == 2


def many(results: int) -> ak.AuditRun:
    """A run that holds one batch again and again."""
    one = load_one(SAMPLES / "run-001.json")
    batch = pa.concat_batches([next(one.batches())] * (2**14 // 8))
    assert len(batch) == 2**14

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, results, len(batch)):
            yield batch.slice(0, min(len(batch), results - start))

    return ak.AuditRun(**vars(one.header), batches=batches)


def test_more_results_than_a_sheet_has_rows_are_refused_before_a_cell_is_written() -> None:
    sink = io.BytesIO()
    message = "1,048,576 results do not fit into a workbook: a sheet has room for 1,048,575.*CSV or Parquet"
    with pytest.raises(InvalidRunError, match=message):
        get_format("xlsx").write(many(ROWS), sink)
    with pytest.raises(InvalidRunError, match=r"1,048,577 results"):
        get_format("xlsx").write_selection([many(ROWS - 1), many(2)], sink)  # type: ignore[attr-defined]
    assert sink.getvalue() == b""


@pytest.mark.torture
def test_as_many_results_as_a_sheet_has_room_for_are_written(tmp_path: Path) -> None:
    with (tmp_path / "full.xlsx").open("wb") as file:
        get_format("xlsx").write(many(ROWS - 1), file)
    with zipfile.ZipFile(tmp_path / "full.xlsx") as archive:
        assert archive.testzip() is None
        with archive.open("xl/worksheets/sheet1.xml") as sheet_xml:
            end = b""
            while block := sheet_xml.read(1 << 20):
                end = (end + block)[-5_000:]
    assert b'<row r="1048576">' in end


def test_what_no_longer_fits_when_it_is_written_is_refused_by_the_code_of_xlsxwriter() -> None:
    """A source whose second reading gives more than its first, as a file that grows may."""
    sound = next(load_one(SAMPLES / "run-001.json").batches())
    notes = pa.array(["z" * 40_000] * len(sound))
    longer = sound.set_column(sound.schema.get_field_index("notes"), "notes", notes)
    readings = count()
    run = ak.AuditRun(
        id="grows", batches=lambda: iter([longer if next(readings) else sound]), reviewer="admin-1"
    )
    sink = io.BytesIO()
    with pytest.raises(InvalidRunError, match=r"Notes of row 2 does not fit.*says -2"):
        get_format("xlsx").write(run, sink)
    assert sink.getvalue() == b""


# --- options, the extra, loading -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{"compression": "gzip"}, {"formula_guard": False}, {"flatten_results": True}, {"excel": True}],
)
def test_options_that_mean_nothing_to_it_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(
        InvalidOptionError, match=f"{next(iter(options))}=.* means nothing to the format 'xlsx'"
    ):
        get_format("xlsx", WriteOptions(**options))


WITHOUT_XLSXWRITER = """
import sys
sys.modules["xlsxwriter"] = None
import auditkit as ak
ak.export_audit_run("run-001", "csv", source=sys.argv[1], output_dir="out")
ak.load_run("run-001", source=sys.argv[1]).results
try:
    ak.export_audit_run("run-001", "xlsx", source=sys.argv[1], output_dir="out")
except ak.errors.MissingExtraError as error:
    print(error)
"""


def test_without_xlsxwriter_it_says_what_to_install_and_all_else_works(tmp_path: Path) -> None:
    said = succeed(python("-c", WITHOUT_XLSXWRITER, str(SAMPLES), cwd=tmp_path))
    assert said == "The format 'xlsx' needs xlsxwriter. Install auditkit[excel].\n"
    assert [file.suffix for file in (tmp_path / "out").iterdir() if "audit-run" in file.name] == [".csv"]
    assert issubclass(MissingExtraError, ImportError)


STRANGER = {
    "__init__.py": "__version__ = '9.9'\nclass Workbook: ...\n",
    "exceptions.py": "class FileCreateError(Exception): ...\n",
    "worksheet.py": "class Worksheet:\n    def _xml_number_element(self): ...\n",
}


def test_an_xlsxwriter_that_works_otherwise_is_refused_before_it_writes(
    tmp_path: Path,
) -> None:
    (tmp_path / "xlsxwriter").mkdir()
    for name, text in STRANGER.items():
        saved(tmp_path / "xlsxwriter" / name, text)
    program = (
        "import sys, auditkit as ak\n"
        "try:\n"
        "    ak.export_audit_run('run-001', 'xlsx', source=sys.argv[1], output_dir='out')\n"
        "except ak.errors.MissingExtraError as error:\n"
        "    print(error)\n"
    )
    said = succeed(python("-c", program, str(SAMPLES), cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}))
    assert said == "The format 'xlsx' does not know xlsxwriter 9.9. Install another one: xlsxwriter 3.\n"
    assert not list((tmp_path / "out").glob("audit-run-*"))


def test_no_other_export_imports_xlsxwriter(tmp_path: Path) -> None:
    program = (
        "import sys, auditkit as ak\n"
        "import auditkit.widgets, auditkit.cli\n"
        "for format in ('csv', 'json', 'jsonl', 'parquet'):\n"
        "    ak.export_audit_run('run-001', format, source=sys.argv[1], output_dir='out')\n"
        "ak.load_run('run-001', source='out/audit-run-run-001-2024-01-15.csv')\n"
        "print('xlsxwriter' in sys.modules)\n"
    )
    assert succeed(python("-c", program, str(SAMPLES), cwd=tmp_path)) == "False\n"


def test_a_folder_leaves_a_workbook_alone_and_pointing_at_one_says_what_it_is(tmp_path: Path) -> None:
    saved(tmp_path / "run.json", dumped(a_run()))
    receipt = ak.export_audit_run("run-001", "xlsx", source=tmp_path, output_dir=tmp_path)
    assert ak.list_available_runs(source=tmp_path) == ["run-001"]
    assert len(ak.load_results(source=tmp_path)) == 3
    assert ak.load_failures(source=tmp_path).empty
    with pytest.raises(InvalidRunError, match="an Excel workbook, which cannot be loaded back; load its"):
        ak.load_results(source=receipt)
    with pytest.raises(InvalidRunError, match="an Excel workbook"):
        ak.load_results(source=str(tmp_path / "*.xlsx"))


def test_a_workbook_that_calc_saved_is_known_for_one_and_another_archive_is_not(tmp_path: Path) -> None:
    file = saved(tmp_path / "run.csv", written(opened(a_run(), tmp_path), "csv"))
    (made,) = converted([file], "xlsx", tmp_path)
    assert recognise(made.read_bytes()[: 1 << 16]).name == "xlsx"  # type: ignore[union-attr]
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("notes.txt", "nothing of a spreadsheet")
    assert recognise((tmp_path / "other.zip").read_bytes()) is None


# --- the same bytes, no traces -------------------------------------------------------------------------


def test_no_time_of_day_stands_in_it(folder: Path) -> None:
    workbook = written(opened(a_run(), folder), "xlsx")
    with zipfile.ZipFile(io.BytesIO(workbook)) as archive:
        assert {entry.date_time[:3] for entry in archive.infolist()} == {(1980, 1, 31)}
    dates = re.findall(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", parts(workbook)["docProps/core.xml"])
    assert dates == [b"1980-01-01T00:00:00Z"] * 2


class FullDisk:
    """A sink that takes nothing."""

    def __init__(self, error: BaseException):
        self._error = error

    def write(self, data: Any) -> None:
        raise self._error


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("late", [True, False])
def test_no_temporary_file_is_left_behind_by_success_failure_or_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, late: bool
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    one = load_one(SAMPLES / "run-001.json")
    written(one, "xlsx")
    assert list(tmp_path.iterdir()) == []
    readings = count()

    def breaking() -> Iterator[pa.RecordBatch]:
        yield from one.batches()
        if not late and next(readings):  # the first reading only measures
            assert len(list(tmp_path.iterdir())) == 1
            raise error

    run = ak.AuditRun(**vars(one.header), batches=breaking)
    with pytest.raises(type(error)) as caught:
        get_format("xlsx").write(run, FullDisk(error))
    assert caught.value is error
    assert list(tmp_path.iterdir()) == []


SMALL_DISK = """
import resource, sys
import auditkit as ak
from auditkit.formats import get_format
run = ak.load_run("run-001", source=sys.argv[1])
long = ak.AuditRun(**vars(run.header), batches=lambda: (batch for _ in range(400) for batch in run.batches()))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
class Sink:
    def write(self, data):
        print("a byte")
try:
    get_format("xlsx").write(long, Sink())
except OSError as error:
    print(error.strerror)
"""


@pytest.mark.parametrize("where", ["the rows", "the middle of the rows", "the sheet"])
def test_a_full_disk_is_the_error_of_the_system_wherever_it_strikes(tmp_path: Path, where: str) -> None:
    # the rows are collected in a file of their own, which then becomes the larger part of the sheet
    sheet_bytes = len(parts(written(many(3_200), "xlsx"))["xl/worksheets/sheet1.xml"])
    sizes = {"the rows": 5_000, "the middle of the rows": sheet_bytes // 2, "the sheet": sheet_bytes - 100}
    env = {"TMPDIR": str(tmp_path), "PYTHONWARNINGS": None}
    done = python("-c", SMALL_DISK, str(SAMPLES), str(sizes[where]), cwd=tmp_path, env=env)
    assert (done.stdout, done.stderr) == ("File too large\n", "")
    assert list(tmp_path.iterdir()) == []


PEAK = """
import resource, sys
import auditkit as ak
from auditkit.formats import get_format
run = ak.load_run("run-001", source=sys.argv[1])
batch, = run.batches()
notes = __import__("pyarrow").array(["n" * 1000] * len(batch))
batch = batch.set_column(batch.schema.get_field_index("notes"), "notes", notes)
long = ak.AuditRun(**vars(run.header), batches=lambda: (batch for _ in range(int(sys.argv[2]) // 8)))
class Sink:
    def write(self, data):
        pass
get_format("xlsx").write(long, Sink())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.skipif(sys.platform == "darwin", reason="ru_maxrss has another unit there")
def test_memory_does_not_grow_with_the_run(tmp_path: Path) -> None:
    few, more = (
        int(succeed(python("-c", PEAK, str(SAMPLES), str(rows), cwd=tmp_path))) for rows in (800, 16_000)
    )
    assert more - few < 8  # MB; the notes alone are 16


def test_its_file_is_only_for_its_owner_while_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    one = load_one(SAMPLES / "run-001.json")
    modes = []

    def looking() -> Iterator[pa.RecordBatch]:
        modes.extend(os.stat(path).st_mode & 0o777 for path in tmp_path.iterdir())
        yield from one.batches()

    written(ak.AuditRun(**vars(one.header), batches=looking), "xlsx")
    assert modes == [0o700]
