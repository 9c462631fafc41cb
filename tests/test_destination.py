"""Where exports go and under which cover: permissions, checksums, logs, warnings."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import warnings
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from records import LOG, a_result, a_run, dumped, exported, hidden_document, saved
from tools import require

import auditkit as ak
from auditkit import errors

SAMPLES = Path(__file__).parents[1] / "sample_data" / "runs"
CSV = "audit-run-run-001-2024-01-15.csv"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "exports"


def export(out: Path, format: str = "csv", run_id: str = "run-001", **options: Any) -> ak.ExportReceipt:
    return ak.export_audit_run(run_id, format, source=SAMPLES, output_dir=out, **options)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


# --- who may read ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
@pytest.mark.parametrize(("group", "file", "room"), [(False, 0o600, 0o700), (True, 0o640, 0o750)])
def test_files_and_the_folder_that_is_made_are_for_their_owner_or_the_group(
    out: Path, umask: int, group: bool, file: int, room: int
) -> None:
    old = os.umask(umask)
    try:
        export(out, group_readable=group, checksum=True)
    finally:
        os.umask(old)
    found = modes(out)
    assert {found[CSV], found[f"{CSV}.sha256"]} == {file}
    assert found[LOG] == file & ~umask
    assert stat.S_IMODE(out.stat().st_mode) == room & ~umask


def test_a_folder_that_everybody_may_write_to_is_warned_about(out: Path) -> None:
    out.mkdir()
    out.chmod(0o777)
    with pytest.warns(UserWarning, match="Everybody on this machine may write to") as caught:
        export(out)
    assert caught[0].filename == __file__ or "test_destination" in caught[0].filename
    out.chmod(0o770)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export(out, "json")


# --- checksums ------------------------------------------------------------------------------------------


def test_a_checksum_is_what_sha256sum_writes_and_checks(out: Path) -> None:
    receipt = export(out, checksum=True)
    beside = out / f"{CSV}.sha256"
    told = subprocess.run([require("sha256sum"), CSV], cwd=out, capture_output=True, text=True, check=True)
    assert beside.read_text() == told.stdout
    assert beside.read_text() == f"{receipt.sha256}  {CSV}\n"
    assert subprocess.run(
        ["sha256sum", "--check", "--strict", beside.name], cwd=out, capture_output=True, text=True, check=True
    ).stdout == (f"{CSV}: OK\n")
    assert ak.verify_exports(out, receipt).files == 2


def test_a_checksum_follows_the_version_and_the_replacement_of_its_file(out: Path) -> None:
    export(out, checksum=True)
    second = export(out, checksum=True, include_metadata=False)
    assert (out / f"{second.path.name}.sha256").read_text() == f"{second.sha256}  {second.path.name}\n"
    replaced = export(out, checksum=True, include_metadata=False, if_exists="replace")
    assert replaced.path.name == CSV
    assert (out / f"{CSV}.sha256").read_text() == f"{replaced.sha256}  {CSV}\n"
    ak.verify_exports(out)


def test_every_file_of_a_batch_has_its_checksum_and_a_failure_has_none(tmp_path: Path, out: Path) -> None:
    source = tmp_path / "runs"
    source.mkdir()
    for run_id in ("a", "b", "c"):
        run = a_run([a_result(0, aiScore=5 if run_id != "b" else "five")], id=run_id)
        saved(source / f"{run_id}.json", dumped(run))
    batch = ak.export_multiple_runs(
        ["a", "b", "c"], "csv", source=source, output_dir=out, checksum=True, on_error="collect"
    )
    assert [failure.run_id for failure in batch.failures] == ["b"]
    names = [receipt.path.name for receipt in batch.receipts]
    assert sorted(exported(out)) == sorted([*names, *(f"{name}.sha256" for name in names)])
    assert batch.receipts[-1].log_head == ak.verify_exports(out).log_head


def test_an_export_that_starts_again_writes_its_checksum_once(tmp_path: Path, out: Path) -> None:
    run = a_run(400, totalSubmissions=400)
    source = saved(tmp_path / "run.json", hidden_document(run, '"status": "failed", "reviewer": "second"'))
    ak.export_audit_run(run["id"], "csv", source=source, output_dir=out, checksum=True)
    events = [json.loads(line)["event"] for line in (out / LOG).read_bytes().splitlines()]
    assert events == ["begin", "commit", "begin", "commit"]


def test_a_selection_has_its_checksum_too(out: Path) -> None:
    results = ak.load_results("run-001", source=SAMPLES)[:3]
    receipt = ak.export_results(results, "csv", name="three", source=SAMPLES, output_dir=out, checksum=True)
    beside = out / f"{receipt.path.name}.sha256"
    assert beside.read_text() == f"{receipt.sha256}  {receipt.path.name}\n"


def test_a_checksum_that_cannot_be_written_fails_the_export_in_words(out: Path) -> None:
    out.mkdir()
    (out / f"{CSV}.sha256").mkdir()
    with pytest.raises(errors.ExportExistsError, match="sha256"):
        export(out, checksum=True)
    with pytest.raises(errors.BatchError, match="sha256"):
        ak.export_multiple_runs(["run-001"], "csv", source=SAMPLES, output_dir=out, checksum=True)


def test_a_checksum_of_a_selection_that_cannot_be_written_fails_it(out: Path) -> None:
    results = ak.load_results("run-001", source=SAMPLES)[:3]
    out.mkdir()
    (out / "audit-results-three-2024-01-15.csv.sha256").mkdir()
    with pytest.raises(errors.ExportExistsError):
        ak.export_results(results, "csv", name="three", source=SAMPLES, output_dir=out, checksum=True)


FOREIGN = {
    "notes": "remember to pay\n",
    "of another file": f"{'0' * 64}  other.csv\n",
    "of several": f"{'0' * 64}  {CSV}\n{'0' * 64}  other.csv\n",
    "bare": "0" * 64,
    "empty": "",
    "huge": f"{'0' * 64}  {CSV}\n" + "x" * (1 << 20),
}


@pytest.mark.parametrize("text", FOREIGN.values(), ids=FOREIGN)
def test_a_file_that_is_no_checksum_of_this_file_is_never_overwritten(out: Path, text: str) -> None:
    out.mkdir()
    beside = saved(out / f"{CSV}.sha256", text)
    with pytest.raises(errors.ExportExistsError, match="no checksum") as caught:
        export(out, checksum=True)
    assert caught.value.filename == str(beside)
    assert beside.read_text() == text
    replaced = export(out, include_metadata=False, if_exists="replace")
    assert replaced.path.name == CSV
    assert beside.read_text() == text


@pytest.mark.parametrize("kind", ["link", "dangling link", "fifo", "device"])
def test_what_is_no_regular_file_is_no_checksum_and_nothing_waits_for_it(
    tmp_path: Path, out: Path, kind: str
) -> None:
    out.mkdir()
    beside = out / f"{CSV}.sha256"
    elsewhere = saved(tmp_path / "elsewhere", f"{'0' * 64}  {CSV}\n")
    if kind == "fifo":
        os.mkfifo(beside)
    else:
        beside.symlink_to({"link": elsewhere, "device": "/dev/zero"}.get(kind, "nowhere"))
    with pytest.raises(errors.ExportExistsError, match="no checksum"):
        export(out, checksum=True)
    assert elsewhere.read_text().startswith("000")
    assert os.path.lexists(beside)
    assert not beside.is_file() or beside.is_symlink()


def test_a_checksum_that_sha256sum_wrote_is_replaced(out: Path) -> None:
    receipt = export(out, include_metadata=False)
    told = subprocess.run(
        [require("sha256sum"), "--binary", CSV], cwd=out, capture_output=True, text=True, check=True
    )
    beside = saved(out / f"{CSV}.sha256", told.stdout)
    assert f" *{CSV}" in told.stdout
    replaced = export(out, if_exists="replace", checksum=True)
    assert replaced.sha256 != receipt.sha256
    assert beside.read_text() == f"{replaced.sha256}  {CSV}\n"


def test_a_checksum_is_never_left_behind_by_the_replacement_of_its_file(out: Path) -> None:
    export(out, checksum=True)
    replaced = export(out, include_metadata=False, if_exists="replace")
    check = ["sha256sum", "--check", "--strict", f"{CSV}.sha256"]
    assert subprocess.run(check, cwd=out, capture_output=True, check=False).returncode == 0
    assert ak.verify_exports(out, replaced).files == 2
    assert replaced.log_head == ak.verify_exports(out).log_head
    kept = (out / LOG).read_bytes()
    assert export(out, include_metadata=False, if_exists="replace").reused
    assert len((out / LOG).read_bytes().splitlines()) == len(kept.splitlines()) + 2  # no second checksum


# --- holds ----------------------------------------------------------------------------------------------


def test_what_is_held_is_not_replaced_until_it_is_released(out: Path) -> None:
    receipt = export(out)
    ak.hold_export(receipt)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    change: dict[str, Any] = {"include_metadata": False, "if_exists": "replace"}
    with pytest.raises(errors.ExportExistsError, match=r"is held.*release it first") as caught:
        export(out, **change)
    assert caught.value.filename == str(receipt.path)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert export(out, include_metadata=False).path.name != CSV  # a version of its own is no replacement
    assert export(out, "json", if_exists="replace").path.exists()
    ak.hold_export(receipt, release=True)
    assert export(out, **change).path == receipt.path


def test_a_hold_on_a_checksum_keeps_its_file_from_being_replaced(out: Path) -> None:
    export(out, checksum=True)
    ak.hold_export(out / f"{CSV}.sha256")
    with pytest.raises(errors.ExportExistsError, match="is held"):
        export(out, include_metadata=False, if_exists="replace")


def test_of_a_batch_only_what_is_held_is_not_replaced(out: Path) -> None:
    to: dict[str, Any] = {"source": SAMPLES, "output_dir": out}
    first, second = ak.export_multiple_runs(["run-001", "run-003"], "csv", **to).receipts
    ak.hold_export(first)
    held, free = first.path.read_bytes(), second.path.read_bytes()
    batch = ak.export_multiple_runs(
        ["run-001", "run-003"], "csv", **to, if_exists="replace", include_metadata=False, on_error="collect"
    )
    assert [failure.run_id for failure in batch.failures] == ["run-001"]
    assert "is held" in str(batch.failures[0].error)
    assert first.path.read_bytes() == held
    assert second.path.read_bytes() != free


def test_a_selection_that_is_held_is_not_replaced_wherever_the_log_stands(tmp_path: Path, out: Path) -> None:
    log = tmp_path / "all.jsonl"
    results = ak.load_results("run-001", source=SAMPLES)
    to: dict[str, Any] = {"source": SAMPLES, "output_dir": out, "log": log, "name": "some"}
    receipt = ak.export_results(results[:3], "csv", **to)
    ak.hold_export(receipt, log=log)
    with pytest.raises(errors.ExportExistsError, match="is held"):
        ak.export_results(results[:2], "csv", **to, if_exists="replace")
    assert hashlib.sha256(receipt.path.read_bytes()).hexdigest() == receipt.sha256


def test_nothing_is_replaced_while_a_damaged_log_may_hold_it(out: Path) -> None:
    receipt = export(out)
    ak.hold_export(receipt)
    export(out, "json")
    lines = (out / LOG).read_bytes().splitlines(keepends=True)
    saved(out / LOG, b"".join(lines[:2] + lines[3:]))
    with pytest.raises(errors.VerificationError, match=r"is damaged.*not replaced"):
        export(out, include_metadata=False, if_exists="replace")
    assert hashlib.sha256(receipt.path.read_bytes()).hexdigest() == receipt.sha256
    export(out, "jsonl", if_exists="replace")  # there is nothing to be replaced


def test_a_log_of_somebody_else_holds_nothing(out: Path) -> None:
    export(out, log=Heard())
    replaced = export(out, log=Heard(), include_metadata=False, if_exists="replace")
    assert replaced.path.name == CSV


# --- the log --------------------------------------------------------------------------------------------


class Heard:
    """A log of somebody else's: it meets the protocol, and writes down what it hears."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    @contextmanager
    def publishing(self, staged: Any) -> Any:
        from auditkit.publish import Begun

        self.told.append([(one.draft.name, dict(one.draft.about())) for one in staged])

        def commit(outcomes: Any) -> str:
            self.told.append([outcome.path.name for outcome in outcomes])
            return "its head"

        yield Begun(head=None, commit=commit)


