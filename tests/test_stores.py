"""Exports in object stores: S3 on loopback, `memory://` and `file://`; and what goes wrong on the way."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from buckets import (  # noqa: F401
    KEY_ID,
    SECRET,
    Bucket,
    Gate,
    bucket_fixture,
    client_of,
    forget_connections,
    gate_fixture,
    s3_server_fixture,
    settings,
)
from children import environment
from click.testing import CliRunner

import auditkit as ak
from auditkit import errors
from auditkit.cli import auditkit as command
from auditkit.exportlog import ExportLog
from auditkit.publish import Draft, Published, publish
from auditkit.store import StorePath

SAMPLES = Path(__file__).parents[1] / "sample_data" / "runs"
CSV = "audit-run-run-001-2024-01-15.csv"
LOG = "export-log.jsonl"
MIB = 1 << 20


@dataclass
class Shop:
    """A folder of exports somewhere, seen without the code under test."""

    url: str
    read: Callable[[], dict[str, bytes]]
    put: Callable[[str, bytes], Any]
    remove: Callable[[str], Any]
    log: Path


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _doctest_folder: None) -> Path:
    """Where the log of a store stands, and where files for it are made."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    return folder


@pytest.fixture(params=["s3", "memory", "file"])
def shop(request: pytest.FixtureRequest, tmp_path: Path, working_folder: Path) -> Iterator[Shop]:
    log = working_folder / LOG
    if request.param == "s3":
        there: Bucket = request.getfixturevalue("bucket")
        yield Shop(
            url=f"{there.url}/exports",
            read=lambda: {key.removeprefix("exports/"): data for key, data in there.objects().items()},
            put=lambda name, data: there.put(f"exports/{name}", data),
            remove=lambda name: there.remove(f"exports/{name}"),
            log=log,
        )
    elif request.param == "memory":
        yield from memory_shop(log)
    else:
        folder = tmp_path / "a folder"
        yield Shop(
            url=folder.as_uri(),
            read=lambda: {path.name: path.read_bytes() for path in folder.iterdir() if path.name != LOG},
            put=lambda name, data: (folder / name).write_bytes(data),
            remove=lambda name: (folder / name).unlink(),
            log=folder / LOG,
        )


def memory_shop(log: Path) -> Iterator[Shop]:
    from fsspec.implementations.memory import MemoryFileSystem

    system = MemoryFileSystem()
    folder = f"/evidence-{uuid.uuid4().hex[:8]}/exports"
    yield Shop(
        url=f"memory:/{folder}",
        read=lambda: {path.rpartition("/")[2]: system.cat_file(path) for path in system.find(folder)},
        put=lambda name, data: system.pipe_file(f"{folder}/{name}", data),
        remove=lambda name: system.rm_file(f"{folder}/{name}"),
        log=log,
    )
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def export(to: Any, format: str = "csv", run_id: str = "run-001", **options: Any) -> ak.ExportReceipt:
    return ak.export_audit_run(run_id, format, source=SAMPLES, output_dir=to, **options)


def entries(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_bytes().splitlines()]


def events(log: Path) -> list[str]:
    return [entry["event"] for entry in entries(log)]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# --- the same everywhere ---------------------------------------------------------------------------------


def test_an_export_is_the_same_bytes_as_in_a_folder(shop: Shop, tmp_path: Path) -> None:
    local = export(tmp_path / "local").path.read_bytes()
    receipt = export(shop.url)
    assert shop.read() == {CSV: local}
    assert (receipt.path.name, receipt.sha256, receipt.bytes) == (CSV, sha256(local), len(local))
    assert not receipt.reused
    assert len(pd.read_csv(receipt)) == receipt.rows == 8
    assert os.fspath(receipt).endswith(f"/{CSV}")


def test_an_export_is_a_source(shop: Shop) -> None:
    receipt = export(shop.url, "json")
    again = ak.load_run("run-001", source=receipt)
    pd.testing.assert_frame_equal(again.results, ak.load_run("run-001", source=SAMPLES).results)


