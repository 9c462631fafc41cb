"""The formula guard: it comes off exactly, and leaves no place where a formula could begin."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest
import reference_exporter as reference
from records import load_one
from tools import torture

import auditkit as ak
from auditkit.formats.guard import guard, guarded, unguard, unguarded
from auditkit.formats.text import csv_cells

SAMPLES = Path(__file__).parent.parent / "sample_data" / "runs"
COUNT = 100_000
SEEDS = range(10 if torture() else 1)

# DESIGN §4, written out once more: the trials draw from what the rule names, and from what is beside it
SEPARATORS = ",;\t\r\n|"
BLANKS = " \u00a0\ufeff\u200b\u3000"
STARTS = "=+-@%\0\uff1d\uff0b\uff0d\uff20"
BESIDE = "a0'\"\\:/.()&#\v\f\x1c\u2003\u2028é漢😀\U0010ffff"


@cache
def random_texts(seed: int) -> list[str]:
    """Texts of 1 to 15 characters, most of which mean something to the guard."""
    random = Random(f"guard {seed}")
    letters = SEPARATORS * 4 + "'" * 12 + BLANKS * 3 + STARTS * 3 + BESIDE
    return ["".join(random.choices(letters, k=random.randint(1, 15))) for _ in range(COUNT)]


def places(cell: str) -> list[int]:
    """Where a cell may begin: at its start, and behind each separator."""
    return [0, *(index + 1 for index, character in enumerate(cell) if character in SEPARATORS)]


def exposed(cell: str) -> bool:
    """Whether a formula could begin at one of its places."""
    return any(cell[place:].lstrip(BLANKS)[:1] in tuple(STARTS) for place in places(cell))


def broken(on: Callable[[str], str], off: Callable[[str], str], texts: list[str]) -> list[str]:
    """The texts that do not come back, or stay exposed."""
    return [text for text in texts if off(on(text)) != text or exposed(on(text))]


def naive_guard(cell: str) -> str:
    return f"'{cell}" if cell[:1] in tuple("=+-@\t\r\n") else cell


def naive_unguard(cell: str) -> str:
    return cell.removeprefix("'")


@pytest.mark.parametrize("seed", SEEDS)
def test_every_text_comes_back_and_none_is_exposed(seed: int) -> None:
    texts = random_texts(seed)
    assert broken(guard, unguard, texts) == []
    assert sum(map(exposed, texts)) > COUNT // 4


def test_an_apostrophe_in_front_alone_neither_comes_off_exactly_nor_protects() -> None:
    texts = random_texts(0)
    assert any(naive_unguard(naive_guard(text)) != text for text in texts)
    assert any(exposed(naive_guard(text)) for text in texts)
    assert len(broken(naive_guard, naive_unguard, texts)) > COUNT // 4


@pytest.mark.parametrize("seed", SEEDS)
def test_it_is_the_rule_of_the_design_character_by_character(seed: int) -> None:
    for text in random_texts(seed):
        cell = reference.guard(text)
        assert guard(text) == cell
        assert unguard(text) == reference.unguard(text)
        assert reference.unguard(cell) == text


@pytest.mark.parametrize("seed", SEEDS)
def test_a_column_is_guarded_as_its_texts_are(seed: int) -> None:
    texts = [*random_texts(seed), None, "", "plain", None]
    column = pa.array(texts, pa.string())
    cells = [None if text is None else guard(text) for text in texts]
    assert guarded(column).to_pylist() == cells
    assert unguarded(pa.array(cells, pa.string())).to_pylist() == texts
    for start, stop in ((3, 40_000), (COUNT - 1, COUNT + 4), (7, 7)):
        assert unguarded(guarded(column[start:stop])).to_pylist() == texts[start:stop]


def test_a_column_that_needs_no_guard_is_left_as_it_is() -> None:
    column = pa.array(["plain", "it's", "a, b", "5 = 5", "漢字 💡", "", None])
    assert guarded(column) is column
    assert csv_cells(column, guard=True).to_pylist() == [
        "plain",
        "it's",
        '"a, b"',
        "5 = 5",
        "漢字 💡",
        "",
        "",
    ]
    assert unguarded(column).to_pylist() == column.to_pylist()
    empty = pa.array([], pa.string())
    assert (guarded(empty), unguarded(empty)) == (empty, empty)


@pytest.mark.parametrize("seed", SEEDS)
def test_notes_come_back_from_an_exported_csv(tmp_path: Path, seed: int) -> None:
    notes = pa.array(random_texts(seed), pa.string())
    one = load_one(SAMPLES / "run-001.json")
    (sample,) = one.batches()
    batch = sample.take(pa.array([number % len(sample) for number in range(COUNT)]))
    batch = batch.set_column(batch.schema.get_field_index("notes"), "notes", notes)
    run = ak.AuditRun(**vars(one.header), batches=lambda: iter([batch]))
    receipt = ak.export_audit_run(run, "csv", output_dir=tmp_path)
    again = pa.concat_batches(list(load_one(receipt).batches()))
    assert again.column("notes").equals(notes)
    assert again.column("deviation").equals(batch.column("deviation"))
    as_it_stands = pa.concat_batches(list(load_one(receipt, formula_guard=False).batches()))
    assert not as_it_stands.column("notes").equals(notes)


def test_a_guard_takes_no_longer_for_a_text_that_means_harm() -> None:
    """A pattern that tries again at every blank would take minutes for these."""
    many = 100_000
    started = time.perf_counter()
    for text in (" " * many, " " * many + "x", ", " * many, "\u3000 " * many + "=", ",'" * many):
        assert unguard(guard(text)) == text
    assert time.perf_counter() - started < 5