def test_another_log_may_be_given(out: Path) -> None:
    log = Heard()
    receipt = export(out, log=log)
    about = {
        "format": "csv",
        "run_ids": ["run-001"],
        "rows": "8 of 8",
        "source": str(SAMPLES),
    }
    assert log.told == [[(CSV, about)], [CSV]]
    assert receipt.log_head == "its head"
    assert os.listdir(out) == [CSV]


@pytest.mark.parametrize("log", [7, object(), [], 1.5])
def test_what_is_no_log_is_refused_before_anything_is_written(out: Path, log: Any) -> None:
    with pytest.raises(errors.InvalidOptionError, match="neither a path nor an export log"):
        export(out, log=log)
    assert not out.exists()


def test_the_log_says_which_rows_and_how_they_were_chosen(out: Path) -> None:
    results = ak.load_results(source=SAMPLES)
    to: dict[str, Any] = {"source": SAMPLES, "output_dir": out, "formula_guard": False}
    asked = ak.Filter(deviation=(40, None), deviation_type="critical")
    ak.export_results(results, "csv", name="large", filter=asked, **to)
    ak.export_results(results[:5], "csv", name="first", **to)
    log = ak.read_export_log(out)
    large, first = log[log.event == "commit"].itertuples()
    assert large.filter == {"deviation": [40, None], "deviation_type": ["critical"]}
    assert large.rows.endswith(" of 1580")
    assert (first.filter, first.rows) == ("rows chosen by run_id and position", "5 of 8")
    assert (large.options, first.options) == ({"formula_guard": False}, {"formula_guard": False})