def test_the_log_names_the_file_and_its_bytes(shop: Shop) -> None:
    receipt = export(shop.url)
    begin, commit = entries(shop.log)
    assert (begin["event"], commit["event"]) == ("begin", "commit")
    path = CSV if shop.url.startswith("file") else f"{shop.url}/{CSV}"
    assert begin["path"] == commit["path"] == path
    assert commit["sha256"] == sha256(shop.read()[CSV])
    assert receipt.log_head == sha256(shop.log.read_bytes().splitlines(keepends=True)[-1])


def test_the_same_bytes_are_kept_and_others_take_the_next_name(shop: Shop) -> None:
    export(shop.url)
    assert export(shop.url).reused
    other = export(shop.url, include_metadata=False)
    assert other.path.name == CSV.replace(".csv", "-2.csv")
    assert not other.reused
    assert export(shop.url, include_metadata=False).reused
    assert sorted(shop.read()) == sorted([CSV, other.path.name])


def test_another_file_of_that_name_is_refused_or_replaced_if_that_is_asked_for(shop: Shop) -> None:
    before = export(shop.url).sha256
    with pytest.raises(errors.ExportExistsError, match="other bytes"):
        export(shop.url, include_metadata=False, if_exists="error")
    assert {name: sha256(data) for name, data in shop.read().items()} == {CSV: before}
    after = export(shop.url, include_metadata=False, if_exists="replace")
    assert {name: sha256(data) for name, data in shop.read().items()} == {CSV: after.sha256}
    assert after.sha256 != before


def test_a_checksum_stands_beside_it(shop: Shop) -> None:
    receipt = export(shop.url, checksum=True)
    assert shop.read()[f"{CSV}.sha256"] == f"{receipt.sha256}  {CSV}\n".encode()
    replaced = export(shop.url, include_metadata=False, if_exists="replace")
    assert shop.read()[f"{CSV}.sha256"] == f"{replaced.sha256}  {CSV}\n".encode()
    assert ak.verify_exports(shop.url, anchor=replaced).files == 2


def test_encryption_and_pseudonyms_work_there(shop: Shop, tmp_path: Path) -> None:
    key = ak.make_key(tmp_path / "reader", "encrypt")
    ak.make_key(tmp_path / "pseudonyms", "pseudonyms")
    receipt = export(
        shop.url, encrypt_to=key.public_text, pseudonymizer=ak.Pseudonymizer(tmp_path / "pseudonyms")
    )
    (data,) = shop.read().values()
    assert data.startswith(b"age-encryption.org/v1\n")
    (tmp_path / "copy.csv.age").write_bytes(data)
    plain = ak.decrypt_export(tmp_path / "copy.csv.age", key.secret).read_bytes()
    assert sha256(plain) == receipt.plain_sha256
    assert b"user-" not in plain


def test_a_batch_is_there_as_a_whole(shop: Shop) -> None:
    batch = ak.export_multiple_runs(["run-001", "run-003"], "json", source=SAMPLES, output_dir=shop.url)
    assert {r.path.name: r.sha256 for r in batch.receipts} == {
        name: sha256(data) for name, data in shop.read().items()
    }


def test_what_stands_there_is_counted(shop: Shop) -> None:
    assert ak.get_export_stats(shop.url).total_files == 0
    csv, packed = export(shop.url), export(shop.url, "json", compression="gzip")
    shop.put("notes.txt", b"not ours")
    stats = ak.get_export_stats(shop.url)
    assert (stats.csv_files, stats.json_files) == (1, 1)
    assert stats.total_bytes == csv.bytes + packed.bytes
    assert set(stats.recent_exports) == {csv.path.name, packed.path.name}


