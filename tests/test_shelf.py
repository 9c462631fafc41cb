"""The exports folder: what is counted there, and what may go."""

from __future__ import annotations

import errno
import logging
import os
import time
from pathlib import Path
from typing import Any

import pytest
from children import DAY

import auditkit as ak
from auditkit.errors import InvalidOptionError, VerificationError
from auditkit.shelf import size_in_words

SAMPLES = Path(__file__).parents[1] / "sample_data" / "runs"
DAYS = 86_400
KIB = 1024

OURS = (
    "audit-run-run-001-2024-01-15.csv", "audit-run-run-001-2024-01-15-2.csv", "audit-run-a-2024-01-15.csv.gz",
    "audit-run-a-2024-01-15.json", "audit-results-large-2024-01-15.json", "audit-run-a-2024-01-15.jsonl.zst",
    "audit-run-etc-x~k3nbulxs36stw35t-2024-01-15.parquet",
)  # fmt: skip
NOT_OURS = (
    "export-log.jsonl", "notes.txt", "README", ".auditkit-0123456789abcdef.tmp", ".hidden.csv", "run-001.csv",
    "audit-run-a.csv", "audit-run-a-2024-01-15.csv.bak", "audit-run-a-2024-01-15.csv~",
    "audit-run--2024-01-15.csv", "Audit-run-a-2024-01-15.csv", "audit-run-a b-2024-01-15.csv",
    "copy of audit-run-a-2024-01-15.csv", "audit-run-a-2024-01-15", "audit-run-a-2024-01-15.csv.sha256 ",
    "audit-bag-a-2024-01-15.csv",
)  # fmt: skip


def put(folder: Path, name: str, size: int = 1, days: float = 0) -> Path:
    """A file of that size whose last change is that many days ago."""
    path = folder / name
    path.write_bytes(b"x" * size)
    age(path, days)
    return path


