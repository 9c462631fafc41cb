"""Power cuts: what was acknowledged is there when the disk is back, and the log knows all that is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from children import environment
from memory import folder_in_memory
from powercut import NOT_ALLOWED
from tools import require, torture

PROGRAM = Path(__file__).parent / "powercut.py"
ROUNDS = 5 if torture() else 1
CUTS = 100 if torture() else 16
SECONDS = 5 if torture() else 1.5


@pytest.fixture
def place() -> Iterator[Path]:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a disk")
    if not (os.path.exists("/dev/fuse") and os.path.exists("/dev/loop-control")):
        pytest.skip("this machine has no /dev/fuse or no loop devices")
    for program in ("mkfs.ext4", "mount", "unshare"):
        require(program)
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no mount namespace can be had here")
    with folder_in_memory() as folder:
        yield folder
        assert str(folder) not in Path("/proc/mounts").read_text()
        attached = [path.read_text() for path in Path("/sys/block").glob("loop*/loop/backing_file")]
        assert not [path for path in attached if str(folder) in path]


def started(place: Path, cuts: int, seed: int, kind: str = "") -> subprocess.Popen[str]:
    """The program in a mount namespace of its own: whatever becomes of it, nothing stays mounted."""
    alone = ["unshare", "--mount", "--propagation", "private", sys.executable, str(PROGRAM)]
    arguments = [str(place / f"{kind}{seed}"), str(cuts), str(seed), str(SECONDS), *filter(None, [kind])]
    return subprocess.Popen(
        [*alone, *arguments], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def told(child: subprocess.Popen[str]) -> dict[str, Any]:
    out, errors = child.communicate(timeout=900)
    if child.returncode == NOT_ALLOWED:
        pytest.skip("nothing may be mounted here")
    assert (child.returncode, errors) == (0, "")
    said: dict[str, Any] = json.loads(out)
    print(json.dumps({**said, "found": len(said["found"])}))
    return said


def test_no_power_cut_loses_what_was_acknowledged(place: Path) -> None:
    """16 cuts, or 500 with AUDITKIT_TORTURE=1."""
    for seed in range(ROUNDS):
        said = told(started(place, CUTS, seed))
        assert said["found"] == []
        assert said["cuts"] == CUTS
        assert said["states"]["acknowledged"] > CUTS
        assert said["states"]["temporary files"] > 0  # the power failed while something was written


def test_without_fsync_they_lose_much_and_without_that_of_the_files_these_are_torn(place: Path) -> None:
    careless, hasty = started(place, 6, 1, "careless"), started(place, 6, 1, "hasty")
    assert any(line.startswith("lost") for line in told(careless)["found"])
    assert any(line.startswith("torn") for line in told(hasty)["found"])