def test_a_run_at_hand_has_no_source_to_be_named(out: Path) -> None:
    run = ak.load_run("run-001", source=SAMPLES)
    ak.export_audit_run(run, "csv", output_dir=out)
    (begin, commit) = map(json.loads, (out / LOG).read_bytes().splitlines())
    assert "source" not in begin | commit


# --- encryption -----------------------------------------------------------------------------------------


@pytest.fixture
def reader(tmp_path: Path) -> tuple[Path, str]:
    """A secret key of age and its recipient."""
    from pyrage import x25519

    identity = x25519.Identity.generate()
    path = tmp_path / "identity"
    path.write_text(f"{identity}\n")
    path.chmod(0o600)
    return path, str(identity.to_public())


@pytest.mark.parametrize("format", ["csv", "json", "jsonl", "parquet", "xlsx"])
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_an_encrypted_file_is_the_plain_one_to_its_reader_alone(
    out: Path, reader: tuple[Path, str], format: str, compression: Any
) -> None:
    if format == "xlsx" and compression:
        return
    plain = export(out, format, compression=compression)
    sealed = export(out, format, compression=compression, encrypt_to=reader[1])
    assert sealed.path.name == f"{plain.path.name}.age"
    data = sealed.path.read_bytes()
    assert data.startswith(b"age-encryption.org/v1\n")
    assert b"sub-001" not in data
    assert sealed.plain_sha256 == plain.sha256 != sealed.sha256
    assert sealed.sha256 == hashlib.sha256(data).hexdigest()
    opened = subprocess.run(
        [require("age"), "--decrypt", "--identity", reader[0], sealed.path], capture_output=True, check=True
    )
    assert opened.stdout == plain.path.read_bytes()
    last = json.loads((out / LOG).read_bytes().splitlines()[-1])
    assert (last["sha256"], last["plain_sha256"]) == (sealed.sha256, plain.sha256)
    assert last["options"]["encrypt_to"] == [reader[1]]
    assert ak.get_export_stats(out).files_by_format == {format: 2}
    ak.verify_exports(out, sealed)


