"""A folder of exports against its log: whatever was done to either is found, and named."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from records import LOG
from tools import require

import auditkit as ak
from auditkit.errors import ExportExistsError, InvalidOptionError, VerificationError
from auditkit.locking import try_lock

SAMPLES = Path(__file__).parents[1] / "sample_data" / "runs"
TRIALS = 200
START = "0" * 64


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a lot has happened, and nothing is wrong."""
    folder = tmp_path_factory.mktemp("sound") / "exports"
    to: dict[str, Any] = {"source": SAMPLES, "output_dir": folder}
    ak.export_audit_run("run-001", "csv", checksum=True, **to)
    ak.export_audit_run("run-001", "csv", include_metadata=False, **to)  # takes the version -2
    ak.export_audit_run("run-001", "json", compression="gzip", **to)
    ak.export_multiple_runs(["run-003", "run-006"], "jsonl", **to)
    ak.export_audit_run("run-001", "csv", **to)  # the same bytes once more
    gone = ak.export_audit_run("run-006", "json", **to)
    os.utime(gone, (0, 0))
    assert ak.cleanup_old_exports(folder) == [gone.path]
    ak.hold_export(folder / "audit-run-run-001-2024-01-15.csv", reason="case 17")
    ak.verify_exports(folder)
    return folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "exports"))


def found(folder: Path, **options: Any) -> list[tuple[str, str]]:
    """What is wrong with a folder: kind and path of each problem, none for a sound one."""
    try:
        ak.verify_exports(folder, **options)
    except VerificationError as error:
        return [(problem.kind, problem.path) for problem in error.problems] or [("nothing", "named")]
    return []


def lines(folder: Path) -> list[bytes]:
    return (folder / LOG).read_bytes().splitlines(keepends=True)


def rewrite(folder: Path, changed: list[bytes]) -> None:
    (folder / LOG).write_bytes(b"".join(changed))


def head(folder: Path) -> str:
    return hashlib.sha256(lines(folder)[-1]).hexdigest()


def rechained(records: list[dict[str, Any]]) -> list[bytes]:
    """Lines written anew by somebody who knows how: DESIGN §6, with the digest of each line in it."""
    made: list[bytes] = []
    prev = START
    for seq, record in enumerate(records, start=1):
        bound = {name: value for name, value in record.items() if name != "digest"}
        bound |= {"seq": seq, "prev": prev}
        text = json.dumps(bound, sort_keys=True, separators=(",", ":")).encode()
        bound["digest"] = hashlib.sha256(text).hexdigest()
        made.append(json.dumps(bound, sort_keys=True, separators=(",", ":")).encode() + b"\n")
        prev = hashlib.sha256(made[-1]).hexdigest()
    return made


CSV = "audit-run-run-001-2024-01-15.csv"
SECOND = "audit-run-run-001-2024-01-15-2.csv"
GZ = "audit-run-run-001-2024-01-15.json.gz"


# --- what is right --------------------------------------------------------------------------------------


def test_a_sound_folder_is_reported_with_its_head(sound: Path) -> None:
    report = ak.verify_exports(sound)
    assert report.path == sound
    assert report.files == 6  # two csv, one sha256, one json.gz, two jsonl
    assert report.log_entries == len(lines(sound))
    assert report.log_head == head(sound)
    assert (report.anchored, report.live) == (False, ())
    assert "Without an anchor" in report.in_words()


def test_the_head_is_what_stock_tools_say(sound: Path) -> None:
    import subprocess

    require("sha256sum")
    told = subprocess.run(
        f"tail -n 1 {LOG} | sha256sum", shell=True, cwd=sound, capture_output=True, text=True, check=True
    )
    assert told.stdout.split()[0] == ak.verify_exports(sound).log_head


def test_a_receipt_and_its_head_are_anchors_however_old(folder: Path) -> None:
    old = ak.export_audit_run("run-004", "csv", source=SAMPLES, output_dir=folder)
    ak.export_audit_run("run-005", "csv", source=SAMPLES, output_dir=folder)
    assert ak.verify_exports(folder, old).anchored
    assert ak.verify_exports(folder, anchor=old.log_head).anchored
    assert ak.verify_exports(folder, anchor=str(old.log_head).upper()).anchored


@pytest.mark.parametrize("anchor", ["", "abc", "0" * 63, "G" * 64, 7, "no/such/bag", b"x", ["a"]])
def test_what_is_no_anchor_is_refused(folder: Path, anchor: Any) -> None:
    with pytest.raises(InvalidOptionError, match="no anchor"):
        ak.verify_exports(folder, anchor)


def test_a_log_that_stands_elsewhere_is_named(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "all.jsonl"
    log.parent.mkdir()
    for place in ("a", "b"):
        ak.export_audit_run("run-001", "csv", source=SAMPLES, output_dir=tmp_path / place, log=log)
    assert not (tmp_path / "a" / LOG).exists()
    assert ak.verify_exports(tmp_path / "a", log=log).files == 2
    (tmp_path / "b" / CSV).unlink()
    assert found(tmp_path / "a", log=log) == [("missing", f"../b/{CSV}")]


def test_files_that_are_hidden_and_folders_that_are_no_bags_are_not_judged(folder: Path) -> None:
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / "archive").mkdir()
    (folder / "archive" / "old.csv").write_bytes(b"x")
    assert found(folder) == []


