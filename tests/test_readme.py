"""The README tells the truth: its tour runs, its tables are those of the code, its commands exist."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from auditkit.cli import auditkit
from auditkit.formats.losses import LOSSES, Loss
from auditkit.schema import RESULT_FIELDS, RUN_FIELDS, Field

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
TOUR = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
COMMANDS = re.search(r"```bash\n(auditkit .*?)```", README, re.DOTALL)[1].splitlines()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "sample_data" / "runs", tmp_path / "sample_data" / "runs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def field_row(field: Field) -> str:
    cells = [field.key, field.column, field.label or "-", field.kind, "yes" if field.required else "no"]
    return f"| {' | '.join(cells)} | {', '.join(field.allowed)}".rstrip() + " |"


def loss_table(losses: tuple[Loss, ...]) -> str:
    return "\n".join(f"| {loss.column or '-'} | {loss.why} |" for loss in losses)


def test_the_tour_has_twenty_lines_and_runs_as_it_stands(checkout: Path) -> None:
    names: dict[str, object] = {}
    exec(compile(TOUR, "README.md", "exec"), names)
    assert len(TOUR.splitlines()) <= 20
    assert len(names["results"]) == 1580
    assert len(list((checkout / "exports").iterdir())) == 5  # and the log


def test_the_field_tables_are_the_table_of_fields() -> None:
    for fields in (RESULT_FIELDS, RUN_FIELDS):
        assert "\n".join(map(field_row, fields)) in README


@pytest.mark.parametrize("format", LOSSES)
def test_the_tables_of_losses_are_the_list_in_the_code(format: str) -> None:
    assert loss_table(LOSSES[format]) in README


@pytest.mark.usefixtures("checkout")
def test_the_commands_work_as_written() -> None:
    for line in COMMANDS:
        result = CliRunner().invoke(auditkit, line.partition("#")[0].split()[1:])
        assert (line, result.exit_code) == (line, 0), result.output


def test_the_targets_that_it_names_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`make ([a-z]+)`", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / link).exists(), link
