"""Whatever fails, and whenever the process dies: no torn file, none that is not logged, none lost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from children import EPOCH, environment
from faults import CHANGING, Call, Fault, faults_for
from memory import folder_in_memory
from tools import torture
from trials import SCENARIOS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")

TESTS = Path(__file__).parent
WORKERS = 2
KILLS = 20_000 if torture() else 200
NAIVE_KILLS = 100
SAFE = [name for name in SCENARIOS if name != "naive"]
HOURS = 3600 * 3


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with folder_in_memory() as folder:
        yield folder


def started(program: str, *arguments: Any) -> subprocess.Popen[str]:
    command = [sys.executable, str(TESTS / program), *map(str, arguments)]
    env = environment(SOURCE_DATE_EPOCH=EPOCH)
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def answers(*children: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """What the children print, one JSON object a line."""
    said = []
    for child in children:
        out, errors = child.communicate(timeout=HOURS)
        assert child.returncode == 0, errors
        assert errors == ""
        said += [json.loads(line) for line in out.splitlines()]
    return said


# --- a fault at every system call -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def struck(place: Path) -> dict[str, list[dict[str, Any]]]:
    """For each scenario what every worker found in its share of the trials."""
    workers = [started("trials.py", place / "faults", number, WORKERS) for number in range(WORKERS)]
    said = answers(*workers)
    return {name: [one for one in said if one["scenario"] == name] for name in SCENARIOS}


@pytest.mark.parametrize("scenario", SAFE)
def test_no_fault_at_any_call_tears_loses_or_hides_a_file(struck: Any, scenario: str) -> None:
    parts = struck[scenario]
    assert [part["found"] for part in parts] == [[]] * WORKERS
    assert sum(part["trials"] for part in parts) > 3 * parts[0]["calls"] > 100


def test_a_naive_exporter_is_found_out(struck: Any) -> None:
    found = [line for part in struck["naive"] for line in part["found"]]
    for kind in ("kill", "tear", "EIO", "full", "interrupt"):
        assert any(line.startswith(kind) and "torn" in line for line in found), kind
    assert any("unlogged" in line for line in found)
    assert any("no OSError with a path" in line for line in found)


def test_where_nothing_fails_nothing_is_found_not_even_in_the_naive_exporter(struck: Any) -> None:
    assert [part["unharmed"] for parts in struck.values() for part in parts] == [[]] * WORKERS * len(
        SCENARIOS
    )


def test_every_kind_of_call_is_struck_in_every_way_that_it_can_fail() -> None:
    kinds = {name: {fault.kind for fault in faults_for(1, Call(name, "x"))} for name in (*CHANGING, "lstat")}
    assert kinds["write"] == {
        *("EIO", "interrupt", "kill", "gone", "tear", "short", "late", "ENOSPC", "full"),
    }
    assert kinds["link"] == {*("EIO", "interrupt", "kill", "gone", "late", "ENOSPC", "full", "EACCES")}
    assert kinds["lstat"] == {"EIO", "interrupt", "EACCES"}
    assert list(faults_for(7, Call("fstat", "x"))) == [Fault("EIO", 7), Fault("interrupt", 7)]


# --- a kill at any moment -------------------------------------------------------------------------------


def test_no_kill_at_any_moment_tears_loses_or_hides_a_file(place: Path) -> None:
    """200 kills, or 20,000 with AUDITKIT_TORTURE=1, of a process that exports without end."""
    workers = [
        started("kills.py", place / f"kills-{seed}", KILLS // WORKERS, seed) for seed in range(WORKERS)
    ]
    said = answers(*workers)
    print(json.dumps(said))
    assert [one["found"] for one in said] == [[]] * WORKERS
    assert sum(one["kills"] for one in said) == KILLS
    assert sum(one["states"]["acknowledged"] for one in said) > KILLS / 20  # some exports came through
    assert sum(one["states"].get("begun", 0) for one in said) > 0  # some died between begin and commit


def test_kills_find_a_naive_exporter_out(place: Path) -> None:
    (said,) = answers(started("kills.py", place / "naive", NAIVE_KILLS, 1, "naive"))
    assert any(line.startswith("torn") for line in said["found"])
    assert any(line.startswith("lost") for line in said["found"])
