"""The export log: what its lines say, that they vouch for one another, and how it is read."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import getpass
import json
import os
import stat
import subprocess
import sys
import textwrap
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import judge
import pandas as pd
import pytest
from children import DAY, python, succeed
from judge import LOG, START, TORN, sha256
from logs import (
    DTYPES,
    NAME,
    RUN_001,
    SAMPLES,
    SECOND,
    begun,
    dtypes,
    entries,
    export,
    put,
    replaced,
    told,
    watched_syncs,
    written,
)
from records import a_run, dumped, saved
from tools import require

import auditkit as ak
from auditkit.errors import InvalidOptionError, InvalidRunIdError, VerificationError
from auditkit.exportlog import ExportLog
from auditkit.exportlog.remains import whole_file
from auditkit.naming import is_suffix
from auditkit.publish import Draft, publish

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


# --- what a line says -----------------------------------------------------------------------------------


def test_an_export_begins_and_commits_with_all_that_is_known_of_it(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDITKIT_ACTOR", "jean.müller")
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    receipt = export(out, include_metadata=False)
    begin, commit = entries(out)
    data = (out / RUN_001).read_bytes()
    for record in (begin, commit):
        assert before <= datetime.fromisoformat(record.pop("time")) <= datetime.now(UTC)
        assert len(record.pop("digest")) == len(record.pop("prev")) == 64
    known = {
        "actor": "jean.müller",
        "bytes": len(data),
        "format": "csv",
        "options": {"include_metadata": False},
        "path": RUN_001,
        "rows": "8 of 8",
        "run_ids": ["run-001"],
        "sha256": sha256(data),
        "source": str(SAMPLES),
        "version": ak.__version__,
    }
    assert begin == {**known, "event": "begin", "seq": 1, "open": 1}
    assert 0 <= commit.pop("seconds") < 10
    assert {name: value for name, value in commit.items() if name != "open" or value} == {
        **known,
        "event": "commit",
        "seq": 2,
        "begin": 1,
    }
    assert receipt.log_head == judge.read_log(out / LOG).head


def test_a_selection_says_how_many_rows_of_how_many_and_its_filter(out: Path) -> None:
    results = ak.load_results(source=SAMPLES)
    filter = ak.Filter(deviation=(40, None))
    ak.export_results(results, "csv", name="large", filter=filter, source=SAMPLES, output_dir=out)
    commit = entries(out)[-1]
    assert commit["rows"] == f"{(results.deviation >= 40).sum()} of 1580"
    assert commit["filter"] == {"deviation": [40, None]}
    assert commit["run_ids"] == sorted(set(results.run_id))
    assert commit["path"] == f"audit-results-large-{DAY}.csv"


def test_rows_that_were_picked_by_hand_are_said_to_be(out: Path) -> None:
    run = ak.load_run("run-001", source=SAMPLES)
    ak.export_audit_run(run.select([0, 3]), "csv", output_dir=out)
    commit = entries(out)[-1]
    assert (commit["rows"], commit["filter"]) == ("2 of 8", "rows chosen by run_id and position")
    assert "source" not in commit  # a run at hand comes from nowhere that could be named


def test_an_encrypted_file_has_the_hash_of_what_it_holds_too(out: Path) -> None:
    pyrage = pytest.importorskip("pyrage")
    plain = export(out).sha256
    receipt = export(out, encrypt_to=str(pyrage.x25519.Identity.generate().to_public()))
    begin, commit = entries(out)[-2:]
    assert begin["plain_sha256"] == commit["plain_sha256"] == plain
    assert commit["sha256"] == receipt.sha256 != plain


def test_the_actor_is_the_login_name_or_a_number(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUDITKIT_ACTOR", raising=False)
    put(out)
    assert entries(out)[-1]["actor"] == getpass.getuser()
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 987_654_321)  # no user of that number has a name
    put(out, b"other\n")
    assert entries(out)[-1]["actor"] == "uid 987654321"


def test_a_version_a_reuse_and_a_replacement_are_told_apart(out: Path) -> None:
    run = saved(out.parent / "other.json", dumped(a_run(1)))
    other = {"source": run, "output_dir": out}
    export(out)
    ak.export_audit_run("run-001", "csv", **other)
    ak.export_audit_run("run-001", "csv", **other)
    ak.export_audit_run("run-001", "csv", **other, if_exists="replace")
    assert [(e["event"], e["path"], e.get("reused")) for e in entries(out)] == [
        ("begin", RUN_001, None), ("commit", RUN_001, None),
        ("begin", RUN_001, None), ("commit", SECOND, None),
        ("begin", RUN_001, None), ("commit", SECOND, True),
        ("begin", RUN_001, None), ("commit", RUN_001, None),
    ]  # fmt: skip
    assert [e["sha256"] for e in entries(out)][-1] == sha256((out / RUN_001).read_bytes())


def test_what_could_not_be_placed_failed_and_the_rest_of_the_group_is_committed(out: Path) -> None:
    (out / NAME).write_bytes(b"in the way")
    drafts = [Draft(folder=out, name=name, write=lambda sink: sink.write(b"new")) for name in (NAME, RUN_001)]
    publish(drafts, if_exists="error", log=ExportLog(path=out / LOG))
    *begins, failed, commit = entries(out)
    assert [(e["event"], e["path"], e["open"]) for e in begins] == [("begin", NAME, 1), ("begin", RUN_001, 2)]
    assert (failed["event"], failed["path"], failed["begin"]) == ("failed", NAME, 1)
    assert failed["error"] == (
        "A file of that name has other bytes (if_exists='version' or 'replace' would do): " + str(out / NAME)
    )
    assert (commit["event"], commit["path"], commit["begin"]) == ("commit", RUN_001, 2)


def test_what_cannot_be_logged_is_not_exported(out: Path) -> None:
    draft = Draft(folder=out, name=NAME, write=lambda sink: None, about=lambda: {"filter": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        publish([draft], log=ExportLog(path=out / LOG))
    assert os.listdir(out) == [LOG]
    assert (out / LOG).read_bytes() == b""


def test_only_its_owner_may_read_the_log_or_with_that_option_the_group(out: Path, tmp_path: Path) -> None:
    export(out)
    export(tmp_path / "group", group_readable=True)
    modes = [stat.S_IMODE((folder / LOG).stat().st_mode) for folder in (out, tmp_path / "group")]
    assert modes[0] == 0o600
    assert modes[1] & 0o007 == 0


# --- the chain ------------------------------------------------------------------------------------------


def test_every_line_names_the_hash_of_the_line_before_as_stock_tools_tell_it(out: Path) -> None:
    for tool in ("sed", "sha256sum"):
        require(tool)
    for run_id in ("run-001", "run-002", "run-003"):
        export(out, run_id)
    records = [json.loads(line) for line in (out / LOG).read_text().splitlines()]
    assert [record["seq"] for record in records] == [1, 2, 3, 4, 5, 6]
    hashes = [START]
    for number in range(1, 7):
        pipe = f"sed -n {number}p {LOG} | sha256sum"
        done = subprocess.run(["sh", "-c", pipe], cwd=out, capture_output=True, text=True, check=True)
        hashes.append(done.stdout.split()[0])
    assert [record["prev"] for record in records] == hashes[:-1]
    assert ak.read_export_log(out)["hash"].to_list() == hashes[1:]


def test_a_line_is_canonical_json_and_its_digest_that_of_the_line_without_it(out: Path) -> None:
    export(out)
    for line in (out / LOG).read_bytes().splitlines():
        record = json.loads(line)
        assert json.dumps(record, sort_keys=True, separators=(",", ":")).encode() == line
        assert line.isascii()
        digest = record.pop("digest")
        bare = json.dumps(record, sort_keys=True, separators=(",", ":"))
        assert sha256(bare.encode()) == digest


def test_a_batch_is_begun_and_committed_by_one_write_each(out: Path) -> None:
    batch = ak.export_multiple_runs(["run-001", "run-002", "run-003"], "csv", source=SAMPLES, output_dir=out)
    assert [(e["event"], e.get("begin"), e["open"]) for e in entries(out)[:5]] == [
        ("begin", None, 1), ("begin", None, 2), ("begin", None, 3),
        ("commit", 1, 2), ("commit", 2, 1),
    ]  # fmt: skip
    assert {receipt.log_head for receipt in batch.receipts} == {judge.read_log(out / LOG).head}


# --- half a line ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("torn", [b"x", b'{"actor":"me', b"\0" * 5000, b"\xff\xfe" * 100_000])
@pytest.mark.parametrize("lines", [0, 1, 3])
def test_half_a_line_is_set_aside_and_the_log_says_so(out: Path, lines: int, torn: bytes) -> None:
    written(out, *[{"event": "held", "path": NAME}] * lines, tail=torn)
    put(out)
    assert (out / TORN).read_bytes() == torn + b"\n"
    found = entries(out)
    assert [e["event"] for e in found] == [*["held"] * lines, "recovered", "begin", "commit"]
    assert (found[lines]["torn_bytes"], found[lines]["torn_sha256"]) == (len(torn), sha256(torn))


def test_halves_of_lines_gather(out: Path) -> None:
    for torn in (b"one", b"two"):
        put(out, torn)
        with (out / LOG).open("ab") as log:
            log.write(torn)
    put(out, b"three")
    assert (out / TORN).read_bytes() == b"one\ntwo\n"
    assert [e["event"] for e in entries(out)].count("recovered") == 2


def test_a_line_longer_than_what_is_read_at_first_is_read_whole(out: Path) -> None:
    written(out, {"event": "held", "path": NAME}, begun(run_ids=["x" * 50] * 20_000), tail=b"y" * 300_000)
    put(out)
    assert [e["event"] for e in entries(out)] == ["held", "begin", "recovered", "failed", "begin", "commit"]
    assert (out / TORN).stat().st_size == 300_001


@linux
@pytest.mark.parametrize("place", [LOG, TORN])
@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "folder"])
def test_what_is_no_file_is_neither_followed_nor_written_to(out: Path, place: str, kind: str) -> None:
    written(out, {"event": "held", "path": NAME}, tail=b"half")
    target = saved(out.parent / "target", b"kept")
    log = out / place
    log.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(log)
    elif kind == "folder":
        log.mkdir()
    else:
        log.symlink_to(target if kind == "link" else out.parent / "nowhere")
    with pytest.raises(OSError) as raised:  # noqa: PT011
        put(out)
    assert raised.value.errno in (errno.EINVAL, errno.ELOOP, errno.EISDIR)
    assert raised.value.filename == str(log)
    assert (target.read_bytes(), (out.parent / "nowhere").exists()) == (b"kept", False)
    assert not (out / NAME).exists()
    assert [name for name in os.listdir(out) if name.startswith(".")] == []


def test_a_log_in_a_folder_that_is_not_there_is_an_error_with_its_path(out: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        export(out, log=out / "nowhere" / "log.jsonl")
    assert raised.value.filename == str(out / "nowhere" / "log.jsonl")
    assert os.listdir(out) == []


@pytest.mark.parametrize("log", [17, object(), ["log"]])
def test_what_is_neither_a_path_nor_a_log_is_refused(out: Path, log: Any) -> None:
    with pytest.raises(InvalidOptionError, match="neither a path nor an export log"):
        export(out, log=log)
    assert os.listdir(out) == []


@linux
def test_a_log_that_may_not_be_written_lets_no_file_be_seen(out: Path) -> None:
    export(out)
    (out / LOG).chmod(0o400)
    script = f"""
        import auditkit as ak
        try:
            ak.export_audit_run("run-002", "csv", source={str(SAMPLES)!r}, output_dir={str(out)!r})
        except OSError as error:
            print(error.errno, error.filename)
    """
    said = succeed(python("-c", textwrap.dedent(script), cwd=out, humble=True))
    assert said.split() == [str(errno.EACCES), str(out / LOG)]
    assert sorted(os.listdir(out)) == [RUN_001, LOG]


# --- where the log stands -------------------------------------------------------------------------------


@pytest.mark.parametrize("through_a_link", [False, True])
def test_a_log_that_stands_elsewhere_finds_its_files(out: Path, through_a_link: bool) -> None:
    """A link on the way to the log does not lead `..` astray."""
    deep = out.parent / "deep" / "er"
    deep.mkdir(parents=True)
    place = deep
    if through_a_link:
        place = out.parent / "link"
        place.symlink_to(deep)
    log = place / "log.jsonl"
    export(out, log=log)
    records = judge.read_log(log).records
    assert [record["path"] for record in records] == [f"../../out/{RUN_001}"] * 2
    log.write_bytes(log.read_bytes().splitlines(keepends=True)[0])  # as if it had died
    export(out, "run-002", log=str(log))
    settled = judge.read_log(log).records[1]
    assert (settled["event"], settled["path"]) == ("recovered", f"../../out/{RUN_001}")
    assert not (out / LOG).exists()


@linux
def test_a_new_log_elsewhere_is_synced_into_its_folder(out: Path, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    with watched_syncs() as synced:
        export(out, log=tmp_path / "logs" / "log.jsonl")
        assert synced.count(str(tmp_path / "logs")) == 1
        export(out, "run-002", log=tmp_path / "logs" / "log.jsonl")
        assert synced.count(str(tmp_path / "logs")) == 1


@linux
def test_folders_that_had_to_be_made_are_each_synced_into_the_one_above(tmp_path: Path) -> None:
    with watched_syncs() as synced:
        put(tmp_path / "a" / "b" / "c")
    assert {str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")} <= set(synced)


@linux
@pytest.mark.parametrize("removed", [True, False])
def test_a_log_that_is_moved_away_while_its_lock_is_waited_for_is_not_written_to(
    out: Path, removed: bool
) -> None:
    put(out, b"1", RUN_001)
    with (out / LOG).open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        waiting = threading.Thread(target=put, args=(out,))
        waiting.start()
        while sum(str(out / LOG) in where for where in _open_files()) < 2:
            time.sleep(0.005)
        if removed:
            (out / LOG).unlink()
        else:
            (out / LOG).rename(out / "old-log")
            written(out, {"event": "held", "path": "x"})
    waiting.join(10)
    assert told(out)[-2:] == [("begin", NAME), ("commit", NAME, entries(out)[-2]["seq"])]
    if not removed:
        assert len((out / "old-log").read_bytes().splitlines()) == 2


def _open_files() -> list[str]:
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return found


@linux
def test_a_log_that_cannot_be_locked_is_an_error_with_its_path(out: Path) -> None:
    real, before = fcntl.flock, len(os.listdir("/proc/self/fd"))

    def refuse(descriptor: int, operation: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}") == str(out / LOG):
            raise OSError(errno.ENOLCK, "No locks available")
        real(descriptor, operation)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fcntl, "flock", refuse)
        with pytest.raises(OSError, match="No locks available") as raised:
            put(out)
    assert raised.value.filename == str(out / LOG)
    assert len(os.listdir("/proc/self/fd")) == before
    assert os.listdir(out) == [LOG]


def test_where_nothing_can_be_locked_a_file_is_published_all_the_same(out: Path) -> None:
    """Windows has no `fcntl`."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(sys.modules, "fcntl", None)
        put(out)
        assert len(ak.read_export_log(out)) == 2