def test_a_failing_export_that_would_be_encrypted_leaves_nothing(
    tmp_path: Path, out: Path, reader: tuple[Path, str]
) -> None:
    broken = a_run([*(a_result(row) for row in range(300)), a_result(300, aiScore="five")])
    source = saved(tmp_path / "run.json", dumped(broken))
    with pytest.raises(errors.InvalidRunError):
        ak.export_audit_run(broken["id"], "csv", source=source, output_dir=out, encrypt_to=reader[1])
    assert exported(out) == {}


def test_a_wrong_recipient_is_refused_before_anything_is_written(out: Path) -> None:
    for wrong in ("age1abc", "", [], "no-such-file"):
        with pytest.raises(errors.InvalidOptionError):
            export(out, encrypt_to=wrong)
    assert not out.exists()


def test_an_encrypted_file_in_a_folder_of_runs_is_left_alone(out: Path, reader: tuple[Path, str]) -> None:
    export(out, "json")
    export(out, "csv", "run-003", encrypt_to=reader[1])
    assert ak.list_available_runs(source=out) == ["run-001"]


# --- pseudonyms -----------------------------------------------------------------------------------------


@pytest.fixture
def pseudonymizer(tmp_path: Path) -> ak.Pseudonymizer:
    return ak.Pseudonymizer(ak.make_key(tmp_path / "pseudonyms.key", "pseudonyms").secret)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Two runs: the notes of one name a user of the other; and one that is broken in its last row."""
    folder = tmp_path / "runs-of-reviewer-7"
    folder.mkdir()
    first = [a_result(0, userId="user-anna", notes="as user-bert said"), a_result(1, userId="user-anna")]
    second = [a_result(0, userId="user-bert", reviewer="reviewer-7", notes="=user-bert")]
    broken = [a_result(0, userId="user-carl"), a_result(1, aiScore="five")]
    for run_id, rows in (("anna", first), ("of-user-bert", second), ("broken", broken)):
        saved(folder / f"{run_id}.json", dumped(a_run(rows, id=run_id, reviewer="reviewer-7")))
    return folder


def everything_in(folder: Path) -> bytes:
    """All names and bytes of a folder, those inside of workbooks too."""
    told = [path.name.encode() + b"\n" + path.read_bytes() for path in sorted(folder.rglob("*"))]
    for path in folder.rglob("*.xlsx"):
        with zipfile.ZipFile(path) as archive:
            told += [archive.read(name) for name in archive.namelist()]
    return b"\n".join(told)


@pytest.mark.parametrize("format", ["csv", "json", "jsonl", "parquet", "xlsx"])
def test_neither_a_file_nor_its_name_nor_the_log_says_who(
    people: Path, out: Path, pseudonymizer: ak.Pseudonymizer, format: str
) -> None:
    batch = ak.export_multiple_runs(
        ["anna", "of-user-bert", "broken"],
        format,
        source=people,
        output_dir=out,
        pseudonymizer=pseudonymizer,
        checksum=True,
        on_error="collect",
    )
    assert [failure.run_id for failure in batch.failures] == ["broken"]
    assert [len(receipt.run_ids) for receipt in batch.receipts] == [1, 1]
    bert = pseudonymizer.of("user-bert")
    assert batch.receipts[1].run_ids == (f"of-{bert}",)
    assert batch.receipts[1].path.name.startswith(f"audit-run-of-{bert}-2024-01-15.")
    told = everything_in(out)
    for name in (b"user-anna", b"user-bert", b"reviewer-7", b"sub-"):
        assert name not in told, name
    assert ak.verify_exports(out).files == 4
    if format == "json":
        assert bert in ak.load_results(source=batch.receipts[0]).notes[0]


def test_of_a_filter_the_log_and_the_receipt_keep_the_names_of_its_fields(
    people: Path, out: Path, pseudonymizer: ak.Pseudonymizer
) -> None:
    results = ak.load_results(["anna", "of-user-bert"], source=people)
    asked = ak.Filter(user_id="user-bert", deviation=(0, None))
    to: dict[str, Any] = {"source": people, "output_dir": out, "pseudonymizer": pseudonymizer}
    whole = ak.export_results(results, "csv", name="of user-bert", filter=asked, **to)
    part = ak.export_results(results[:1], "csv", name="one", filter=asked, **to)
    assert whole.filter == "Filter of deviation, user_id"
    assert part.filter == "rows chosen by run_id and position, of them Filter of deviation, user_id"
    log = ak.read_export_log(out)
    assert log[log.event == "commit"]["filter"].to_list() == [whole.filter, part.filter]
    assert b"user-bert" not in everything_in(out)
    assert (whole.rows, part.rows) == (1, 0)


def test_a_header_that_comes_late_is_under_cover_too(
    tmp_path: Path, out: Path, pseudonymizer: ak.Pseudonymizer
) -> None:
    run = a_run([a_result(0, userId="user-anna")], reviewer="reviewer-7")
    late = {name: value for name, value in run.items() if name != "reviewer"} | {"reviewer": "reviewer-7"}
    source = saved(tmp_path / "run.json", json.dumps({"results": run["results"]} | late).encode())
    receipt = ak.export_audit_run(
        run["id"], "json", source=source, output_dir=out, pseudonymizer=pseudonymizer
    )
    assert ak.load_run(run["id"], source=receipt).reviewer == pseudonymizer.of("reviewer-7")
    assert b"reviewer-7" not in everything_in(out)


def test_what_is_no_pseudonymizer_is_refused(out: Path) -> None:
    with pytest.raises(errors.InvalidOptionError, match=r"ak\.Pseudonymizer"):
        export(out, pseudonymizer="key")
    assert not out.exists()