def test_old_exports_go_and_held_ones_stay(shop: Shop) -> None:
    held, old = export(shop.url), export(shop.url, "json", checksum=True)
    shop.put("notes.txt", b"not ours")
    ak.hold_export(held, reason="case 17")
    assert ak.cleanup_old_exports(shop.url, days_old=30) == []
    time.sleep(1.1)  # S3 tells whole seconds
    names = [old.path.name, f"{old.path.name}.sha256"]
    assert [path.name for path in ak.cleanup_old_exports(shop.url, days_old=0, dry_run=True)] == names
    assert [path.name for path in ak.cleanup_old_exports(shop.url, days_old=0)] == names
    assert sorted(shop.read()) == sorted([CSV, "notes.txt"])
    assert events(shop.log)[-2:] == ["removed", "removed"]
    ak.hold_export(held, release=True)
    assert [path.name for path in ak.cleanup_old_exports(shop.url, days_old=0)] == [CSV]


def test_a_held_export_is_not_replaced(shop: Shop) -> None:
    held = export(shop.url)
    ak.hold_export(held)
    with pytest.raises(errors.ExportExistsError, match="held"):
        export(shop.url, include_metadata=False, if_exists="replace")
    assert sha256(shop.read()[CSV]) == held.sha256


def test_what_is_changed_missing_or_unexpected_is_found_by_reading_it_back(shop: Shop) -> None:
    first, second, third = export(shop.url), export(shop.url, "json"), export(shop.url, "jsonl")
    assert ak.verify_exports(shop.url, anchor=third).files == 3
    data = shop.read()[CSV]
    shop.put(CSV, data[:-1] + b"#")  # of the same length
    shop.remove(second.path.name)
    shop.put("audit-run-run-009-2024-01-15.csv", b"made up")
    with pytest.raises(errors.VerificationError) as caught:
        ak.verify_exports(shop.url)
    assert sorted(problem.kind for problem in caught.value.problems) == ["changed", "missing", "unexpected"]
    with pytest.raises(errors.VerificationError, match="SHA-256"):
        ak.verify_file(first)
    assert ak.verify_file(third).against == "the export log"
    assert ak.verify_file(first, sha256(data[:-1] + b"#")).against == "the hash given"


def test_the_command_works_there(shop: Shop) -> None:
    def run(*arguments: str) -> str:
        done = CliRunner().invoke(command, list(arguments))
        assert done.exit_code == 0, done.output
        return done.output

    run("export", "run-001", "--format", "csv", "--source", str(SAMPLES), "--output-dir", shop.url)
    file = f"{shop.url}/{CSV}"
    assert "1 exports in" in run("stats", "--output-dir", shop.url)
    assert "1 file as exported" in run("verify", shop.url)
    assert "is unchanged" in run("verify", file)
    assert "is held" in run("hold", file)
    time.sleep(1.1)
    assert "Nothing in" in run("clean", "--output-dir", shop.url, "--days-old", "0", "--yes")
    run("hold", file, "--release")
    assert "removed" in run("clean", "--output-dir", shop.url, "--days-old", "0", "--yes")
    assert shop.read() == {}


def test_nothing_is_left_on_this_machine(shop: Shop, tmp_path: Path) -> None:
    export(shop.url)
    assert [path for path in (tmp_path / "tmp").rglob("*") if path.is_file()] == []


# --- what a URL may be -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIA:hunter2@bucket/exports",
        "memory://user:hunter2@bucket",
        "https://user:hunter2@example.org/x.csv",
        "https://example.org/x.csv?X-Amz-Signature=hunter2",
    ],
)
def test_a_secret_in_a_url_is_refused_and_not_shown(url: str) -> None:
    for attempt in (lambda: export(url), lambda: ak.open_source(url), lambda: ak.verify_exports(url)):
        with pytest.raises((errors.InvalidOptionError, errors.NoSourceError)) as caught:
            attempt()
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_a_url_that_became_a_path_is_not_taken_for_a_folder(working_folder: Path) -> None:
    with pytest.raises(errors.InvalidOptionError, match="lost a slash"):
        export(Path("memory://bucket/exports"))
    assert list(working_folder.iterdir()) == []


@pytest.mark.parametrize("url", ["sqlite:///a.sqlite", "s4://bucket/x", "s3://", "https://example.org/x"])
def test_what_cannot_be_written_to_is_refused(url: str, working_folder: Path) -> None:
    with pytest.raises(errors.InvalidOptionError):
        export(url)
    assert list(working_folder.iterdir()) == []


