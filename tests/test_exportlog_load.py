"""A log that many write to at once, and die of it: no line is lost, and the chain holds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from children import environment
from memory import folder_in_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")

PROGRAM = Path(__file__).parent / "crowd.py"


@pytest.fixture
def memory() -> Iterator[Path]:
    with folder_in_memory() as folder:
        yield folder


def crowd(place: Path, *arguments: int | str) -> dict[str, Any]:
    """What became of so many processes with so many exports each, and a seed."""
    command = [sys.executable, str(PROGRAM), str(place / "crowd"), *map(str, arguments)]
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    print(done.stdout)
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_16_processes_with_500_exports_each_lose_no_line_when_they_are_killed(memory: Path) -> None:
    died = 0
    for seed, exports in ((1, 500), *((seed, 60) for seed in range(2, 12))):
        said = crowd(memory / str(seed), 16, exports, seed)
        assert said["found"] == []
        assert said["acknowledged"] == 16 * exports
        assert said["lines"] >= 2 * 16 * exports
        assert said["kills"] > exports / 10
        died += said["died"]
        if died:  # between begin and commit, which chance may leave out
            return
    pytest.fail("no process was killed between begin and commit")


def test_nor_do_they_on_a_disk(tmp_path: Path) -> None:
    said = crowd(tmp_path, 8, 12, 2)
    assert (said["found"], said["acknowledged"]) == ([], 96)


def test_without_a_lock_the_chain_breaks(memory: Path) -> None:
    """The same judge, and processes that look for the last line and then append theirs."""
    said = crowd(memory, 16, 20, 1, "naive")
    assert any("does not follow" in line for line in said["found"])