def test_where_a_folder_cannot_be_opened_it_is_not_synced(out: Path) -> None:
    """As on Windows."""
    real = os.open

    def refuse(path: Any, *arguments: Any) -> int:
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path, *arguments)

    with replaced(name="nt", open=refuse):
        put(out)
        put(out / "new")
    assert (
        [e["event"] for e in entries(out)]
        == [e["event"] for e in entries(out / "new")]
        == ["begin", "commit"]
    )


def test_what_can_be_seen_of_a_dead_export_can_be_asked_without_an_error(out: Path) -> None:
    (out / NAME).write_bytes(b"old\n")
    record = begun(b"old\n")

    def refuse(path: Any) -> os.stat_result:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    assert whole_file(out / NAME, record) == out / NAME
    with replaced(lstat=refuse):
        assert whole_file(out / NAME, record) is None
    with replaced(listdir=refuse):
        assert whole_file(out / NAME, record) is None


@pytest.mark.parametrize("run_id", [17, None, b"run-001"])
def test_a_run_id_that_is_no_text_is_refused_and_not_logged(out: Path, run_id: Any) -> None:
    with pytest.raises(InvalidRunIdError, match="is no text"):
        export(out, run_id)
    assert os.listdir(out) == []


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        (".csv", True),
        (".7z", True),
        ("csv", False),
        (".CSV", False),
        (".", False),
        (".csv.gz", False),
        (".é", False),
    ],
)
def test_a_suffix_is_a_dot_and_small_letters_or_digits(text: str, fits: bool) -> None:
    assert is_suffix(text) is fits