def test_a_decrypted_file_is_accounted_for_by_its_hash(folder: Path, tmp_path: Path) -> None:
    from pyrage import x25519

    identity = x25519.Identity.generate()
    key = tmp_path / "key.txt"
    key.write_text(f"{identity}\n")
    key.chmod(0o600)
    sealed = ak.export_audit_run(
        "run-004", "csv", source=SAMPLES, output_dir=folder, encrypt_to=str(identity.to_public())
    )
    plain = ak.decrypt_export(sealed, key)
    assert hashlib.sha256(plain.read_bytes()).hexdigest() == sealed.plain_sha256
    assert found(folder) == []
    plain.write_bytes(plain.read_bytes() + b"\n")
    assert found(folder) == [("unexpected", plain.name)]


# --- what is wrong --------------------------------------------------------------------------------------


def test_everything_is_reported_at_once(folder: Path) -> None:
    (folder / CSV).write_bytes(b"other")
    (folder / SECOND).unlink()
    (folder / "audit-run-new-2024-01-15.csv").write_bytes(b"x")
    (folder / ".auditkit-0123456789abcdef.tmp").write_bytes(b"half")
    told = lines(folder)
    rewrite(folder, [*told[:2], told[2].replace(b'"actor":"', b'"actor":"x'), *told[3:]])
    with pytest.raises(VerificationError) as caught:
        ak.verify_exports(folder)
    kinds = sorted((problem.kind, problem.path) for problem in caught.value.problems)
    assert kinds == [
        ("changed", CSV),
        ("half-done", ".auditkit-0123456789abcdef.tmp"),
        ("log", LOG),
        ("log", LOG),
        ("missing", SECOND),
        ("unexpected", "audit-run-new-2024-01-15.csv"),
    ]
    assert str(caught.value).startswith(f"6 problems in {folder} (")
    assert "line 3" in str(caught.value)


@pytest.mark.parametrize("kind", ["link", "folder", "hard link elsewhere", "fifo"])
def test_what_took_the_place_of_a_file_is_no_file(folder: Path, tmp_path: Path, kind: str) -> None:
    data = (folder / CSV).read_bytes()
    (folder / CSV).unlink()
    if kind == "link":
        (tmp_path / "copy").write_bytes(data)
        (folder / CSV).symlink_to(tmp_path / "copy")
    elif kind == "folder":
        (folder / CSV).mkdir()
    elif kind == "fifo":
        os.mkfifo(folder / CSV)
    else:
        (tmp_path / "copy").write_bytes(data)
        os.link(tmp_path / "copy", folder / CSV)
        assert found(folder) == []  # the same bytes in a regular file
        return
    assert found(folder) == [("changed", CSV)]


def test_a_folder_without_a_log_has_nothing_that_vouches_for_it(folder: Path) -> None:
    (folder / LOG).unlink()
    assert found(folder) == [("log", LOG)]
    with pytest.raises(FileNotFoundError):
        ak.verify_exports(folder / "nowhere")


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_a_log_that_is_no_file_is_an_os_error(folder: Path, tmp_path: Path, kind: str) -> None:
    data = (folder / LOG).read_bytes()
    (folder / LOG).unlink()
    if kind == "link":
        (tmp_path / "elsewhere").write_bytes(data)
        (folder / LOG).symlink_to(tmp_path / "elsewhere")
    elif kind == "fifo":
        os.mkfifo(folder / LOG)
    else:
        (folder / LOG).mkdir()
    with pytest.raises(OSError, match=LOG):
        ak.verify_exports(folder)


def test_an_export_that_died_is_half_done_until_the_next_one_settles_it(folder: Path) -> None:
    told = lines(folder)
    begun = next(record for record in map(json.loads, told) if record["event"] == "begin")
    again = {**begun, "open": 1, "path": "audit-run-dead-2024-01-15.csv"}
    rewrite(folder, rechained([*map(json.loads, told), again]))
    assert found(folder) == [("half-done", "audit-run-dead-2024-01-15.csv")]
    shutil.copy(folder / CSV, folder / "audit-run-dead-2024-01-15-2.csv")  # it had come as far as this
    assert found(folder) == [("half-done", "audit-run-dead-2024-01-15.csv")]
    ak.export_audit_run("run-004", "csv", source=SAMPLES, output_dir=folder)
    assert found(folder) == []
    events = ak.read_export_log(folder).event.to_list()
    assert events[-4:] == ["begin", "recovered", "begin", "commit"]


