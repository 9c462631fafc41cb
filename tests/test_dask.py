"""Batches and parts by the workers of a Dask cluster on this machine."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import distributed
import judge
import pyrage
import pytest
from batchkills import make_runs
from judge import LOG
from records import exported
from tblib import pickling_support

import auditkit as ak
from auditkit.crew.inside import sendable

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")

SAMPLES = Path(__file__).parents[1] / "sample_data" / "runs"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A cluster of two processes on loopback."""
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            local_directory=str(tmp_path_factory.mktemp("dask")),
            silence_logs=50,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def executor(client: Any) -> Any:
    return client.get_executor(pure=False, retries=2)


def test_the_executor_of_a_client_just_works(executor: Any, tmp_path: Path) -> None:
    ids = ak.list_available_runs(source=SAMPLES)
    ak.export_multiple_runs(ids, "csv", source=SAMPLES, output_dir=tmp_path / "one")
    batch = ak.export_multiple_runs(
        ids, "csv", source=SAMPLES, output_dir=tmp_path / "dask", executor=executor
    )
    assert [one.run_ids for one in batch.receipts] == [(one,) for one in ids]
    assert exported(tmp_path / "dask") == exported(tmp_path / "one")
    assert ak.verify_exports(tmp_path / "dask", anchor=batch.receipts[0]).files == 6


def test_workers_write_where_the_client_stands_and_under_its_day(
    executor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    (receipt,) = ak.export_multiple_runs(
        ["run-001"], "csv", source=SAMPLES, output_dir="out", executor=executor
    ).receipts
    assert receipt.path == Path("out/audit-run-run-001-1970-01-02.csv")
    assert receipt.path.exists()


def test_failures_come_back_as_they_are(executor: Any, tmp_path: Path) -> None:
    result = ak.export_multiple_runs(
        ["run-001", "run-404"],
        "csv",
        source=SAMPLES,
        output_dir=tmp_path,
        executor=executor,
        on_error="collect",
    )
    assert isinstance(result.failures[0].error, ak.errors.RunNotFoundError)
    assert len(result.receipts) == 1


def test_a_run_in_parts_adds_up(executor: Any, tmp_path: Path) -> None:
    receipt = ak.export_audit_run(
        "run-006", "parquet", source=SAMPLES, output_dir=tmp_path, parts=400, executor=executor
    )
    assert [part.rows for part in receipt.parts] == [400, 400, 400, 300]
    assert ak.load_run("run-006", source=receipt) == ak.load_run("run-006", source=SAMPLES)


@linux
@pytest.mark.parametrize("sealed", [False, True])
def test_a_worker_killed_in_the_middle_of_a_batch_loses_and_doubles_nothing(
    sealed: bool, client: Any, executor: Any, tmp_path: Path
) -> None:
    sealing = {"encrypt_to": str(pyrage.x25519.Identity.generate().to_public())} if sealed else {}
    ids = make_runs(tmp_path / "runs", runs=12, results=4000)
    workers = list(client.run(os.getpid).values())

    def kill() -> None:
        while not (tmp_path / "out" / LOG).exists():
            time.sleep(0.002)
        os.kill(workers[0], signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    batch = ak.export_multiple_runs(
        ids, "csv", source=tmp_path / "runs", output_dir=tmp_path / "out", executor=executor, **sealing
    )
    killer.join()
    assert len(batch.receipts) == 12
    files, log = judge.visible(tmp_path / "out"), judge.read_log(tmp_path / "out" / LOG)
    made = [one["path"] for one in log.records if one["event"] in ("commit", "recovered")]
    assert sorted(made) == sorted(files)
    assert len(files) == 12
    assert {one.path.name: one.sha256 for one in batch.receipts} == {
        name: judge.sha256(data) for name, data in files.items()
    }
    assert log.breaks == judge.temporary(tmp_path / "out") == []
    assert ak.verify_exports(tmp_path / "out").files == 12


def test_what_led_to_an_error_does_not_travel_with_it() -> None:
    """Dask lets errors be pickled with what led to them, which may hold secrets."""

    def failed() -> Exception:
        try:
            try:
                raise ValueError("hunter2")
            except ValueError:
                raise ak.errors.DatabaseError("The database is down.") from None
        except ak.errors.DatabaseError as error:
            return error

    pickling_support.install()  # as Dask does for the errors that it knows by then
    assert b"hunter2" in pickle.dumps(failed())
    data = pickle.dumps(sendable(failed()))
    assert b"hunter2" not in data
    assert str(pickle.loads(data)) == "The database is down."