# --- several at once ------------------------------------------------------------------------------------


def test_threads_share_a_log(out: Path) -> None:
    threads = [
        threading.Thread(target=export, args=(out, f"run-00{n % 4 + 1}"), kwargs={"log": out / LOG})
        for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = [e["event"] for e in entries(out)]
    assert events == ["begin", "commit"] * 12  # nobody comes between begin and commit


@linux
def test_whoever_reads_waits_for_whoever_writes(out: Path) -> None:
    put(out)
    with (out / LOG).open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        whole = held.read()
        held.truncate(len(whole) - 10)  # as if somebody were in the middle of a line
        held.flush()

        def end_the_line() -> None:
            held.seek(0, os.SEEK_END)
            held.write(whole[-10:])
            held.flush()
            fcntl.flock(held, fcntl.LOCK_UN)

        threading.Timer(0.2, end_the_line).start()
        assert ak.read_export_log(out).event.to_list() == ["begin", "commit"]


@linux
def test_processes_share_a_log(out: Path) -> None:
    script = f"""
        from pathlib import Path
        import sys
        from auditkit.exportlog import ExportLog
        from auditkit.publish import Draft, publish
        out = Path({str(out)!r})
        for n in range(10):
            name = f"audit-run-{{sys.argv[1]}}-{{n}}-{DAY}.csv"
            draft = Draft(folder=out, name=name, write=lambda sink: None)
            publish([draft], log=ExportLog(path=out / {LOG!r}))
    """
    running = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(script), str(number)]) for number in range(3)
    ]
    assert [child.wait(60) for child in running] == [0, 0, 0]
    assert [e["event"] for e in entries(out)] == ["begin", "commit"] * 30


