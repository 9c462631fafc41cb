"""What a command costs: CPU time, wall time and peak memory of its own process.

The two sides of a row run in turn, A B A B, so that a change in the machine's mood meets both.
`ru_maxrss` of a child is never less than its parent's at the fork: whoever measures must stay
small, so this module and all it imports use the standard library only.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import IO

from benchmarks.data import CACHE, ROOT


@dataclass(frozen=True, kw_only=True)
class Command:
    """One side of a row. `{out}` in an argument becomes a fresh folder, removed afterwards."""

    arguments: Sequence[str]
    prints_times: bool = False  # see `conversion`: its figures, not those of the process

    def in_folder(self, folder: str) -> list[str]:
        return [argument.replace("{out}", folder) for argument in self.arguments]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one run of a command took, or the median of several."""

    user_seconds: float
    system_seconds: float
    wall_seconds: float
    peak_bytes: int

    @property
    def cpu_seconds(self) -> float:
        return self.user_seconds + self.system_seconds


@dataclass(frozen=True)
class Failed:
    """A command that ended with an error: the line that names it."""

    reason: str


Outcome = Cost | Failed


def run_once(command: Command, folder: str) -> Outcome:
    """Run a command to its end, with its output files going to a folder."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        child = subprocess.Popen(command.in_folder(folder), cwd=ROOT, stdout=output, stderr=errors)
        _, status, used = os.wait4(child.pid, 0)
        wall_seconds = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            return Failed(_reason(_text(errors), child.returncode))
        times = {"user": used.ru_utime, "system": used.ru_stime, "wall": wall_seconds}
        if command.prints_times:
            times = json.loads(_text(output))
    return Cost(
        user_seconds=times["user"],
        system_seconds=times["system"],
        wall_seconds=times["wall"],
        peak_bytes=used.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    )


def compare(
    commands: Sequence[Command],
    runs: int,
    inspect: Callable[[Sequence[str]], None] = lambda folders: None,
) -> list[Outcome]:
    """Run all commands in turn, `runs` times; the medians, in the order of the commands.

    A command that fails once is not run again. After the first turn `inspect` is given the
    folders the commands wrote into.
    """
    seen: list[list[Outcome]] = [[] for _ in commands]
    for turn in range(runs):
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="out-") as scratch:
            folders = [str(Path(scratch, str(index))) for index in range(len(commands))]
            for command, folder, outcomes in zip(commands, folders, seen, strict=True):
                os.mkdir(folder)
                if not (outcomes and isinstance(outcomes[-1], Failed)):
                    outcomes.append(run_once(command, folder))
            if turn == 0:
                inspect(folders)
    return [_median(outcomes) for outcomes in seen]


def _median(outcomes: Sequence[Outcome]) -> Outcome:
    """The middle of each figure; user and system time are those of the middle CPU time."""
    if isinstance(outcomes[-1], Failed):
        return outcomes[-1]
    costs = sorted((cost for cost in outcomes if isinstance(cost, Cost)), key=lambda cost: cost.cpu_seconds)
    middle = costs[(len(costs) - 1) // 2]
    return Cost(
        user_seconds=middle.user_seconds,
        system_seconds=middle.system_seconds,
        wall_seconds=median(cost.wall_seconds for cost in costs),
        peak_bytes=int(median(cost.peak_bytes for cost in costs)),
    )


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode("utf-8", "replace")


def _reason(errors: str, code: int) -> str:
    """The line of an error output that names the error: Python's last, Node's `…Error: …`."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    named = [line for line in lines if "Error" in line.split(":")[0] and ":" in line]
    return (named or lines or [f"exit code {code}"])[-1]