def test_a_live_export_is_never_declared_dead(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from auditkit.exportlog import reading

    monkeypatch.setattr(reading, "_PATIENCE_SECONDS", 0.1)
    told = lines(folder)
    begun = {**json.loads(told[0]), "open": 1, "path": "audit-run-live-2024-01-15.csv"}
    rewrite(folder, rechained([*map(json.loads, told), begun]))
    (folder / "audit-run-live-2024-01-15.csv").write_bytes(b"as far as it is")
    with (folder / LOG).open("rb+") as held:
        assert try_lock(held.fileno())
        report = ak.verify_exports(folder)
    assert report.live == ("audit-run-live-2024-01-15.csv",)
    assert "not judged: audit-run-live-2024-01-15.csv" in report.in_words()
    assert sorted(found(folder)) == [
        ("half-done", "audit-run-live-2024-01-15.csv"),
        ("unexpected", "audit-run-live-2024-01-15.csv"),
    ]


def test_a_live_export_that_takes_a_later_version_is_not_declared_dead(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from auditkit.exportlog import reading

    monkeypatch.setattr(reading, "_PATIENCE_SECONDS", 0.1)
    told = lines(folder)
    rewrite(folder, rechained([*map(json.loads, told), {**json.loads(told[0]), "open": 1}]))
    third = folder / "audit-run-run-001-2024-01-15-3.csv"
    third.write_bytes(b"as far as it is")
    with (folder / LOG).open("rb+") as held:
        assert try_lock(held.fileno())
        assert ak.verify_exports(folder).live == (CSV,)
        (folder / "audit-run-other-2024-01-15.csv").write_bytes(b"nobody announced it")
        assert found(folder) == [("unexpected", "audit-run-other-2024-01-15.csv")]


def test_a_temporary_file_that_is_locked_a_moment_after_it_was_made_is_not_half_done(folder: Path) -> None:
    """Between making and locking it, an exporter may be looked at."""
    import threading

    path = folder / ".auditkit-0123456789abcdef.tmp"
    with path.open("wb") as file:
        timer = threading.Timer(0.02, try_lock, (file.fileno(),))
        timer.start()
        assert found(folder) == []
        timer.join()


@pytest.mark.parametrize("name", [".auditkit-0123456789abcdef.tmp", "more.csv"])
def test_a_pipe_that_nobody_fills_is_not_waited_for(folder: Path, name: str) -> None:
    os.mkfifo(folder / name)
    assert found(folder) == [("half-done" if name.startswith(".") else "unexpected", name)]


@pytest.mark.parametrize("path", ["x" * 5000, f"{LOG}/x", "loop/x", "../nowhere/x"])
def test_an_entry_that_leads_nowhere_is_one_problem_among_the_others(folder: Path, path: str) -> None:
    records = [json.loads(line) for line in lines(folder)]
    rewrite(folder, rechained([*records, {**records[1], "begin": 99, "path": path}]))
    (folder / "loop").symlink_to("loop")
    (folder / CSV).write_bytes(b"x")
    assert sorted(found(folder)) == sorted([("changed", CSV), ("missing", path), ("unexpected", "loop")])


def test_a_file_that_cannot_be_looked_at_is_one_problem_among_the_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lstat = os.lstat

    def refused(path: Any, **options: Any) -> os.stat_result:
        if str(path).endswith(GZ):
            raise PermissionError(13, "Permission denied", path)
        return lstat(path, **options)

    monkeypatch.setattr(os, "lstat", refused)
    assert found(folder) == [("changed", GZ)]


@pytest.mark.parametrize("linked", ["folder", "log"])
def test_folders_that_are_reached_through_links_are_the_same_folders(tmp_path: Path, linked: str) -> None:
    (tmp_path / "deep" / "logs").mkdir(parents=True)
    (tmp_path / "real").mkdir()
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "log").symlink_to("deep/logs")
    out = tmp_path / ("folder" if linked == "folder" else "real")
    log = tmp_path / ("log" if linked == "log" else "deep/logs") / "all.jsonl"
    receipt = ak.export_audit_run("run-001", "csv", source=SAMPLES, output_dir=out, log=log)
    for place in (out, tmp_path / "real"):
        assert ak.verify_exports(place, log=log).files == 1
    os.utime(receipt, (0, 0))
    data = receipt.path.read_bytes()
    assert ak.cleanup_old_exports(out, log=log) == [receipt.path]
    receipt.path.write_bytes(data)
    assert found(out, log=log) == [("half-done", CSV)]


def test_a_temporary_file_that_is_being_written_is_not_half_done(folder: Path) -> None:
    name = ".auditkit-0123456789abcdef.tmp"
    with (folder / name).open("wb") as file:
        assert try_lock(file.fileno())
        assert found(folder) == []
    assert found(folder) == [("half-done", name)]
    (folder / name).unlink()
    (folder / name).symlink_to("nowhere")
    assert found(folder) == [("half-done", name)]


def test_a_file_that_is_logged_as_removed_and_still_there_is_half_done(folder: Path, tmp_path: Path) -> None:
    receipt = ak.export_audit_run("run-004", "csv", source=SAMPLES, output_dir=folder)
    data = receipt.path.read_bytes()
    os.utime(receipt, (0, 0))
    ak.cleanup_old_exports(folder)
    assert found(folder) == []
    receipt.path.write_bytes(data)
    assert found(folder) == [("half-done", receipt.path.name)]
    receipt.path.write_bytes(data + b"x")
    assert found(folder) == [("unexpected", receipt.path.name)]


def test_a_log_that_names_what_no_file_can_be_called_is_damaged(folder: Path) -> None:
    records = [json.loads(line) for line in lines(folder)]
    for name in ("a\0b", "\ud800"):
        rewrite(folder, rechained([*records, {**records[1], "begin": 99, "path": name}]))
        assert ("log", LOG) in found(folder)
        assert {kind for kind, _ in found(folder)} == {"log"}


def test_a_file_that_may_not_be_read_is_said_to_be_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from auditkit.verification import comparison

    def refused(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(comparison, "file_sha256", refused)
    assert {kind for kind, _ in found(folder)} == {"changed"}


# --- bags in the folder -----------------------------------------------------------------------------------


def test_a_bag_is_judged_with_the_folder_that_it_stands_in_and_is_an_anchor(
    folder: Path, tmp_path: Path
) -> None:
    before = ak.verify_exports(folder).files
    bag = ak.export_evidence(["run-001", "run-003"], folder / "case-17", source=SAMPLES)
    assert ak.verify_exports(folder, bag).files == before + 1
    kept = Path(shutil.copytree(bag, tmp_path / "kept"))
    assert ak.verify_exports(folder, kept).anchored
    assert ak.verify_exports(folder, str(kept)).anchored
    (tmp_path / "link").symlink_to(kept)
    assert ak.verify_exports(folder, tmp_path / "link").anchored
    shutil.copytree(bag, folder / "copy")
    assert found(folder) == [("unexpected", "copy")]
    shutil.rmtree(folder / "copy")
    flip(random.Random(5), bag.path / "data" / CSV)
    assert ("changed", f"case-17/data/{CSV}") in found(folder)
    shutil.rmtree(bag.path)
    assert found(folder) == [("missing", "case-17")]
    bag.path.symlink_to(kept)
    assert found(folder) == [("changed", "case-17")]


def test_a_bag_that_was_made_anew_is_not_that_of_the_log(folder: Path, tmp_path: Path) -> None:
    bag = ak.export_evidence(["run-001"], folder / "case-17", source=SAMPLES)
    other = ak.export_evidence(["run-003"], tmp_path / "case-17", source=SAMPLES)
    ak.verify_bag(other)
    shutil.rmtree(bag.path)
    shutil.move(other.path, bag.path)
    assert {kind for kind, _ in found(folder)} == {"changed"}


def test_a_link_at_the_place_of_a_bag_that_died_is_not_that_bag(folder: Path, tmp_path: Path) -> None:
    bag = ak.export_evidence(["run-001"], tmp_path / "case-17", source=SAMPLES)
    manifest = bag.path / "manifest-sha256.txt"
    facts = {"path": "case-17", "bytes": manifest.stat().st_size, "sha256": bag.sha256, "format": "bag"}
    begun = {"event": "begin", "open": 1, "time": "2024-01-15T10:00:00.000Z", **facts}
    rewrite(folder, rechained([*map(json.loads, lines(folder)), begun]))
    (folder / "case-17").symlink_to(bag.path)
    assert found(folder) == [("half-done", "case-17"), ("unexpected", "case-17")]
    (folder / "case-17").unlink()
    shutil.copytree(bag, folder / "case-17")
    assert found(folder) == [("half-done", "case-17")]


def test_a_bag_that_is_not_what_it_was_is_no_anchor(folder: Path, tmp_path: Path) -> None:
    bag = ak.export_evidence(["run-001"], tmp_path / "case-17", source=SAMPLES)
    info = bag.path / "bag-info.txt"
    own = next(line for line in info.read_text().splitlines() if line.startswith("Log-Head: "))
    info.write_text(info.read_text().replace(own, f"Log-Head: {head(folder)}"))
    with pytest.raises(VerificationError, match=r"bag-info\.txt"):
        ak.verify_exports(folder, bag.path)


def test_a_bag_that_was_made_under_no_log_is_no_anchor(folder: Path, tmp_path: Path) -> None:
    from auditkit.publish import NoLog

    bag = ak.export_evidence(["run-001"], tmp_path / "case-17", source=SAMPLES, log=NoLog())
    with pytest.raises(InvalidOptionError, match="no anchor"):
        ak.verify_exports(folder, bag.path)


def test_a_log_that_was_cut_off_behind_a_bag_is_found_by_the_bag(folder: Path, tmp_path: Path) -> None:
    bag = ak.export_evidence(["run-001"], folder / "case-17", source=SAMPLES)
    kept = Path(shutil.copytree(bag, tmp_path / "kept"))
    shutil.rmtree(bag.path)
    rewrite(folder, lines(folder)[:-2])  # its begin, which is the head in it, and its commit
    assert found(folder) == []
    assert found(folder, anchor=kept) == [("log", LOG)]


# --- two hundred of each --------------------------------------------------------------------------------

Tampering = Callable[[random.Random, Path], None]


def exports(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name != LOG)


def edit_file(chance: random.Random, folder: Path) -> None:
    path = chance.choice(exports(folder))
    data = bytearray(path.read_bytes())
    at = chance.randrange(len(data))
    data[at : at + chance.randrange(3)] = chance.randbytes(chance.randrange(1, 4))
    path.write_bytes(data if bytes(data) != path.read_bytes() else data + b"x")


def delete_file(chance: random.Random, folder: Path) -> None:
    chance.choice(exports(folder)).unlink()


def swap_files(chance: random.Random, folder: Path) -> None:
    one, other = chance.sample(exports(folder), 2)
    first, second = one.read_bytes(), other.read_bytes()
    assert first != second
    one.write_bytes(second)
    other.write_bytes(first)


def duplicate_file(chance: random.Random, folder: Path) -> None:
    path = chance.choice(exports(folder))
    copies = [f"audit-run-x{chance.randrange(9)}-2024-01-15.csv", f"copy of {path.name}", f"{path.name}.bak"]
    shutil.copy(path, folder / chance.choice(copies))


def insert_file(chance: random.Random, folder: Path) -> None:
    names = ["audit-run-run-009-2024-01-15.csv", "audit-run-run-001-2024-01-15-7.csv", "more.csv", "x"]
    (folder / chance.choice(names)).write_bytes(chance.randbytes(chance.randrange(20)))


def truncate_file(chance: random.Random, folder: Path) -> None:
    path = chance.choice(exports(folder))
    os.truncate(path, chance.randrange(path.stat().st_size))


def flip_a_bit_of_a_file(chance: random.Random, folder: Path) -> None:
    flip(chance, chance.choice(exports(folder)))


def flip(chance: random.Random, path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def edit_line(chance: random.Random, folder: Path) -> None:
    told = lines(folder)
    at = chance.randrange(len(told))
    record = json.loads(told[at])
    name = chance.choice(sorted(record))
    record[name] = chance.choice(["x", 7, None, [], True, {"a": 1}, record[name] if name == "-" else "y"])
    told[at] = json.dumps(record, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    rewrite(folder, told)


def delete_line(chance: random.Random, folder: Path) -> None:
    told = lines(folder)
    del told[chance.randrange(len(told) - 1)]  # the last one: see cut_the_end
    rewrite(folder, told)


def swap_lines(chance: random.Random, folder: Path) -> None:
    told = lines(folder)
    one, other = chance.sample(range(len(told)), 2)
    told[one], told[other] = told[other], told[one]
    rewrite(folder, told)


def duplicate_line(chance: random.Random, folder: Path) -> None:
    told = lines(folder)
    told.insert(chance.randrange(len(told) + 1), chance.choice(told))
    rewrite(folder, told)


def insert_line(chance: random.Random, folder: Path) -> None:
    told = lines(folder)
    forged = rechained([{**json.loads(chance.choice(told)), "actor": "somebody"}])[0]
    told.insert(
        chance.randrange(len(told) + 1), chance.choice([forged, b"\n", b"{}\n", b"null\n", b"\xff\n"])
    )
    rewrite(folder, told)


def truncate_a_line(chance: random.Random, folder: Path) -> None:
    told = lines(folder)
    at = chance.randrange(len(told))
    told[at] = told[at][: chance.randrange(1, len(told[at]))]
    rewrite(folder, told)


def flip_a_bit_of_the_log(chance: random.Random, folder: Path) -> None:
    flip(chance, folder / LOG)


def cut_the_end(chance: random.Random, folder: Path) -> None:
    told = lines(folder)
    rewrite(folder, told[: chance.randrange(len(told))])


def write_the_log_anew(chance: random.Random, folder: Path) -> None:
    """Change a file, and every line of the log that speaks of it, so that all agrees again."""
    path = folder / CSV
    path.write_bytes(path.read_bytes().replace(b"85", b"58", 1 + chance.randrange(3)) + b"\n")
    facts = {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    records = [json.loads(line) for line in lines(folder)]
    for record in records:
        if record.get("path") == CSV and "sha256" in record:
            record.update(facts)
    chance.choice(records)["actor"] = "somebody else"
    rewrite(folder, rechained(records))


UNANCHORED = (
    edit_file, delete_file, swap_files, duplicate_file, insert_file, truncate_file, flip_a_bit_of_a_file,
    edit_line, delete_line, swap_lines, duplicate_line, insert_line, truncate_a_line, flip_a_bit_of_the_log,
)  # fmt: skip
ANCHORED = (cut_the_end, write_the_log_anew)


def missed(sound: Path, room: Path, tampering: Tampering, verifies: Callable[[Path], bool]) -> int:
    """How many of two hundred tamperings a verifier lets pass."""
    passed = 0
    for trial in range(TRIALS):
        folder = room / str(trial)
        shutil.copytree(sound, folder)
        tampering(random.Random(f"{tampering.__name__} {trial}"), folder)
        passed += verifies(folder)
        shutil.rmtree(folder)
    return passed


@pytest.mark.parametrize("tampering", [*UNANCHORED, *ANCHORED])
def test_of_two_hundred_tamperings_all_are_caught(sound: Path, tmp_path: Path, tampering: Tampering) -> None:
    anchor = head(sound) if tampering in ANCHORED else None
    assert missed(sound, tmp_path, tampering, lambda folder: found(folder, anchor=anchor) == []) == 0


@pytest.mark.parametrize("tampering", [edit_file, swap_lines, cut_the_end, write_the_log_anew])
def test_a_verifier_that_looks_less_closely_misses_some(
    sound: Path, tmp_path: Path, tampering: Tampering
) -> None:
    """What shows that the trials bite: names and sizes alone, and a chain without digest or anchor."""

    def careless(folder: Path) -> bool:
        told = [json.loads(line) for line in lines(folder)]
        there = {record["path"]: record["bytes"] for record in told if record["event"] == "commit"}
        there = {name: size for name, size in there.items() if (folder / name).exists()}
        return all((folder / name).stat().st_size == size for name, size in there.items())

    def unanchored(folder: Path) -> bool:
        return found(folder) == []

    careful = careless if tampering in UNANCHORED else unanchored
    assert missed(sound, tmp_path, tampering, careful) > 0


# --- one file -------------------------------------------------------------------------------------------


def test_one_file_is_checked_against_the_hash_given(folder: Path, tmp_path: Path) -> None:
    mailed = tmp_path / "mailed.csv"
    shutil.copy(folder / CSV, mailed)
    sha256 = hashlib.sha256(mailed.read_bytes()).hexdigest()
    report = ak.verify_file(mailed, sha256.upper())
    assert (report.path, report.sha256, report.against) == (mailed, sha256, "the hash given")
    assert report.in_words() == f"{mailed} is unchanged, says the hash given: SHA-256 {sha256}"
    flip(random.Random(1), mailed)
    with pytest.raises(VerificationError, match="changed"):
        ak.verify_file(mailed, sha256)
    wrongs: tuple[Any, ...] = ("", "abc", "g" * 64, sha256 + "0", 5, b"0" * 64, sha256 + "\n")
    for wrong in wrongs:
        with pytest.raises(InvalidOptionError, match="no SHA-256"):
            ak.verify_file(mailed, wrong)
    with pytest.raises(FileNotFoundError):
        ak.verify_file(tmp_path / "gone.csv", sha256)


def test_one_file_is_checked_against_the_log_beside_it(folder: Path) -> None:
    assert ak.verify_file(folder / GZ).against == "the export log"
    assert ak.verify_file(folder / GZ, log=folder / LOG).against == "the export log"
    flip(random.Random(1), folder / GZ)
    with pytest.raises(VerificationError, match=r"1 problem in .*\(1 changed\)"):
        ak.verify_file(folder / GZ)
    (folder / GZ).unlink()
    with pytest.raises(VerificationError, match="missing"):
        ak.verify_file(folder / GZ)
    flip(random.Random(2), folder / LOG)
    with pytest.raises(VerificationError, match="line"):
        ak.verify_file(folder / CSV)


def test_one_mailed_file_is_checked_against_its_checksum_as_sha256sum_does(
    folder: Path, tmp_path: Path
) -> None:
    import subprocess

    for name in (CSV, f"{CSV}.sha256"):
        shutil.copy(folder / name, tmp_path / name)
    assert ak.verify_file(tmp_path / CSV).against == f"{CSV}.sha256"
    check = [require("sha256sum"), "--check", "--strict", f"{CSV}.sha256"]
    assert subprocess.run(check, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    flip(random.Random(1), tmp_path / CSV)
    assert subprocess.run(check, cwd=tmp_path, capture_output=True, check=False).returncode == 1
    with pytest.raises(VerificationError, match="changed"):
        ak.verify_file(tmp_path / CSV)


@pytest.mark.parametrize("text", ["", "x", "0" * 64, "0" * 64 + "  other.csv\n", "\xff", None])
def test_one_file_of_which_nothing_is_known_is_neither_right_nor_wrong(
    tmp_path: Path, text: str | None
) -> None:
    path = tmp_path / "alone.csv"
    path.write_bytes(b"x")
    if text is not None:
        (tmp_path / "alone.csv.sha256").write_text(text, encoding="latin-1")
    with pytest.raises(InvalidOptionError, match=r"Nothing says what .*alone\.csv should be"):
        ak.verify_file(path)
    with pytest.raises(FileNotFoundError):
        ak.verify_file(tmp_path / "nowhere.csv")


def test_a_file_that_its_log_does_not_know_is_neither_right_nor_wrong(folder: Path) -> None:
    (folder / "alone.csv").write_bytes(b"x")
    with pytest.raises(InvalidOptionError, match="in no export log beside it"):
        ak.verify_file(folder / "alone.csv")


def test_no_file_is_no_file_in_words(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(InvalidOptionError, match="names no file"):
        ak.verify_file("")
    for place in (".", folder, "..", "/"):
        with pytest.raises(IsADirectoryError, match="verify_exports"):
            ak.verify_file(place)


@pytest.mark.parametrize("kind", ["fifo", "link", "device", "huge", "folder"])
def test_a_checksum_that_is_no_small_file_is_none_and_nothing_waits_for_it(tmp_path: Path, kind: str) -> None:
    (tmp_path / "alone.csv").write_bytes(b"x")
    beside = tmp_path / "alone.csv.sha256"
    line = f"{hashlib.sha256(b'x').hexdigest()}  alone.csv\n"
    if kind == "fifo":
        os.mkfifo(beside)
    elif kind == "link":
        (tmp_path / "elsewhere").write_text(line)
        beside.symlink_to("elsewhere")
    elif kind == "device":
        beside.symlink_to("/dev/zero")
    elif kind == "folder":
        beside.mkdir()
    else:
        beside.write_text(line)
        os.truncate(beside, 1 << 40)
    with pytest.raises(InvalidOptionError, match="Nothing says"):
        ak.verify_file(tmp_path / "alone.csv")


def test_a_checksum_whose_file_is_gone_misses_it(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / f"{CSV}.sha256", tmp_path / f"{CSV}.sha256")
    with pytest.raises(VerificationError) as caught:
        ak.verify_file(tmp_path / CSV)
    (problem,) = caught.value.problems
    assert (problem.kind, problem.path) == ("missing", CSV)
    assert problem.detail == f"is not there, and {CSV}.sha256 names it"


def test_a_copy_is_known_by_its_content_to_the_log_that_is_named(folder: Path, tmp_path: Path) -> None:
    mailed = Path(shutil.copy(folder / GZ, tmp_path / "mailed.gz"))
    for log in (folder, folder / LOG):
        assert ak.verify_file(mailed, log=log).against == f"the export log, as {GZ}"
    second = Path(shutil.copy(folder / CSV, folder / "copy.csv"))
    assert ak.verify_file(second).against == f"the export log, as {CSV}"
    flip(random.Random(1), mailed)
    with pytest.raises(VerificationError, match=r"unexpected: is in no entry of the log") as caught:
        ak.verify_file(mailed, log=folder)
    assert [(problem.kind, problem.path) for problem in caught.value.problems] == [
        ("unexpected", "mailed.gz")
    ]
    with pytest.raises(FileNotFoundError):
        ak.verify_file(tmp_path / "gone.gz", log=folder)
    with pytest.raises(FileNotFoundError, match=r"none\.jsonl"):
        ak.verify_file(mailed, log=tmp_path / "none.jsonl")


def test_a_copy_of_what_is_gone_or_was_replaced_is_known_with_its_time(folder: Path, tmp_path: Path) -> None:
    mailed = Path(shutil.copy(folder / CSV, tmp_path / "mailed.csv"))
    (folder / SECOND).unlink()
    ak.hold_export(folder / CSV, release=True)
    ak.export_audit_run(
        "run-001", "csv", source=SAMPLES, output_dir=folder, include_metadata=False, if_exists="replace"
    )
    made = [json.loads(line) for line in lines(folder)]
    last = [record["time"] for record in made if record.get("path") == CSV and "seconds" in record][-2]
    told = f"the export log, as {CSV} of {last}, replaced or removed since"
    assert ak.verify_file(mailed, log=folder).against == told
    with pytest.raises(
        VerificationError, match="changed"
    ):  # under its own name it has to be what is there now
        ak.verify_file(shutil.copy(mailed, folder / CSV))


def test_a_decrypted_copy_is_known_by_its_content(folder: Path, tmp_path: Path) -> None:
    key = ak.make_key(tmp_path / "identity", "encrypt")
    sealed = ak.export_audit_run(
        "run-004", "csv", source=SAMPLES, output_dir=folder, encrypt_to=key.public_text
    )
    beside = ak.decrypt_export(sealed, key.secret)
    elsewhere = ak.decrypt_export(sealed, key.secret, tmp_path / "plain.csv")
    told = f"the export log, as the content of {sealed.path.name}"
    assert ak.verify_file(beside).against == ak.verify_file(elsewhere, log=folder).against == told
    mailed = shutil.copy(sealed, tmp_path / "mailed.age")
    assert ak.verify_file(mailed, log=folder).against == f"the export log, as {sealed.path.name}"
    flip(random.Random(1), elsewhere)
    with pytest.raises(VerificationError, match="in no entry"):
        ak.verify_file(elsewhere, log=folder)


def test_only_what_was_seen_is_known_by_its_content(folder: Path, tmp_path: Path) -> None:
    """A `begin` and a `failed` say what was to be, and not that it ever was."""
    path = tmp_path / "x.csv"
    path.write_bytes(b"x")
    facts = {"path": "x.csv", "bytes": 1, "sha256": hashlib.sha256(b"x").hexdigest()}
    records = [json.loads(line) for line in lines(folder)]
    begun = {**records[0], **facts}
    rewrite(folder, rechained([*records, begun, {**begun, "event": "failed", "begin": len(records) + 1}]))
    with pytest.raises(VerificationError, match="in no entry"):
        ak.verify_file(path, log=folder)


# --- checkpoints ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A key, and the file that says that its owner counts."""
    from auditkit.protect.keys import make_key

    room = tmp_path_factory.mktemp("keys")
    made = make_key(room / "key", "sign")
    allowed = room / "allowed"
    allowed.write_text(f"anna@example.org {made.public_text}\n")
    return room / "key", allowed


def test_a_signed_checkpoint_is_an_anchor(folder: Path, tmp_path: Path, signer: tuple[Path, Path]) -> None:
    key, allowed = signer
    kept = ak.export_checkpoint(folder, tmp_path / "kept", sign=key)
    assert kept.read_text() == f"auditkit export log\n{len(lines(folder))}\n{head(folder)}\n"
    assert ak.verify_exports(folder, kept, allowed_signers=allowed).anchored
    cut_the_end(random.Random(3), folder)
    assert ("log", LOG) in found(folder, anchor=kept, allowed_signers=allowed)


def test_a_checkpoint_beside_the_log_is_expected_there(folder: Path, signer: tuple[Path, Path]) -> None:
    key, allowed = signer
    kept = ak.export_checkpoint(folder, sign=key)
    ak.export_audit_run("run-004", "csv", source=SAMPLES, output_dir=folder)
    assert ak.verify_exports(folder, kept, allowed_signers=allowed).anchored
    assert ak.export_checkpoint(folder, sign=key) == kept  # replaced by a newer one
    assert head(folder) in kept.read_text()


def test_a_checkpoint_counts_only_with_the_signature_of_somebody_trusted(
    folder: Path, tmp_path: Path, signer: tuple[Path, Path]
) -> None:
    from auditkit.protect.keys import make_key

    key, allowed = signer
    kept = ak.export_checkpoint(folder, tmp_path / "kept", sign=key)
    with pytest.raises(InvalidOptionError, match=r"allowed_signers=, --allowed-signers"):
        ak.verify_exports(folder, kept)
    make_key(tmp_path / "other", "sign")
    foreign = ak.export_checkpoint(folder, tmp_path / "foreign", sign=tmp_path / "other")
    for wrong in (foreign, kept):
        if wrong == kept:
            kept.write_text(kept.read_text().replace("auditkit export log\n", "auditkit export log\n1"))
        with pytest.raises(VerificationError) as caught:
            ak.verify_exports(folder, wrong, allowed_signers=allowed)
        assert [problem.kind for problem in caught.value.problems] == ["signature"]
    (tmp_path / "kept.sig").unlink()
    with pytest.raises(VerificationError, match=r"kept\.sig is missing"):
        ak.verify_exports(folder, kept, allowed_signers=allowed)
    kept.write_text("anything")
    with pytest.raises(VerificationError, match="no checkpoint"):
        ak.verify_exports(folder, kept, allowed_signers=allowed)


def test_a_checkpoint_that_cannot_be_written_says_so(
    folder: Path, tmp_path: Path, signer: tuple[Path, Path]
) -> None:
    (tmp_path / "kept").mkdir()
    with pytest.raises(ExportExistsError, match="kept"):
        ak.export_checkpoint(folder, tmp_path / "kept", sign=signer[0])


@pytest.mark.parametrize("name", ["kept", "kept.sig"])
@pytest.mark.parametrize("text", ["", "precious", "link", "fifo"])
def test_a_checkpoint_replaces_nothing_but_a_checkpoint(
    folder: Path, tmp_path: Path, signer: tuple[Path, Path], name: str, text: str
) -> None:
    key, _ = signer
    kept = ak.export_checkpoint(folder, tmp_path / "kept", sign=key)
    before = (kept.read_bytes(), Path(f"{kept}.sig").read_bytes())
    assert ak.export_checkpoint(folder, kept, sign=key) == kept
    (tmp_path / name).rename(tmp_path / "moved")
    if text == "link":
        (tmp_path / name).symlink_to("moved")
    elif text == "fifo":
        os.mkfifo(tmp_path / name)
    else:
        (tmp_path / name).write_text(text)
    ak.export_audit_run("run-004", "csv", source=SAMPLES, output_dir=folder)
    with pytest.raises(ExportExistsError, match="left alone") as caught:
        ak.export_checkpoint(folder, kept, sign=key)
    assert caught.value.filename == str(tmp_path / name)
    assert (tmp_path / "moved").read_bytes() == before[name == "kept.sig"]
    other = tmp_path / ("kept" if name == "kept.sig" else "kept.sig")
    assert other.read_bytes() == before[name == "kept"]


def test_a_key_is_never_taken_for_the_place_of_a_checkpoint(
    folder: Path, tmp_path: Path, signer: tuple[Path, Path]
) -> None:
    key = Path(shutil.copy(signer[0], tmp_path / "key"))
    with pytest.raises(ExportExistsError):
        ak.export_checkpoint(folder, key, sign=key)
    assert key.read_bytes() == signer[0].read_bytes()


@pytest.mark.parametrize("kind", ["fifo", "link", "folder"])
def test_a_signature_that_is_no_file_is_none_and_nothing_waits_for_it(
    folder: Path, tmp_path: Path, signer: tuple[Path, Path], kind: str
) -> None:
    key, allowed = signer
    kept = ak.export_checkpoint(folder, tmp_path / "kept", sign=key)
    (tmp_path / "kept.sig").rename(tmp_path / "moved")
    if kind == "link":
        (tmp_path / "kept.sig").symlink_to("moved")
    elif kind == "fifo":
        os.mkfifo(tmp_path / "kept.sig")
    else:
        (tmp_path / "kept.sig").mkdir()
    with pytest.raises(VerificationError, match=r"kept\.sig is no regular file"):
        ak.verify_exports(folder, kept, allowed_signers=allowed)


def test_there_is_no_checkpoint_of_a_log_that_is_not_there(tmp_path: Path, signer: tuple[Path, Path]) -> None:
    with pytest.raises(FileNotFoundError):
        ak.export_checkpoint(tmp_path, sign=signer[0])
    assert list(tmp_path.iterdir()) == []