@pytest.mark.parametrize("scheme", ["gs", "abfs"])
def test_a_driver_that_is_missing_is_named(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("gcsfs", "adlfs"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(errors.MissingExtraError, match=r"auditkit\[cloud\]"):
        export(f"{scheme}://bucket/exports")
    with pytest.raises(errors.MissingExtraError, match=r"auditkit\[cloud\]"):
        ak.open_source(f"{scheme}://bucket/runs")


def test_a_path_in_a_store_is_a_plain_value() -> None:
    path = StorePath("S3://bucket/exports/") / "a.csv"
    assert (str(path), path.name, path.suffix, path.root) == (
        "s3://bucket/exports/a.csv",
        "a.csv",
        ".csv",
        "bucket",
    )
    assert (path.parent, path.parent.parent.parent) == (
        StorePath("s3://bucket/exports"),
        StorePath("s3://bucket"),
    )
    assert pickle.loads(pickle.dumps(path)) == path
    assert path.with_name("b.csv") > path


def test_a_bag_and_a_log_cannot_stand_in_a_store() -> None:
    with pytest.raises(errors.InvalidOptionError, match="Make it there, verify it, and copy it"):
        ak.export_evidence(["run-001"], "memory://bucket/case-17", source=SAMPLES)
    with pytest.raises(errors.InvalidOptionError, match="export log cannot stand in a store"):
        export("memory://bucket/exports", log="memory://bucket/export-log.jsonl")


def test_a_log_somewhere_else_serves_a_store(bucket: Bucket, tmp_path: Path, working_folder: Path) -> None:
    log = tmp_path / "logs" / "all.jsonl"
    log.parent.mkdir()
    receipt = export(f"{bucket.url}/exports", log=log)
    assert list(working_folder.iterdir()) == []
    assert ak.verify_exports(f"{bucket.url}/exports", anchor=receipt, log=log).files == 1


# --- large files -----------------------------------------------------------------------------------------


def blocks(count: int, letter: bytes = b"x") -> Callable[[Any], None]:
    def write(sink: Any) -> None:
        for number in range(count):
            sink.write(letter * (MIB - 8) + f"{number:07}\n".encode())

    return write


def put_large(
    to: str, count: int = 18, letter: bytes = b"x", name: str = "large.bin"
) -> Published | Exception:
    log = ExportLog(path=Path.cwd() / LOG)
    (done,) = publish([Draft(folder=StorePath(to), name=name, write=blocks(count, letter))], log=log)
    return done


def test_a_large_file_goes_up_in_parts(bucket: Bucket, gate: Gate) -> None:
    done = put_large(bucket.url)
    assert isinstance(done, Published), done
    data = bucket.read("large.bin")
    assert (len(data), sha256(data)) == (18 * MIB, done.sha256)
    assert sum("partNumber=" in target for method, target in gate.seen if method == "PUT") == 2
    assert bucket.uploads() == []


def test_a_large_file_does_not_take_the_place_of_another(bucket: Bucket) -> None:
    first, second = put_large(bucket.url), put_large(bucket.url, letter=b"y")
    assert isinstance(first, Published)
    assert isinstance(second, Published)
    assert second.path.name != first.path.name
    assert {sha256(data) for data in bucket.objects().values()} == {first.sha256, second.sha256}
    assert bucket.uploads() == []


def nth_part(number: int, word: str) -> Callable[[str, str, int], str]:
    return lambda method, target, before: word if f"partNumber={number}" in target else "pass"


def at_completion(word: str) -> Callable[[str, str, int], str]:
    return lambda method, target, before: word if method == "POST" and "uploadId=" in target else "pass"


@pytest.mark.parametrize(
    "rule",
    [
        nth_part(1, "cut"),
        nth_part(2, "403 AccessDenied"),
        nth_part(2, "500 InternalError"),
        at_completion("cut"),
        at_completion("403 AccessDenied"),
    ],
)
def test_an_upload_that_fails_leaves_nothing(bucket: Bucket, gate: Gate, rule: Any) -> None:
    gate.rule = rule
    done = put_large(bucket.url)
    assert isinstance(done, OSError)
    assert (bucket.objects(), bucket.uploads()) == ({}, [])
    assert events(Path(LOG)) == ["begin", "failed"]
    no_secret(done)


def test_ctrl_c_in_an_upload_leaves_nothing(bucket: Bucket, gate: Gate) -> None:
    def interrupt(method: str, target: str, before: int) -> str:
        if "partNumber=2" in target:
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.2)
        return "pass"

    gate.rule = interrupt
    with pytest.raises(KeyboardInterrupt):
        put_large(bucket.url)
    time.sleep(0.5)
    assert (bucket.objects(), bucket.uploads()) == ({}, [])
    assert events(Path(LOG)) == ["begin", "failed"]


# --- stores that fail ------------------------------------------------------------------------------------


def no_secret(error: BaseException) -> None:
    shown = "".join(traceback.format_exception(error)) + repr(error)
    assert SECRET not in shown
    assert KEY_ID not in shown


def test_a_bucket_that_is_not_there_is_told_before_a_file_is_made(
    bucket: Bucket, working_folder: Path
) -> None:
    for attempt in (
        lambda: export("s3://no-such-bucket-here/exports"),
        lambda: ak.open_source("s3://no-such-bucket-here/runs"),
        lambda: ak.get_export_stats("s3://no-such-bucket-here/exports"),
    ):
        with pytest.raises(FileNotFoundError, match="There is no bucket 'no-such-bucket-here'") as caught:
            attempt()
        assert caught.value.errno == errno.ENOENT
        no_secret(caught.value)
    assert list(working_folder.iterdir()) == []


@pytest.mark.parametrize(
    "code", ["AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"]
)
def test_a_store_that_refuses_says_what_to_check(bucket: Bucket, gate: Gate, code: str) -> None:
    gate.rule = lambda method, target, before: f"403 {code}"
    for attempt in (lambda: export(f"{bucket.url}/exports"), lambda: ak.get_export_stats(bucket.url)):
        with pytest.raises(PermissionError, match="Check the credentials") as caught:
            attempt()
        assert caught.value.errno == errno.EACCES
        assert code in str(caught.value)
        no_secret(caught.value)
    assert bucket.objects() == {}


def test_a_store_that_takes_no_writes_leaves_one_failure_in_the_log(bucket: Bucket, gate: Gate) -> None:
    gate.rule = lambda method, target, before: "403 AccessDenied" if method == "PUT" else "pass"
    with pytest.raises(PermissionError) as caught:
        export(f"{bucket.url}/exports")
    no_secret(caught.value)
    assert bucket.objects() == {}
    assert events(Path(LOG)) == ["begin", "failed"]
    assert SECRET not in Path(LOG).read_text()


def test_no_server_is_told_as_such(bucket: Bucket, gate: Gate, working_folder: Path) -> None:
    gate.close()
    with pytest.raises(OSError, match="cannot be reached") as caught:
        export(f"{bucket.url}/exports")
    no_secret(caught.value)
    assert list(working_folder.iterdir()) == []


def test_no_credentials_are_told_as_such(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    forget_connections()
    with pytest.raises(PermissionError, match="Check the credentials"):
        export(f"{bucket.url}/exports")


@pytest.mark.parametrize("method", ["PUT", "GET"])
def test_a_connection_that_is_always_cut_is_one_error(bucket: Bucket, gate: Gate, method: str) -> None:
    gate.rule = lambda own, target, before: (
        "cut" if own == method and CSV in target and "list" not in target else "pass"
    )
    with pytest.raises(OSError, match="The store") as caught:
        export(f"{bucket.url}/exports")
    no_secret(caught.value)
    assert bucket.objects() == {}, "what could not be read back was taken back"
    assert events(Path(LOG)) == ["begin", "failed"]


def test_an_answer_that_is_lost_costs_nothing(bucket: Bucket, gate: Gate) -> None:
    gate.rule = lambda method, target, before: "lose" if method == "PUT" and before == 0 else "pass"
    receipt = export(f"{bucket.url}/exports")
    assert {key: sha256(data) for key, data in bucket.objects().items()} == {f"exports/{CSV}": receipt.sha256}
    assert ak.verify_exports(f"{bucket.url}/exports").files == 1


def test_every_answer_to_a_put_lost_is_still_seen_to_be_there(bucket: Bucket, gate: Gate) -> None:
    gate.rule = lambda method, target, before: "lose" if method == "PUT" else "pass"
    receipt = export(f"{bucket.url}/exports")
    assert {sha256(data) for data in bucket.objects().values()} == {receipt.sha256}


def test_a_store_that_gives_other_bytes_back_is_not_believed(
    bucket: Bucket,
    gate: Gate,
) -> None:
    """It spoils the next byte whenever the file is read; so the object is never what was put there."""

    def spoil(method: str, target: str, before: int) -> str:
        if method == "GET" and CSV in target and "list-type" not in target:
            data = bucket.read(f"exports/{CSV}")
            bucket.put(f"exports/{CSV}", data[:-1] + b"#")
        return "pass"

    gate.rule = spoil
    with pytest.raises(OSError, match=r"other bytes|changed while"):
        export(f"{bucket.url}/exports", if_exists="error")
    assert events(Path(LOG)) == ["begin", "failed"]


# --- two writers, and exports that died ------------------------------------------------------------------


def crowd(count: int, act: Callable[[int], Any]) -> list[Any]:
    outcomes: list[Any] = [None] * count
    start = threading.Barrier(count)

    def one(number: int) -> None:
        start.wait()
        outcomes[number] = act(number)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_of_writers_at_the_same_moment_none_is_lost(bucket: Bucket) -> None:
    def write(number: int) -> Any:
        draft = Draft(folder=StorePath(bucket.url), name=CSV, write=lambda sink: sink.write(b"%d" % number))
        return publish([draft])[0]

    done = crowd(6, write)
    assert all(isinstance(one, Published) for one in done), done
    assert sorted(bucket.objects().values()) == [b"%d" % number for number in range(6)]
    assert {one.path.name: one.sha256 for one in done} == {
        key: sha256(data) for key, data in bucket.objects().items()
    }


def test_writers_that_look_first_and_then_put_lose_some(bucket: Bucket) -> None:
    """The control: without a condition the trial above would fail."""
    looked = threading.Barrier(6)

    def write(number: int) -> Any:
        client = client_of(bucket.endpoint)
        version = 1
        while client.list_objects_v2(Bucket=bucket.name, Prefix=f"{version}-").get("KeyCount"):
            version += 1
        looked.wait()
        client.put_object(Bucket=bucket.name, Key=f"{version}-file", Body=b"%d" % number)

    crowd(6, write)
    assert len(bucket.objects()) < 6


EXPORT = """
import sys, auditkit as ak
ak.export_audit_run("run-001", "csv", source=sys.argv[1], output_dir=sys.argv[2])
"""


@pytest.mark.parametrize("done", [True, False], ids=["behind the upload", "before it"])
def test_an_export_that_was_killed_is_settled_by_the_next_one(
    bucket: Bucket,
    gate: Gate,
    working_folder: Path,
    done: bool,
) -> None:
    killed: list[subprocess.Popen[bytes]] = []

    def kill(method: str, target: str, before: int) -> str:
        if killed and (
            (method == "PUT") if not done else (method == "GET" and CSV in target and "list" not in target)
        ):
            killed.pop().kill()
            return "cut"
        return "pass"

    gate.rule = kill
    arguments = [sys.executable, "-c", EXPORT, str(SAMPLES), f"{bucket.url}/exports"]
    child = subprocess.Popen(arguments, cwd=working_folder, env=environment(**settings(gate.endpoint)))
    killed.append(child)
    assert child.wait(30) == -signal.SIGKILL
    assert events(Path(LOG)) == ["begin"]
    gate.rule = lambda method, target, before: "403 AccessDenied" if "exports" in target else "pass"
    assert export(f"memory://bucket-{uuid.uuid4().hex}/x").rows == 8, (
        "it cannot be told now, and is left open"
    )
    assert events(Path(LOG)) == ["begin", "begin", "commit"]
    gate.rule = lambda method, target, before: "pass"
    export(f"memory://bucket-{uuid.uuid4().hex}/x")
    assert events(Path(LOG))[3] == ("recovered" if done else "failed")
    assert (f"exports/{CSV}" in bucket.objects()) == done


# --- what else may go wrong -----------------------------------------------------------------------------


def test_what_replaced_an_object_is_not_taken_back_when_it_cannot_be_read(
    gate: Gate, bucket: Bucket, tmp_path: Path
) -> None:
    options = {"format": "json", "output_dir": f"{bucket.url}/x", "if_exists": "replace"}
    receipt = ak.export_audit_run("run-001", source=SAMPLES, **options)
    put = []

    def rule(method: str, target: str, before: int) -> str:
        put.append(method == "PUT")
        return "cut" if method == "GET" and "list-type" not in target and any(put) else "pass"

    gate.rule = rule
    with pytest.raises(OSError, match=r"x/audit-run-run-001"):
        ak.export_audit_run("run-001", source=SAMPLES, include_metadata=False, **options)
    gate.rule = lambda *_: "pass"
    assert list(bucket.objects()) == [f"x/{receipt.path.name}"]


def test_a_store_is_cleaned_only_by_a_log_that_is_there(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ak.hold_export(export(f"{bucket.url}/x"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for dry_run in (True, False):
        with pytest.raises(FileNotFoundError, match="No export log tells what of s3://"):
            ak.cleanup_old_exports(f"{bucket.url}/x", days_old=0, dry_run=dry_run)
    assert len(bucket.objects()) == 1


def test_a_folder_of_a_store_is_judged_by_itself(bucket: Bucket) -> None:
    export(f"{bucket.url}/y")
    receipt = export(f"{bucket.url}/x")
    bucket.remove(f"y/{receipt.path.name}")
    assert ak.verify_exports(f"{bucket.url}/x").files == 1
    with pytest.raises(errors.VerificationError, match="1 missing"):
        ak.verify_exports(f"{bucket.url}/y")


def test_a_marker_of_a_folder_is_no_file(bucket: Bucket) -> None:
    bucket.put("x/", b"")
    export(f"{bucket.url}/x")
    assert ak.list_available_runs(source=f"{bucket.url}/x") == ["run-001"]
    assert ak.verify_exports(f"{bucket.url}/x").files == 1


def test_what_a_store_removed_without_saying_so_is_removed(
    gate: Gate, bucket: Bucket, working_folder: Path
) -> None:
    export(f"{bucket.url}/x")
    gate.rule = lambda method, *_: "lose" if method in ("DELETE", "POST") else "pass"
    assert len(ak.cleanup_old_exports(f"{bucket.url}/x", days_old=0)) == 1
    assert bucket.objects() == {}
    assert [entry["event"] for entry in entries(working_folder / LOG)] == ["begin", "commit", "removed"]


@pytest.mark.parametrize("jobs", [2, None])
def test_no_other_process_writes_into_the_memory_of_this_one(jobs: int | None) -> None:
    options: dict[str, Any] = {"source": SAMPLES, "output_dir": "memory://lost/x", "jobs": jobs}
    if jobs is None:
        assert len(ak.export_multiple_runs(["run-001"], "csv", **options).receipts) == 1
    else:
        with pytest.raises(errors.InvalidOptionError, match="is in the memory of one process"):
            ak.export_multiple_runs(["run-001", "run-002"], "csv", **options)


@pytest.mark.parametrize(
    "url", ["s3://AKIAEXAMPLE@bucket/x", "s3://bucket/x?X-Amz-Signature=abc", "s3://bucket/x?token=hunter2"]
)
def test_a_key_in_a_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(errors.InvalidOptionError) as caught:
        export(url)
    assert not re.search("AKIA|abc|hunter2", str(caught.value))
