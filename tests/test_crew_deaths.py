"""Batches whose workers die, or are interrupted: nothing is lost, torn or doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import batchkills
import judge
import pytest
from children import environment, python, succeed
from judge import LOG
from records import exported, saved
from tools import torture

import auditkit as ak
from auditkit.errors import WorkerDiedError
from auditkit.sources.base import Listing

SAMPLES = Path(__file__).parents[1] / "sample_data" / "runs"
IDS = [f"run-00{number}" for number in range(1, 7)]
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process makes of the sample runs."""
    folder = tmp_path_factory.mktemp("alone")
    ak.export_multiple_runs(IDS, "csv", source=SAMPLES, output_dir=folder)
    return exported(folder)


def batch_of(folder: Path, ids: list[str] = IDS, **options: Any) -> ak.BatchResult:
    return ak.export_multiple_runs(ids, "csv", **{"source": SAMPLES, "output_dir": folder, **options})


def made(folder: Path) -> list[str]:
    """What the log says was made, in order of its names."""
    records = judge.read_log(folder / LOG).records
    return sorted(one["path"] for one in records if one["event"] in ("commit", "recovered"))


# --- workers that die -----------------------------------------------------------------------------------


class Deadly:
    """A source of which one run ends whoever reads it; the first so many times, or always."""

    location = "deadly"

    def __init__(self, marks: Path, times: int):
        self.marks = marks
        self.times = times

    def listing(self) -> Listing:
        return ak.open_source(SAMPLES).listing()

    def open(self, run_ids: Any = None) -> Any:
        import dataclasses

        runs: Any = ak.open_source(SAMPLES).open(run_ids)
        return [
            dataclasses.replace(run, batches=partial(self.batches, run)) if run.id == "run-003" else run
            for run in runs
        ]

    def batches(self, run: ak.AuditRun) -> Any:
        died = len(list(self.marks.iterdir()))
        if died < self.times:
            (self.marks / str(died)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return run.batches()

    def load(self, run_ids: Any = None) -> Any:
        return (run.loaded() for run in self.open(run_ids))


@linux
@pytest.mark.parametrize("deaths", [1, 2])
def test_a_worker_that_dies_costs_a_retry_and_nothing_else(
    deaths: int, alone: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "marks").mkdir()
    batch = batch_of(tmp_path / "out", jobs=2, source=Deadly(tmp_path / "marks", deaths))
    assert len(batch.receipts) == 6
    assert len(list((tmp_path / "marks").iterdir())) == deaths
    assert exported(tmp_path / "out") == alone
    assert made(tmp_path / "out") == sorted(alone)
    ak.verify_exports(tmp_path / "out")


@linux
def test_a_run_that_always_kills_its_worker_is_the_only_failure(
    alone: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "marks").mkdir()
    with ProcessPoolExecutor(2, get_context("spawn")) as given:
        result = batch_of(
            tmp_path / "out", executor=given, source=Deadly(tmp_path / "marks", 99), on_error="collect"
        )
    (failure,) = result.failures
    assert failure.run_id == "run-003"
    assert isinstance(failure.error, WorkerDiedError)
    assert "memory" in str(failure.error)
    assert len(list((tmp_path / "marks").iterdir())) == 3
    left = {name: data for name, data in alone.items() if "run-003" not in name}
    assert exported(tmp_path / "out") == left
    ak.verify_exports(tmp_path / "out")


@linux
def test_workers_killed_at_random_moments_tear_double_and_lose_nothing(tmp_path: Path) -> None:
    pytest.importorskip("pyrage")
    told = batchkills.killed(tmp_path, 200 if torture() else 6, seed=20240115)
    assert told["wrong"] == []
    assert told["killed"] == told["batches"]


@linux
def test_the_trial_finds_what_a_pool_as_it_comes_loses(tmp_path: Path) -> None:
    pytest.importorskip("pyrage")
    told = batchkills.killed(tmp_path, 2, seed=20240115, batch=batchkills.naive)
    assert any("not exported" in what for what in told["wrong"])


# a process of its own that dies right after it gave a file its name, or right after its commit is on disk
DYING = """
import os, signal, sys
if "--multiprocessing-fork" in sys.orig_argv:
    linked, link, fsync = [], os.link, os.fsync

    def die():
        try:
            os.close(os.open({mark!r}, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    def dying_link(source, target, **options):
        link(source, target, **options)
        linked.append(target)
        if {after!r} == "name":
            die()

    def dying_fsync(descriptor):
        fsync(descriptor)
        name = os.readlink(f"/proc/self/fd/{{descriptor}}")
        if {after!r} == "commit" and linked and name.endswith("export-log.jsonl"):
            die()

    os.link, os.fsync = dying_link, dying_fsync
"""

ONCE = """
import sys
import auditkit as ak
from auditkit.orders import Order
from auditkit.orders.once import Once

if sys.argv[1] == "naive":
    Once.of = classmethod(lambda cls, to, batch: cls())
ak.export_multiple_runs(["run-001", "run-002", "run-003"], "csv", source=sys.argv[2], output_dir="out",
                        jobs=2, encrypt_to=sys.argv[3])
"""


def dies_after(what: str, how: str, folder: Path) -> Path:
    """The folder of an encrypted batch one of whose workers died once, at that moment."""
    pyrage = pytest.importorskip("pyrage")
    folder.mkdir()
    saved(folder / "sitecustomize.py", DYING.format(mark=str(folder / "died"), after=what))
    recipient = str(pyrage.x25519.Identity.generate().to_public())
    succeed(python("-c", ONCE, how, SAMPLES, recipient, cwd=folder, env={"PYTHONPATH": str(folder)}))
    assert (folder / "died").exists()
    return folder / "out"


@linux
@pytest.mark.parametrize("moment", ["name", "commit"])
def test_what_a_worker_had_done_when_it_died_is_not_done_again(moment: str, tmp_path: Path) -> None:
    folder = dies_after(moment, "ours", tmp_path / "ours")
    assert len(judge.visible(folder)) == 3
    assert made(folder) == sorted(judge.visible(folder))
    ak.verify_exports(folder)
    doubled = dies_after(moment, "naive", tmp_path / "naive")  # encrypted, so never the same bytes twice
    assert len(judge.visible(doubled)) > 3


# --- interruption ---------------------------------------------------------------------------------------

SLOW = """
import sys
import auditkit as ak

ak.export_multiple_runs(ak.list_available_runs(source="runs"), "csv", source="runs", output_dir="out", jobs=2)
"""


@linux
@pytest.mark.parametrize("to_all", [True, False])
def test_an_interrupted_batch_stops_and_leaves_nothing_half_done(to_all: bool, tmp_path: Path) -> None:
    batchkills.make_runs(tmp_path / "runs", runs=8, results=20_000)
    child = subprocess.Popen(
        [sys.executable, "-c", SLOW],
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    wait_for(lambda: (tmp_path / "out" / LOG).exists() or judge.temporary(tmp_path / "out"))
    (os.killpg if to_all else os.kill)(child.pid, signal.SIGINT)
    _, said = child.communicate(timeout=30)
    assert b"KeyboardInterrupt" in said
    assert b"Process" not in said  # no word of the workers
    assert len(judge.visible(tmp_path / "out")) < 8
    assert judge.temporary(tmp_path / "out") == []
    if (tmp_path / "out" / LOG).exists():
        ak.verify_exports(tmp_path / "out")


@linux
def test_workers_do_not_outlive_a_batch_that_is_killed(tmp_path: Path) -> None:
    batchkills.make_runs(tmp_path / "runs", runs=8, results=20_000)
    child = subprocess.Popen([sys.executable, "-c", SLOW], cwd=tmp_path, env=environment())
    wait_for(lambda: judge.temporary(tmp_path / "out"))
    workers = children_of(child.pid)
    assert workers
    child.kill()
    child.wait()
    wait_for(lambda: not any(map(is_alive, workers)))


def wait_for(condition: Any, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def children_of(process: int) -> list[int]:
    threads = Path(f"/proc/{process}/task").iterdir()
    return [int(pid) for one in threads for pid in (one / "children").read_text().split()]


def is_alive(process: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
