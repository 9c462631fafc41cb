"""Batches by many workers: the same files as in one process, however often a task runs."""

from __future__ import annotations

import pickle
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import judge
import pyrage
import pytest
from children import python, succeed
from judge import LOG
from records import a_run, dumped, exported, saved

import auditkit as ak
from auditkit import errors
from auditkit.crew.tasks import grouped
from auditkit.errors import BatchError, Failure, InvalidOptionError, Problem
from auditkit.exportlog.tasks import size_of_log
from auditkit.orders.once import Once
from auditkit.run import HeaderChanged
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


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    """Two processes for all tests that kill none."""
    with ProcessPoolExecutor(2, get_context("spawn")) as executor:
        yield executor


def batch_of(folder: Path, ids: list[str] = IDS, **options: Any) -> ak.BatchResult:
    return ak.export_multiple_runs(ids, "csv", **{"source": SAMPLES, "output_dir": folder, **options})


def made(folder: Path) -> list[str]:
    """What the log says was made, in order of its names."""
    records = judge.read_log(folder / LOG).records
    return sorted(one["path"] for one in records if one["event"] in ("commit", "recovered"))


# --- the same files -------------------------------------------------------------------------------------


def test_processes_make_the_files_that_one_process_makes(alone: dict[str, bytes], tmp_path: Path) -> None:
    batch = batch_of(tmp_path, jobs=2)
    assert exported(tmp_path) == alone
    assert [one.run_ids for one in batch.receipts] == [(one,) for one in IDS]
    assert {one.path.name: one.sha256 for one in batch.receipts} == {
        name: judge.sha256(data) for name, data in alone.items()
    }
    assert made(tmp_path) == sorted(alone)
    assert ak.verify_exports(tmp_path, anchor=batch.receipts[0]).files == 6


def test_an_executor_of_any_kind_does(
    alone: dict[str, bytes], pool: ProcessPoolExecutor, tmp_path: Path
) -> None:
    batch_of(tmp_path / "processes", executor=pool)
    with ThreadPoolExecutor(3) as threads:
        batch_of(tmp_path / "threads", executor=threads)
    assert exported(tmp_path / "processes") == exported(tmp_path / "threads") == alone
    assert pool.submit(len, "it is still the caller's").result() == 24


def test_one_job_is_this_process_and_writes_no_task_into_the_log(tmp_path: Path) -> None:
    batch_of(tmp_path, jobs=1)
    assert all("task" not in record for record in judge.read_log(tmp_path / LOG).records)


def test_receipts_and_failures_stand_in_the_order_asked(pool: ProcessPoolExecutor, tmp_path: Path) -> None:
    ids = ["run-006", "run-404", "run-001", "a\nb", "run-003"]
    with pytest.raises(BatchError, match="2 of 5 runs could not be exported, first 'run-404'") as caught:
        batch_of(tmp_path, ids, executor=pool)
    assert [one.run_ids[0] for one in caught.value.receipts] == ["run-006", "run-001", "run-003"]
    assert [one.run_id for one in caught.value.failures] == ["run-404", "a\nb"]


