"""Batches in which a worker is killed at a random moment, and what is judged of each.

Run as a program: `python batchkills.py PLACE BATCHES SEED [naive]` prints one JSON object.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import judge
from records import a_run, dumped, exported, saved

import auditkit as ak

RUNS, RESULTS, WORKERS = 12, 400, 2
WAYS = ("csv", "json", "sealed csv")


def make_runs(folder: Path, runs: int = RUNS, results: int = RESULTS) -> list[str]:
    """The ids of the runs that stand in a folder from now on."""
    folder.mkdir(parents=True)
    ids = [f"run-{number:03}" for number in range(runs)]
    for number, run_id in enumerate(ids):
        run = a_run(results + number, id=run_id, totalSubmissions=results + number)
        saved(folder / f"{run_id}.json", dumped(run, None))
    return ids


def own_workers() -> list[int]:
    """The processes of the pools of this process."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            parent = int(Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()[1])
            command = Path("/proc", entry, "cmdline").read_bytes()
        except (OSError, ValueError, IndexError):
            continue
        if parent == os.getpid() and b"spawn_main" in command:
            found.append(int(entry))
    return found


class Killer(threading.Thread):
    """Kills one worker some time after the log has its first line, or after now."""

    def __init__(self, seconds: float, dice: random.Random, log: Path | None):
        super().__init__(daemon=True)
        self._seconds = seconds
        self._dice = dice
        self._log = log
        self._over = threading.Event()
        self.killed = False

    def run(self) -> None:
        while self._log is not None and not self._log.exists() and not self._over.wait(0.001):
            pass
        self._over.wait(self._seconds)
        while not self._over.is_set():
            found = own_workers()
            if found:
                os.kill(self._dice.choice(found), signal.SIGKILL)
                self.killed = True
                return
            time.sleep(0.005)

    def stop(self) -> None:
        self._over.set()
        self.join()


Batch = Callable[[Sequence[str], Path, Path, dict[str, Any]], Sequence[ak.ExportReceipt]]


def ours(
    ids: Sequence[str], source: Path, target: Path, options: dict[str, Any]
) -> Sequence[ak.ExportReceipt]:
    batch = ak.export_multiple_runs(
        ids, source=source, output_dir=target, jobs=WORKERS, on_error="collect", **options
    )
    return batch.receipts


def naive(
    ids: Sequence[str], source: Path, target: Path, options: dict[str, Any]
) -> Sequence[ak.ExportReceipt]:
    """The same with a pool as it comes, which breaks when one of its processes dies."""
    done: list[ak.ExportReceipt] = []
    with ProcessPoolExecutor(WORKERS, get_context("spawn")) as pool, suppress(BrokenProcessPool):
        export = partial(ak.export_audit_run, source=source, output_dir=target, **options)
        for future in [pool.submit(export, one) for one in ids]:
            with suppress(BrokenProcessPool):
                done.append(future.result())
    return done


class Trials:
    """Batches of the same runs, each into a folder of its own."""

    def __init__(self, place: Path, seed: int, batch: Batch):
        self.place = place
        self.dice = random.Random(seed)
        self.batch = batch
        self.ids = make_runs(place / "runs")
        self.recipient = _recipient(place)
        self.states: Counter[str] = Counter()
        self.expected = {format: self._expected(format) for format in ("csv", "json")}
        started = time.perf_counter()
        self._export(place / "unharmed", "csv")
        self.seconds = time.perf_counter() - started

    def _expected(self, format: str) -> dict[str, bytes]:
        """What one process makes of the runs, undisturbed."""
        target = self.place / f"expected-{format}"
        ak.export_multiple_runs(self.ids, format, source=self.place / "runs", output_dir=target)
        return exported(target)

    def _export(self, target: Path, way: str) -> Sequence[ak.ExportReceipt]:
        options: dict[str, Any] = {"format": way.removeprefix("sealed ")}
        if way.startswith("sealed"):
            options["encrypt_to"] = self.recipient
        return self.batch(self.ids, self.place / "runs", target, options)

    def kill_one(self, number: int) -> list[str]:
        """What is wrong after a batch in which a worker was killed."""
        way, latest = WAYS[number % len(WAYS)], self.seconds
        while True:  # a batch that was over before its moment came does not count
            target = self.place / f"batch-{number}-{latest:.3f}"
            if number % 2:
                killer = Killer(self.dice.uniform(0, latest / 8), self.dice, target / judge.LOG)
            else:
                killer = Killer(self.dice.uniform(0, latest), self.dice, None)
            killer.start()
            receipts = self._export(target, way)
            killer.stop()
            if killer.killed:
                break
            latest /= 2
        self.states.update({"killed": 1})
        return [f"batch {number} ({way}): {what}" for what in self._judged(target, way, receipts)]

    def _judged(self, target: Path, way: str, receipts: Sequence[ak.ExportReceipt]) -> list[str]:
        expected = self.expected[way.removeprefix("sealed ")]
        files, log = judge.visible(target), judge.read_log(target / judge.LOG)
        sealed = ".age" if way.startswith("sealed") else ""
        found = [f"not exported: {name}" for name in expected if name + sealed not in files]
        found += [f"doubled: {name}" for name in files if name.removesuffix(".age") not in expected]
        found += [f"torn: {name}" for name in files if not self._is_whole(files[name], name, expected, log)]
        made = Counter(record["path"] for record in log.records if record["event"] in ("commit", "recovered"))
        found += [f"{count} commits: {name}" for name, count in made.items() if count != 1]
        found += [f"no commit: {name}" for name in files if name not in made]
        found += log.breaks + [f"left: {name}" for name in judge.temporary(target)]
        said = sorted((one.path.name, one.sha256) for one in receipts)
        if said != sorted((name, judge.sha256(data)) for name, data in files.items()):
            found.append("the receipts are not those of the files")
        self.states.update({"recovered": any(one["event"] == "recovered" for one in log.records)})
        self.states.update({"begun in vain": any(one["event"] == "failed" for one in log.records)})
        return found + _verified(target)

    def _is_whole(self, data: bytes, name: str, expected: dict[str, bytes], log: judge.Log) -> bool:
        if not name.endswith(".age"):
            return data == expected.get(name)
        import pyrage

        plain = pyrage.decrypt(data, [self.identity])
        return plain == expected.get(name.removesuffix(".age"))

    @property
    def identity(self) -> Any:
        import pyrage

        return pyrage.x25519.Identity.from_str((self.place / "identity").read_text())


def _recipient(place: Path) -> str:
    import pyrage

    identity = pyrage.x25519.Identity.generate()
    saved(place / "identity", str(identity))
    return str(identity.to_public())


def _verified(target: Path) -> list[str]:
    try:
        ak.verify_exports(target)
    except (ak.errors.VerificationError, FileNotFoundError) as error:
        return [f"verify_exports: {error}"]
    return []


def killed(place: Path, batches: int, seed: int, batch: Batch = ours) -> dict[str, Any]:
    """What many batches came to."""
    trials = Trials(place, seed, batch)
    started = time.perf_counter()
    found = [what for number in range(batches) for what in trials.kill_one(number)]
    return {
        "batches": batches,
        "runs a batch": RUNS,
        "wrong": found,
        "seconds": round(time.perf_counter() - started, 1),
        **trials.states,
    }


if __name__ == "__main__":
    place, batches, seed, *control = sys.argv[1:]
    print(json.dumps(killed(Path(place), int(batches), int(seed), naive if control else ours)))