def age(path: Path, days: float) -> None:
    then = time.time() - days * DAYS
    os.utime(path, (then, then), follow_symlinks=False)


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Everything of ours and everything else, all of it a year old."""
    folder = tmp_path / "exports"
    folder.mkdir()
    for name in (*OURS, *NOT_OURS):
        put(folder, name, size=0 if name == "export-log.jsonl" else 1, days=365)
    return folder


# --- counting -------------------------------------------------------------------------------------------


def test_a_folder_that_is_not_there_counts_nothing(tmp_path: Path) -> None:
    stats = ak.get_export_stats(tmp_path / "nowhere")
    assert stats == ak.ExportStats(
        total_files=0, files_by_format={}, total_bytes=0, total_size="0.00 KB", recent_exports=[]
    )
    assert (stats.csv_files, stats.json_files) == (0, 0)
    assert not (tmp_path / "nowhere").exists()


def test_only_files_of_ours_are_counted_by_their_format(shelf: Path) -> None:
    stats = ak.get_export_stats(shelf)
    assert stats.total_files == 7
    assert stats.files_by_format == {"csv": 3, "json": 2, "jsonl": 1, "parquet": 1}
    assert (stats.csv_files, stats.json_files) == (3, 2)
    assert stats.total_bytes == 7
    assert set(stats.recent_exports) <= set(OURS)


def test_links_and_folders_are_not_counted(tmp_path: Path) -> None:
    target = put(tmp_path, "target", size=100)
    folder = tmp_path / "exports"
    folder.mkdir()
    (folder / "audit-run-a-2024-01-15.csv").symlink_to(target)
    (folder / "audit-run-b-2024-01-15.csv").symlink_to(tmp_path / "nowhere")
    (folder / "audit-run-c-2024-01-15.csv").mkdir()
    put(folder / "audit-run-c-2024-01-15.csv", "audit-run-d-2024-01-15.csv")
    assert ak.get_export_stats(folder).total_files == 0


def test_what_was_exported_is_counted(tmp_path: Path) -> None:
    receipts = [
        ak.export_audit_run(run_id, format, source=SAMPLES, output_dir=tmp_path)
        for run_id in ("run-001", "run-002")
        for format in ("csv", "json", "jsonl", "parquet")
    ]
    stats = ak.get_export_stats(tmp_path)
    assert stats.files_by_format == {"csv": 2, "json": 2, "jsonl": 2, "parquet": 2}
    assert stats.total_bytes == sum(receipt.bytes for receipt in receipts)
    assert set(stats.recent_exports) <= {receipt.path.name for receipt in receipts}


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0.00 KB"),
        (1, "0.00 KB"),
        (6, "0.01 KB"),  # 6 / 1024 = 0.0059
        (512, "0.50 KB"),
        (1024, "1.00 KB"),
        (1536, "1.50 KB"),
        (12_636, "12.34 KB"),  # 12636 / 1024 = 12.3398
        (1_048_064, "1023.50 KB"),
        (1_048_576, "1.00 MB"),
        (12_939_428, "12.34 MB"),  # 12.34 * 1024 ** 2 = 12939427.84
        (1_073_741_824, "1.00 GB"),
        (1_610_612_736, "1.50 GB"),
        (1_099_511_627_776, "1.00 TB"),
        (1_125_899_906_842_624, "1024.00 TB"),
    ],
)
def test_a_size_is_told_in_units_of_1024(size: int, words: str) -> None:
    assert size_in_words(size) == words


def test_the_total_size_is_that_of_our_files_in_words(tmp_path: Path) -> None:
    put(tmp_path, "audit-run-a-2024-01-15.csv", size=12_000)
    put(tmp_path, "audit-run-b-2024-01-15.json.gz", size=636)
    put(tmp_path, "notes.txt", size=99_999)
    stats = ak.get_export_stats(tmp_path)
    assert (stats.total_bytes, stats.total_size) == (12_636, "12.34 KB")


def test_the_five_newest_come_newest_first(tmp_path: Path) -> None:
    for days, letter in enumerate("dgbface"):
        put(tmp_path, f"audit-run-{letter}-2024-01-15.csv", days=days)
    put(tmp_path, "notes.txt")
    recent = ak.get_export_stats(tmp_path).recent_exports
    assert recent == [f"audit-run-{letter}-2024-01-15.csv" for letter in "dgbfa"]


def test_files_of_the_same_age_come_by_name(tmp_path: Path) -> None:
    for letter in "fbdcea":
        put(tmp_path, f"audit-run-{letter}-2024-01-15.csv")
        os.utime(tmp_path / f"audit-run-{letter}-2024-01-15.csv", ns=(10**18, 10**18))
    recent = ak.get_export_stats(tmp_path).recent_exports
    assert recent == [f"audit-run-{letter}-2024-01-15.csv" for letter in "abcde"]


def test_a_file_in_place_of_the_folder_is_an_os_error(tmp_path: Path) -> None:
    path = put(tmp_path, "exports")
    for look in (ak.get_export_stats, ak.cleanup_old_exports):
        with pytest.raises(NotADirectoryError) as caught:
            look(path)
        assert caught.value.filename == str(path)


def test_the_folder_is_exports_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "exports").mkdir()
    old = put(tmp_path / "exports", OURS[0], days=31)
    assert ak.get_export_stats().total_files == 1
    assert ak.cleanup_old_exports() == [Path("exports", OURS[0])]
    assert not old.exists()


# --- cleaning -------------------------------------------------------------------------------------------


def test_cleaning_removes_what_is_ours_and_old_and_nothing_else(shelf: Path) -> None:
    removed = ak.cleanup_old_exports(shelf)
    assert removed == [shelf / name for name in sorted(OURS)]
    assert sorted(os.listdir(shelf)) == sorted(NOT_OURS)


def test_a_dry_run_says_the_same_and_removes_nothing(shelf: Path) -> None:
    told = ak.cleanup_old_exports(shelf, dry_run=True)
    assert sorted(os.listdir(shelf)) == sorted((*OURS, *NOT_OURS))
    assert ak.cleanup_old_exports(shelf) == told


def test_age_is_counted_in_days_of_24_hours_from_the_last_change(tmp_path: Path) -> None:
    minute = 1 / 24 / 60
    young = put(tmp_path, "audit-run-young-2024-01-15.csv", days=30 - minute)
    old = put(tmp_path, "audit-run-old-2024-01-15.csv", days=30 + minute)
    assert ak.cleanup_old_exports(tmp_path, days_old=31) == []
    assert ak.cleanup_old_exports(tmp_path) == [old]
    assert ak.cleanup_old_exports(tmp_path, days_old=29.5) == [young]


def test_the_day_in_the_name_does_not_count(tmp_path: Path) -> None:
    put(tmp_path, "audit-run-a-1999-01-15.csv", days=1)
    assert ak.cleanup_old_exports(tmp_path, days_old=2) == []


def test_zero_days_is_everything_that_stands_there(tmp_path: Path) -> None:
    receipt = ak.export_audit_run("run-001", "csv", source=SAMPLES, output_dir=tmp_path)
    age(receipt.path, 1 / DAYS)
    assert ak.cleanup_old_exports(tmp_path, days_old=0) == [receipt.path]


def test_a_link_is_neither_followed_nor_removed(tmp_path: Path) -> None:
    target = put(tmp_path, "audit-run-target-2024-01-15.csv", days=365)
    folder = tmp_path / "exports"
    folder.mkdir()
    names = (
        "audit-run-a-2024-01-15.csv",
        "audit-run-dangling-2024-01-15.csv",
        "audit-run-folder-2024-01-15.csv",
    )
    for name, place in zip(names, (target, tmp_path / "nowhere", tmp_path), strict=True):
        (folder / name).symlink_to(place)
        age(folder / name, 365)
    assert ak.cleanup_old_exports(folder) == []
    assert target.exists()
    assert sorted(os.listdir(folder)) == sorted(names)


def test_no_subfolder_is_entered_or_removed(tmp_path: Path) -> None:
    inner = tmp_path / "audit-run-a-2024-01-15.csv"
    inner.mkdir()
    deep = put(inner, "audit-run-b-2024-01-15.csv", days=365)
    age(inner, 365)
    assert ak.cleanup_old_exports(tmp_path) == []
    assert deep.exists()


def test_a_folder_that_is_not_there_holds_nothing_to_remove(tmp_path: Path) -> None:
    assert ak.cleanup_old_exports(tmp_path / "nowhere") == []


@pytest.mark.parametrize("days", [-1, -0.001, float("nan"), float("inf"), -float("inf")])
def test_an_age_that_is_none_is_refused_before_anything_goes(shelf: Path, days: float) -> None:
    with pytest.raises(InvalidOptionError, match="days_old"):
        ak.cleanup_old_exports(shelf, days_old=days)
    assert len(os.listdir(shelf)) == len(OURS) + len(NOT_OURS)


def test_what_is_removed_is_logged_and_a_dry_run_is_not(
    shelf: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "auditkit"):
        ak.cleanup_old_exports(shelf, dry_run=True)
        assert caplog.records == []
        removed = ak.cleanup_old_exports(shelf)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == len(removed)
    assert all(str(path) in message for path, message in zip(removed, messages, strict=True))


def test_a_file_that_somebody_else_removes_meanwhile_does_not_stop_the_cleaning(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = os.unlink

    def overtaken(name: str, *, dir_fd: int) -> None:
        monkeypatch.setattr(os, "unlink", unlink)
        unlink(name, dir_fd=dir_fd)
        unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", overtaken)
    ak.cleanup_old_exports(shelf)
    assert sorted(os.listdir(shelf)) == sorted(NOT_OURS)


def test_an_export_after_cleaning_takes_the_first_name_again(tmp_path: Path) -> None:
    receipt = ak.export_audit_run("run-001", "csv", source=SAMPLES, output_dir=tmp_path)
    age(receipt.path, 40)
    ak.cleanup_old_exports(tmp_path)
    again = ak.export_audit_run("run-001", "csv", source=SAMPLES, output_dir=tmp_path)
    assert (again.path.name, again.reused) == (f"audit-run-run-001-{DAY}.csv", False)


# --- the log, holds, and folders that change underneath ---------------------------------------------------


def events(folder: Path) -> list[tuple[str, str]]:
    log = ak.read_export_log(folder)
    return list(zip(log.event, log.path, strict=True))


@pytest.fixture
def aged(tmp_path: Path) -> ak.ExportReceipt:
    """An export with its checksum, both forty days old."""
    receipt = ak.export_audit_run("run-001", "csv", source=SAMPLES, output_dir=tmp_path / "e", checksum=True)
    for name in os.listdir(tmp_path / "e"):
        age(tmp_path / "e" / name, 40)
    return receipt


def test_what_is_removed_stands_in_the_log_with_its_hash(aged: ak.ExportReceipt) -> None:
    folder, name = aged.path.parent, aged.path.name
    assert ak.cleanup_old_exports(folder) == [aged.path, folder / f"{name}.sha256"]
    assert os.listdir(folder) == ["export-log.jsonl"]
    assert events(folder)[-2:] == [("removed", name), ("removed", f"{name}.sha256")]
    assert ak.read_export_log(folder).sha256.iloc[-2] == aged.sha256
    assert ak.verify_exports(folder, aged).files == 0


def test_a_dry_run_and_a_cleaning_of_nothing_leave_the_log_alone(
    aged: ak.ExportReceipt, tmp_path: Path
) -> None:
    told = (aged.path.parent / "export-log.jsonl").read_bytes()
    assert len(ak.cleanup_old_exports(aged.path.parent, dry_run=True)) == 2
    assert ak.cleanup_old_exports(aged.path.parent, days_old=50) == []
    assert (aged.path.parent / "export-log.jsonl").read_bytes() == told
    (tmp_path / "empty").mkdir()
    assert ak.cleanup_old_exports(tmp_path / "empty") == []
    assert os.listdir(tmp_path / "empty") == []


def test_what_is_held_stays_until_it_is_released(aged: ak.ExportReceipt) -> None:
    folder = aged.path.parent
    head = ak.hold_export(aged, reason="case 17")
    assert head == ak.verify_exports(folder).log_head
    assert ak.cleanup_old_exports(folder) == ak.cleanup_old_exports(folder, dry_run=True) == []
    assert aged.path.exists()
    ak.hold_export(aged, release=True)
    assert len(ak.cleanup_old_exports(folder)) == 2
    assert [event for event, _ in events(folder)][-4:] == ["held", "released", "removed", "removed"]


def test_what_is_not_there_cannot_be_held(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ak.hold_export(tmp_path / "nowhere.csv")
    assert os.listdir(tmp_path) == []


def test_without_a_log_nothing_can_be_held_and_none_is_made(tmp_path: Path) -> None:
    log = tmp_path / "all.jsonl"
    receipt = ak.export_audit_run("run-001", "csv", source=SAMPLES, output_dir=tmp_path / "e", log=log)
    for release in (False, True):
        with pytest.raises(FileNotFoundError, match="no export log") as caught:
            ak.hold_export(receipt, release=release)
        assert caught.value.filename == str(tmp_path / "e" / "export-log.jsonl")
    with pytest.raises(FileNotFoundError, match="no export log"):
        ak.hold_export(receipt, log=tmp_path / "other.jsonl")
    assert os.listdir(tmp_path / "e") == [receipt.path.name]
    assert sorted(os.listdir(tmp_path)) == ["all.jsonl", "e"]


@pytest.mark.parametrize("what", ["notes", "link", "folder", "removed", "took its place", "in a bag"])
def test_only_what_the_log_says_stands_there_can_be_held(
    aged: ak.ExportReceipt, tmp_path: Path, what: str
) -> None:
    folder = aged.path.parent
    place = folder / "audit-run-other-2024-01-15.csv"
    if what == "notes":
        place = put(folder, "notes.txt")
    elif what == "link":
        place.symlink_to(aged.path.name)
    elif what == "folder":
        place.mkdir()
    elif what == "removed":
        ak.cleanup_old_exports(folder)
        place = put(folder, aged.path.name)
    elif what == "took its place":
        place = aged.path
        place.rename(tmp_path / "moved")
        place.symlink_to(tmp_path / "moved")
    else:
        bag = ak.export_evidence("run-001", folder / "case-17", "csv", source=SAMPLES)
        place = bag.path / "data" / bag.files[0]
        with pytest.raises(InvalidOptionError, match="cannot be held"):
            ak.hold_export(place, log=folder)
        assert ak.hold_export(bag.path) == ak.verify_exports(folder).log_head  # the bag as a whole can be
    told = (folder / "export-log.jsonl").read_bytes()
    with pytest.raises((InvalidOptionError, FileNotFoundError), match=r"cannot be held|no export log"):
        ak.hold_export(place)
    assert (folder / "export-log.jsonl").read_bytes() == told


def test_a_hold_on_a_checksum_keeps_it_and_one_on_its_file_keeps_both(aged: ak.ExportReceipt) -> None:
    folder, beside = aged.path.parent, Path(f"{aged.path}.sha256")
    ak.hold_export(aged)
    assert ak.cleanup_old_exports(folder) == []
    ak.hold_export(beside)
    ak.hold_export(aged, release=True)
    assert ak.cleanup_old_exports(folder, dry_run=True) == ak.cleanup_old_exports(folder) == [aged.path]
    assert beside.exists()


@pytest.mark.parametrize("kind", ["link", "folder", "fifo"])
def test_a_checksum_that_is_no_file_is_neither_removed_nor_logged(
    aged: ak.ExportReceipt, tmp_path: Path, kind: str
) -> None:
    folder, beside = aged.path.parent, Path(f"{aged.path}.sha256")
    beside.unlink()
    if kind == "link":
        beside.symlink_to(put(tmp_path, "precious"))
    elif kind == "folder":
        beside.mkdir()
    else:
        os.mkfifo(beside)
    assert ak.cleanup_old_exports(folder, dry_run=True) == ak.cleanup_old_exports(folder) == [aged.path]
    assert os.path.lexists(beside)
    assert events(folder)[-1] == ("removed", aged.path.name)


def test_a_hold_in_a_log_that_stands_elsewhere_is_heeded(tmp_path: Path) -> None:
    log = tmp_path / "all.jsonl"
    receipt = ak.export_audit_run("run-001", "csv", source=SAMPLES, output_dir=tmp_path / "e", log=log)
    age(receipt.path, 40)
    ak.hold_export(receipt, log=log)
    assert ak.cleanup_old_exports(tmp_path / "e", log=log) == []
    assert ak.cleanup_old_exports(tmp_path / "e") == [receipt.path]  # a log that nobody named holds nothing


@pytest.mark.parametrize("damage", ["altered", "deleted", "swapped", "the name altered"])
def test_a_log_that_is_damaged_may_hold_anything_and_nothing_is_removed(
    aged: ak.ExportReceipt, damage: str
) -> None:
    folder, log = aged.path.parent, aged.path.parent / "export-log.jsonl"
    ak.hold_export(aged)
    ak.export_audit_run("run-003", "csv", source=SAMPLES, output_dir=folder)
    lines = log.read_bytes().splitlines(keepends=True)
    assert b'"held"' in lines[4]
    if damage == "altered":
        lines[4] = lines[4].replace(b'"held"', b'"hold"')
    elif damage == "the name altered":
        lines[4] = lines[4].replace(b"run-001", b"run-007")
    elif damage == "swapped":
        lines[4], lines[5] = lines[5], lines[4]
    else:
        del lines[4]
    log.write_bytes(b"".join(lines))
    for dry_run in (True, False):
        with pytest.raises(VerificationError, match=r"is damaged: line .*nothing was removed") as caught:
            ak.cleanup_old_exports(folder, dry_run=dry_run)
        assert {problem.kind for problem in caught.value.problems} == {"log"}
        assert str(log) in str(caught.value)
    assert aged.path.exists()
    assert log.read_bytes() == b"".join(lines)
    assert ak.cleanup_old_exports(folder, days_old=50) == []  # where nothing is old, nothing is asked


@pytest.mark.parametrize("text", [b"", b"x", b"x\n", b"{}\n", b"\xff\n\n"])
def test_a_file_of_its_name_that_is_no_log_holds_nothing(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "export-log.jsonl").write_bytes(text)
    old = put(tmp_path, OURS[0], days=31)
    assert ak.cleanup_old_exports(tmp_path, dry_run=True) == [old]
    assert ak.cleanup_old_exports(tmp_path) == [old]


def test_half_a_line_that_a_power_cut_left_is_no_damage(aged: ak.ExportReceipt) -> None:
    with (aged.path.parent / "export-log.jsonl").open("ab") as log:
        log.write(b'{"actor":"an')
    told = ak.cleanup_old_exports(aged.path.parent, dry_run=True)
    assert ak.cleanup_old_exports(aged.path.parent) == told != []


def test_a_file_that_cannot_be_removed_is_said_to_be_still_there(
    aged: ak.ExportReceipt, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = os.unlink

    def refused(name: Any, **options: Any) -> None:
        if str(name).endswith(".csv"):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), name)
        unlink(name, **options)

    monkeypatch.setattr(os, "unlink", refused)
    with pytest.raises(PermissionError) as caught:
        ak.cleanup_old_exports(aged.path.parent)
    assert caught.value.filename == str(aged.path)
    assert [event for event, _ in events(aged.path.parent)][-3:] == ["removed", "removed", "recovered"]
    assert ak.verify_exports(aged.path.parent).files == 1


def test_a_file_that_was_in_no_log_and_cannot_be_removed_fails_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, OURS[0], days=365)

    def refused(name: Any, **options: Any) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), name)

    monkeypatch.setattr(os, "unlink", refused)
    with pytest.raises(PermissionError):
        ak.cleanup_old_exports(tmp_path)
    assert events(tmp_path) == [("removed", OURS[0]), ("failed", OURS[0])]


def test_a_folder_that_is_swapped_while_it_is_cleaned_loses_nothing(
    aged: ak.ExportReceipt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between listing and removing, the folder becomes a link to one with precious files of that name."""
    folder = aged.path.parent
    precious = tmp_path / "precious"
    precious.mkdir()
    put(precious, aged.path.name, days=365)
    listdir = os.listdir

    def swapped(place: Any) -> list[str]:
        names = listdir(place)
        if folder.is_dir() and not folder.is_symlink():
            folder.rename(tmp_path / "moved")
            folder.symlink_to(precious)
        return names

    monkeypatch.setattr(os, "listdir", swapped)
    with pytest.raises(OSError, match="replaced while it was cleaned"):
        ak.cleanup_old_exports(folder)
    monkeypatch.undo()
    assert (precious / aged.path.name).exists()
    assert (tmp_path / "moved" / aged.path.name).exists()


def test_a_link_that_is_swapped_in_is_removed_and_not_what_it_leads_to(
    aged: ak.ExportReceipt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    precious = put(tmp_path, "precious", size=100)
    unlink = os.unlink

    def swapped(name: Any, **options: Any) -> None:
        if str(name) == aged.path.name:
            aged.path.rename(tmp_path / "moved")
            aged.path.symlink_to(precious)
        unlink(name, **options)

    monkeypatch.setattr(os, "unlink", swapped)
    ak.cleanup_old_exports(aged.path.parent)
    assert precious.stat().st_size == 100
    assert not aged.path.is_symlink()