def test_paths_of_receipts_are_those_asked_for(
    pool: ProcessPoolExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the processes of the pool are not
    (receipt,) = batch_of(Path("out"), ["run-001"], executor=pool).receipts
    assert receipt.path.parent == Path("out")
    assert receipt.path.stat().st_size == receipt.bytes


def test_a_batch_with_pseudonyms_encryption_and_checksums(pool: ProcessPoolExecutor, tmp_path: Path) -> None:
    secret = bytes(range(32))
    key = saved(tmp_path / "key", secret)
    key.chmod(0o600)
    options = {"pseudonymizer": ak.Pseudonymizer(key), "checksum": True}
    batch_of(tmp_path / "one", **options)
    batch_of(tmp_path / "two", **options, executor=pool)
    assert exported(tmp_path / "one") == exported(tmp_path / "two")
    identity = pyrage.x25519.Identity.generate()
    batch = batch_of(tmp_path / "three", **options, executor=pool, encrypt_to=str(identity.to_public()))
    for receipt in batch.receipts:
        plain = (tmp_path / "one" / receipt.path.name.removesuffix(".age")).read_bytes()
        assert pyrage.decrypt(receipt.path.read_bytes(), [identity]) == plain
    assert secret not in pickle.dumps(options)


def test_the_runs_of_one_file_are_one_task_and_small_runs_share_one(tmp_path: Path) -> None:
    runs = [a_run(2, id=f"together-{number}", totalSubmissions=2) for number in range(3)]
    saved(tmp_path / "several.json", dumped(runs))
    for number in range(40):
        saved(tmp_path / f"s{number:02}.json", dumped(a_run(1, id=f"small-{number:02}")))
    for number in range(3):
        saved(tmp_path / f"l{number}.json", dumped(a_run(1, id=f"large-{number}", totalSubmissions=10**6)))
    opened: dict[int, Any] = dict(enumerate(ak.open_source(tmp_path).open()))
    tasks = [[run.id for run in task.runs] for task in grouped(opened, workers=2)]
    assert [sorted(ids) for ids in tasks if "together-1" in ids] == [
        sorted(ids) for ids in tasks if {"together-0", "together-1", "together-2"} <= set(ids)
    ]
    assert sorted(ids[0] for ids in tasks if ids[0].startswith("large")) == ["large-0", "large-1", "large-2"]
    assert all(len(ids) == 1 for ids in tasks if ids[0].startswith("large"))
    assert max(map(len, tasks)) > 10
    assert sorted(run_id for ids in tasks for run_id in ids) == sorted(run.id for run in opened.values())


def test_progress_is_told_run_by_run(
    pool: ProcessPoolExecutor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batch_of(tmp_path, executor=pool, progress=True)
    assert "6/6" in capsys.readouterr().err


# --- scripts, notebooks, the command --------------------------------------------------------------------

SCRIPT = """
import sys
import auditkit as ak

print("the script runs")
if __name__ == "__main__" or {unguarded}:
    batch = ak.export_multiple_runs({ids}, "csv", source={source!r}, output_dir="out", jobs=2)
    print(len(batch.receipts), "receipts")
"""


@pytest.mark.parametrize("unguarded", [True, False])
def test_a_script_needs_no_guard_and_is_not_run_again_by_the_processes(
    unguarded: bool, tmp_path: Path
) -> None:
    script = SCRIPT.format(unguarded=unguarded, ids=IDS[:3], source=str(SAMPLES))
    done = python(saved(tmp_path / "script.py", script), cwd=tmp_path)
    assert succeed(done).splitlines() == ["the script runs", "3 receipts"]
    assert done.stderr == ""


def test_what_a_script_defines_itself_is_one_clear_failure(tmp_path: Path) -> None:
    script = f"""
        import auditkit as ak
        from auditkit.sources.base import Listing

        class Mine:
            location = "mine"
            def __init__(self):
                self.real = ak.open_source({str(SAMPLES)!r})
            def listing(self):
                return self.real.listing()
            def open(self, run_ids=None):
                import dataclasses
                return [dataclasses.replace(run, batches=Results(run)) for run in self.real.open(run_ids)]
            def load(self, run_ids=None):
                return (run.loaded() for run in self.open(run_ids))

        class Results:
            def __init__(self, run):
                self.run = run
            def __call__(self):
                return self.run.batches()

        batch = ak.export_multiple_runs(["run-001"], "csv", source=Mine(), jobs=2, on_error="collect")
        print(batch.failures[0].error)
    """
    done = python("-c", textwrap.dedent(script), cwd=tmp_path)
    assert "cannot be opened there" in succeed(done)
    assert "into a module" in done.stdout


def test_the_command_takes_jobs(alone: dict[str, bytes], tmp_path: Path) -> None:
    where = ("--source", str(SAMPLES), "--output-dir", "out", "--format", "csv")
    succeed(python("-m", "auditkit", "export", *IDS, *where, "--jobs", "2", cwd=tmp_path))
    assert exported(tmp_path / "out") == alone
    wrong = python("-m", "auditkit", "export", *IDS, *where, "--jobs", "0", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "--jobs" in wrong.stderr


def test_processes_import_no_pandas_for_a_csv(tmp_path: Path) -> None:
    probe = f"""
        import atexit, os, sys
        def told():
            with open(os.path.join({str(tmp_path)!r}, "told"), "a") as file:
                file.write(f"{{'pandas' in sys.modules}}\\n")
        if "--multiprocessing-fork" in sys.orig_argv:
            from multiprocessing import util
            util.Finalize(None, told, exitpriority=1)
    """
    saved(tmp_path / "sitecustomize.py", textwrap.dedent(probe))
    where = ("--source", str(SAMPLES), "--output-dir", "out", "--format", "csv", "--jobs", "2")
    succeed(python("-m", "auditkit", "export", *IDS, *where, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}))
    assert set((tmp_path / "told").read_text().split()) == {"False"}


# --- wrong options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jobs": 0}, "jobs=0 is not a number of processes"),
        ({"jobs": True}, "jobs=True is not a number"),
        ({"jobs": "2"}, "jobs='2' is not a number"),
        ({"executor": "dask"}, "no concurrent.futures.Executor"),
        ({"executor": ThreadPoolExecutor(1), "jobs": 2}, "both given"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidOptionError, match=message):
        batch_of(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


class Unsendable:
    """A source whose runs cannot leave this process."""

    location = "here"

    def listing(self) -> Listing:
        return Listing(headers=[])

    def open(self, run_ids: Any = None) -> Any:
        import dataclasses

        runs = ak.open_source(SAMPLES).open(run_ids)
        return [dataclasses.replace(run, batches=lambda run=run: run.batches()) for run in runs]  # type: ignore

    def load(self, run_ids: Any = None) -> Any:
        return (run.loaded() for run in self.open(run_ids))


def test_what_cannot_be_sent_is_named_and_threads_do_it(pool: ProcessPoolExecutor, tmp_path: Path) -> None:
    with pytest.raises(BatchError, match="Run 'run-001' cannot be sent to another process") as caught:
        batch_of(tmp_path / "out", executor=pool, source=Unsendable())
    assert len(caught.value.failures) == 6
    assert "ThreadPoolExecutor" in str(caught.value.failures[5].error)
    assert exported(tmp_path / "out") == {}
    with ThreadPoolExecutor(2) as threads:
        assert len(batch_of(tmp_path / "out", executor=threads, source=Unsendable()).receipts) == 6


# --- errors travel --------------------------------------------------------------------------------------

ERRORS = {
    "InvalidRunError": errors.InvalidRunError("no", [Failure("f", "r", 1, "x", "v", "rule")], 7),
    "BatchError": BatchError("no", ak.BatchResult(receipts=[], failures=[])),
    "VerificationError": errors.VerificationError("no", [Problem("changed", "p", "d")]),
    "ExportExistsError": errors.ExportExistsError(17, "there", "path"),
}


@pytest.mark.parametrize(
    "name", [name for name, value in vars(errors).items() if isinstance(value, type) and "Error" in name]
)
def test_every_public_error_survives_the_way_between_processes(name: str) -> None:
    error = ERRORS.get(name) or getattr(errors, name)("no, and why")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.args == error.args
    assert {key: str(value) for key, value in vars(again).items()} == {
        key: str(value) for key, value in vars(error).items()
    }


def test_a_changed_header_survives_it_with_its_run() -> None:
    (run,) = ak.open_source(SAMPLES).open(["run-001"])
    assert isinstance(run, ak.AuditRun)
    assert pickle.loads(pickle.dumps(HeaderChanged(run))).run == run


def test_a_broken_run_fails_with_its_own_error(pool: ProcessPoolExecutor, tmp_path: Path) -> None:
    saved(tmp_path / "good.json", dumped(a_run(3, id="good")))
    bad = a_run(3, id="bad")
    bad["results"][2]["userScore"] = "many"
    saved(tmp_path / "bad.json", dumped(bad))
    result = ak.export_multiple_runs(
        ["bad", "good"],
        "csv",
        source=tmp_path,
        output_dir=tmp_path / "out",
        executor=pool,
        on_error="collect",
    )
    (failure,) = result.failures
    assert isinstance(failure.error, errors.InvalidRunError)
    assert failure.error.rows[0][1:4] == ("bad", 2, "userScore")
    assert len(result.receipts) == 1


# --- tasks that run twice -------------------------------------------------------------------------------


class Twice(Executor):
    """Runs every task twice, one after the other or at once, as a scheduler may that lost a worker."""

    def __init__(self, at_once: bool):
        self._at_once = at_once
        self._threads = ThreadPoolExecutor(2)

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        first = self._threads.submit(fn, *args, **kwargs)
        if not self._at_once:
            first.result()
        second = self._threads.submit(fn, *args, **kwargs)
        first.result()
        return second

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._threads.shutdown()


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("sealed", [False, True])
def test_a_task_that_runs_twice_leaves_one_file_and_one_commit(
    at_once: bool, sealed: bool, alone: dict[str, bytes], tmp_path: Path
) -> None:
    sealing = {"encrypt_to": str(pyrage.x25519.Identity.generate().to_public())} if sealed else {}
    with Twice(at_once) as executor:
        batch = batch_of(tmp_path, executor=executor, checksum=True, **sealing)
        again = batch_of(tmp_path / "again", ["run-001"], executor=executor, log=tmp_path / LOG, **sealing)
    names = {path.name for path in tmp_path.glob("audit-run-*") if path.suffix != ".sha256"}
    assert names == {name + (".age" if sealed else "") for name in alone}
    exports = [one for one in made(tmp_path) if not one.endswith(".sha256")]
    assert exports == sorted([*names, f"again/{again.receipts[0].path.name}"])
    for receipt in batch.receipts:
        assert judge.sha256(receipt.path.read_bytes()) == receipt.sha256
        assert receipt.rows == receipt.rows_total > 0 or receipt.run_ids == ("run-005",)
    assert ak.verify_exports(tmp_path, anchor=batch.receipts[-1]).anchored


def test_without_a_look_into_the_log_it_would_leave_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Once, "of", lambda *_: Once())
    with Twice(at_once=False) as executor:
        batch_of(tmp_path, executor=executor, encrypt_to=str(pyrage.x25519.Identity.generate().to_public()))
    assert len(exported(tmp_path)) == 12


class GivesUp(Executor):
    """Gives a task up the first so many times, as a scheduler does whose workers vanish."""

    def __init__(self, times: int, error: BaseException):
        self.left = times
        self._error = error

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.left -= 1
        if self.left >= 0:
            future.set_exception(self._error)
        else:
            future.set_result(fn(*args, **kwargs))
        return future


@pytest.mark.parametrize("error", [RuntimeError("KilledWorker"), CancelledError()])
def test_what_another_executor_gives_up_is_tried_once_more(
    error: BaseException, alone: dict[str, bytes], tmp_path: Path
) -> None:
    batch_of(tmp_path, executor=GivesUp(1, error))
    assert exported(tmp_path) == alone


def test_what_it_gives_up_twice_fails_run_by_run(tmp_path: Path) -> None:
    result = batch_of(tmp_path, executor=GivesUp(99, RuntimeError("it vanished")), on_error="collect")
    assert [failure.run_id for failure in result.failures] == IDS
    assert "gave it up twice, last with RuntimeError: it vanished" in str(result.failures[0].error)


def test_half_a_line_at_the_end_of_a_log_hides_no_task(tmp_path: Path) -> None:
    line = b'{"event":"begin"}' + b" " * 70_000 + b"\n"
    log = saved(tmp_path / LOG, line * 2 + b"x" * 150_000)
    assert size_of_log(log) == 2 * len(line)
    assert size_of_log(saved(tmp_path / "torn", b"x" * 200_000)) == 0
    assert size_of_log(tmp_path / "none") == 0