# --- as a frame -----------------------------------------------------------------------------------------


def test_the_frame_has_the_same_dtypes_whatever_the_log_holds(out: Path) -> None:
    (out / LOG).touch()
    empty = ak.read_export_log(out)
    assert (len(empty), dtypes(empty)) == (0, DTYPES)
    export(out)
    export(out, checksum=True)
    full = ak.read_export_log(out / LOG)
    assert dtypes(full) == DTYPES
    assert full.seq.to_list() == [1, 2, 3, 4, 5, 6]
    assert full.event.to_list() == ["begin", "commit"] * 3
    assert full.format.to_list() == ["csv"] * 4 + ["sha256"] * 2
    assert full.run_ids.iloc[0] == ["run-001"]
    assert full.begin.to_list()[1::2] == [1, 3, 5]
    assert full.begin.isna().to_list() == [True, False] * 3
    assert full.reused.to_list()[3] is True
    assert full.seconds.notna().to_list() == [False, True] * 3
    assert (full.time.diff().dropna() >= pd.Timedelta(0)).all()


def test_names_that_are_no_unicode_can_be_shown(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff")
    log = tmp_path / "log.jsonl"
    export(folder, log=log)
    assert ak.read_export_log(log).path.to_list() == [f"\\udcff/{RUN_001}"] * 2


def test_a_log_that_is_not_there_is_not_found(out: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        ak.read_export_log(out)
    assert raised.value.filename == str(out / LOG)


@linux
@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
def test_a_log_that_is_no_file_is_not_read(out: Path, kind: str) -> None:
    log = out / LOG
    if kind == "pipe":
        os.mkfifo(log)
    elif kind == "folder":
        log.mkdir()
    else:
        written(out.parent, {"event": "held", "path": "x"})
        log.symlink_to(out.parent / LOG)
    with pytest.raises(OSError) as raised:  # noqa: PT011
        ak.read_export_log(out)
    assert raised.value.filename == str(log)


def test_every_damage_is_listed(out: Path) -> None:
    for run_id in ("run-001", "run-002", "run-003"):
        export(out, run_id)
    lines = (out / LOG).read_bytes().splitlines(keepends=True)
    lines[0] = lines[0].replace(b"run-001", b"run-009")
    lines[3] = b"\xff\n"
    damaged = [*lines, lines[2], b'{"half']
    (out / LOG).write_bytes(b"".join(damaged))
    with pytest.raises(VerificationError, match="line 1 is not as it was written") as raised:
        ak.read_export_log(out)
    assert [problem.detail for problem in raised.value.problems] == [
        "line 1 is not as it was written: its digest does not match",
        "line 2 does not follow on the line before it",
        "line 4 is no JSON",
        "line 5 does not follow on the line before it",
        "line 7 is line 3 once more",
        "line 7 does not follow on the line before it",
        "line 8 ends in the middle",
    ]
    assert {(problem.kind, problem.path) for problem in raised.value.problems} == {("log", LOG)}


def test_a_number_that_was_left_out_is_noticed(out: Path) -> None:
    first = judge.line({"event": "held", "path": "x"}, 1, START)
    (out / LOG).write_bytes(first + judge.line({"event": "held", "path": "y"}, 3, sha256(first)))
    with pytest.raises(VerificationError, match="line 2 has the number 3 instead of 2"):
        ak.read_export_log(out)
