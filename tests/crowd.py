"""Many processes that export to one log at once, killed at random and started again until all is done.

Run as a program: `python crowd.py PLACE PROCESSES EXPORTS SEED [naive]` prints one JSON object.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import judge

from auditkit.exportlog import ExportLog
from auditkit.publish import Draft, publish

DAY = "2024-01-15"
SHORTEST_SECONDS, LONGEST_SECONDS = 0.01, 0.06

Export = Callable[[Path, int, int], "tuple[str, str]"]


def content(worker: int, number: int) -> bytes:
    return b"worker %d, export %d\n" % (worker, number)


def name_of(worker: int, number: int) -> str:
    return f"audit-run-{number}-{DAY}.csv"


def export(place: Path, worker: int, number: int) -> tuple[str, str]:
    """A file of a few bytes in the folder of a worker, and the log that all share."""
    draft = Draft(
        folder=place / str(worker),
        name=name_of(worker, number),
        write=lambda sink: sink.write(content(worker, number)),
    )
    (done,) = publish([draft], log=ExportLog(path=place / judge.LOG))
    if isinstance(done, Exception):
        raise done
    return f"{worker}/{done.path.name}", done.sha256


def append_naively(place: Path, worker: int, number: int) -> tuple[str, str]:
    """A line that follows on the last one, which somebody else may follow on as well."""
    name, digest = f"{worker}/{name_of(worker, number)}", judge.sha256(content(worker, number))
    path = place / judge.LOG
    last = path.read_bytes().splitlines(keepends=True)[-1:] if path.exists() else []
    seq, prev = (json.loads(last[0])["seq"], judge.sha256(last[0])) if last else (0, judge.START)
    time.sleep(0.002)  # somebody else comes in between, as happens without it, too, now and then
    with path.open("ab") as log:
        log.write(judge.line({"event": "commit", "path": name, "sha256": digest}, seq + 1, prev))
    return name, digest


@dataclass
class Worker:
    """A process, or those that took its place."""

    number: int
    exports: int
    process: int = 0
    pipe: int = 0
    done: int = 0

    def start(self, act: Callable[[int, int], tuple[str, str]]) -> None:
        self.pipe, writing = os.pipe()
        self.process = os.fork()
        if self.process == 0:
            try:
                for number in range(self.done, self.exports):
                    name, digest = act(self.number, number)
                    os.write(writing, f"{name} {digest}\n".encode())
            finally:
                os._exit(0)
        os.close(writing)

    def heard(self) -> list[tuple[str, str]]:
        """What the process, which is dead, was given receipts for."""
        with open(self.pipe, encoding="ascii") as pipe:
            said = [line.split() for line in pipe.read().splitlines(keepends=True) if line.endswith("\n")]
        self.done += len(said)
        return [(name, digest) for name, digest in said]


class Crowd:
    """Workers that are killed at random until all have done what they had to."""

    def __init__(self, place: Path, workers: int, exports: int, act: Export):
        self._act = partial(act, place)
        self._busy = {number: Worker(number, exports) for number in range(workers)}
        self.acknowledged: list[tuple[str, str]] = []
        self.kills = 0

    def run(self, dice: random.Random) -> None:
        for worker in self._busy.values():
            worker.start(self._act)
        while self._busy:
            time.sleep(dice.uniform(SHORTEST_SECONDS, LONGEST_SECONDS))
            victim = self._busy[dice.choice(sorted(self._busy))]
            os.kill(victim.process, signal.SIGKILL)
            _, status = os.waitpid(victim.process, 0)
            self.kills += os.WIFSIGNALED(status)
            self.acknowledged += victim.heard()
            if victim.done == victim.exports:
                del self._busy[victim.number]
            else:
                victim.start(self._act)


def crowded(place: Path, workers: int, exports: int, seed: int, act: Export) -> dict[str, object]:
    """What became of the log and of the files."""
    started = time.perf_counter()
    crowd = Crowd(place, workers, exports, act)
    crowd.run(random.Random(seed))
    seconds = round(time.perf_counter() - started, 1)
    act(place, workers, 0)  # whoever comes next settles what the last ones left
    log = judge.read_log(place / judge.LOG)
    committed = log.of("commit")
    found = log.breaks + [f"unsettled: line {seq}" for seq in log.left_open()]
    found += [f"lost: {name}" for name, digest in crowd.acknowledged if (name, digest) not in committed]
    for worker in range(workers if act is export else 0):
        allowed = {name_of(worker, number): (content(worker, number),) for number in range(exports)}
        files = judge.visible(place / str(worker))
        found += judge.torn_files(files, allowed) + [
            f"missing: {name}" for name in allowed.keys() - files.keys()
        ]
    return {
        "acknowledged": len(crowd.acknowledged),
        "lines": len(log.records),
        "kills": crowd.kills,
        "died": sum(record["event"] in ("failed", "recovered") for record in log.records),
        "seconds": seconds,
        "found": found,
    }


def main(place: str, workers: str, exports: str, seed: str, kind: str = "") -> None:
    folder = Path(place)
    folder.mkdir(parents=True)
    act = append_naively if kind else export
    print(json.dumps(crowded(folder, int(workers), int(exports), int(seed), act)))


if __name__ == "__main__":
    main(*sys.argv[1:])
