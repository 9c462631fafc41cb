"""Exports that are killed at any moment, again and again in one folder, and what is judged of each kill.

Run as a program: `python kills.py PLACE KILLS SEED [naive]` prints one JSON object.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import judge
from trials import LARGE, Receipts, Workplace, bytes_of, large, line_of, make_sources, naive, name_of

RUNS = ("a", "b", "c", "old")
LONGEST_SECONDS = 0.2
KILLS_A_FOLDER = 100
HOUR = 3600


def everything_allowed() -> dict[str, tuple[bytes, ...]]:
    """Every file that the exports below may make, with the contents that it may have."""
    allowed = {name_of("large"): (LARGE,)}
    for run_id in RUNS:
        contents = tuple(bytes_of(run_id, variant) for variant in range(2))
        for suffix in (".csv", "-2.csv", "-3.csv", ".csv.gz", "-2.csv.gz"):
            name = name_of(run_id, suffix)
            allowed[name] = contents
            allowed[name + ".sha256"] = tuple(line_of(data, name) for data in contents)
    return allowed


def any_export(at: Workplace, dice: random.Random) -> Receipts:
    """One of the ways of exporting."""
    run_id, variant = dice.choice(RUNS), dice.randrange(2)
    match dice.randrange(6):
        case 0:
            return at.export(run_id, variant)
        case 1:
            return at.export(run_id, variant, if_exists="replace")
        case 2:
            return at.export(run_id, variant, compression="gzip")
        case 3:
            ((name, digest),) = at.export(run_id, variant, checksum=True)
            return [(name, digest), (name + ".sha256", judge.sha256(f"{digest}  {name}\n".encode()))]
        case 4:
            return large(at)
        case _:
            return at.batch(dice.sample(RUNS, 3))


def any_naive(at: Workplace, dice: random.Random) -> Receipts:
    return naive(at, "large", LARGE)


Export = Callable[[Workplace, random.Random], Receipts]


class Folder:
    """A folder that lives on, while those who export to it are killed."""

    def __init__(self, at: Workplace, export: Export):
        self.at = at
        self.log = judge.Log()
        self.export = export
        self.allowed = everything_allowed()
        self.acknowledged: dict[str, str] = {}
        self.states: Counter[str] = Counter()

    def a_while(self) -> float:
        """The seconds in which a forked child comes to some exports on this machine, busy as it is."""
        started = time.perf_counter()
        child = os.fork()
        if child == 0:
            self.export(self.at, random.Random(0))
            os._exit(0)
        os.waitpid(child, 0)
        return min(LONGEST_SECONDS, 2 * (time.perf_counter() - started))

    def kill_one(self, dice: random.Random, longest: float) -> list[str]:
        """What is wrong with the folder after a kill."""
        seed, moment = dice.random(), dice.uniform(0, longest)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            self._export_for_ever(writing, random.Random(seed))
        os.close(writing)
        time.sleep(moment)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with open(reading, encoding="ascii") as pipe:
            said = [line.split() for line in pipe.read().splitlines(keepends=True) if line.endswith("\n")]
        self.acknowledged.update((name, digest) for name, digest in said)
        self.states["acknowledged"] += len(said)
        return self._judged()

    def _export_for_ever(self, pipe: int, dice: random.Random) -> None:
        while True:
            for name, digest in self.export(self.at, dice):
                os.write(pipe, f"{name} {digest}\n".encode())

    def _judged(self) -> list[str]:
        files, log = judge.visible(self.at.exports), self.log.read_on(self.at.exports / judge.LOG)
        left, begun = judge.temporary(self.at.exports), log.left_open()
        self.states.update({"temporary files": bool(left), "begun": bool(begun), "torn log": bool(log.torn)})
        for name in left:  # the next one may take them for what they are
            os.utime(self.at.exports / name, (time.time() - 2 * HOUR,) * 2)
        found = judge.torn_files(files, self.allowed) + judge.unlogged(files, log)
        found += judge.lost(files, log, self.acknowledged.items()) + log.breaks
        settled = [record["seq"] for record in log.records if "begin" in record]
        found += [f"left open: line {seq}" for seq in begun if settled and seq < settled[-1]]
        return found

    def ended(self) -> list[str]:
        """What is wrong with the folder after one more export, which nobody kills."""
        self.export(self.at, random.Random(0))
        files, log = judge.visible(self.at.exports), self.log.read_on(self.at.exports / judge.LOG)
        found = self._judged() + judge.unsettled(files, log)
        return found + [f"left: {name}" for name in judge.temporary(self.at.exports)]


def killed(place: Path, kills: int, seed: int, export: Export) -> dict[str, object]:
    """What many kills came to."""
    dice, found, states = random.Random(seed), list[str](), Counter[str]()
    make_sources(place)
    started = time.perf_counter()
    for first in range(0, kills, KILLS_A_FOLDER):
        at = Workplace(place / str(first))
        at.folder.mkdir()
        folder = Folder(at, export)
        export(at, dice)  # imports what is imported on use, which a child would have to do again
        longest = folder.a_while()
        for _ in range(min(KILLS_A_FOLDER, kills - first)):
            found += folder.kill_one(dice, longest)
        found += folder.ended()
        states += folder.states
        shutil.rmtree(at.folder)
    seconds = round(time.perf_counter() - started, 1)
    return {"kills": kills, "seconds": seconds, "states": dict(states), "found": found}


def main(place: str, kills: str, seed: str, kind: str = "") -> None:
    folder = Path(place)
    folder.mkdir(parents=True)
    print(json.dumps(killed(folder, int(kills), int(seed), any_naive if kind else any_export)))


if __name__ == "__main__":
    main(*sys.argv[1:])
