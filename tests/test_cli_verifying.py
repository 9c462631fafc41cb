"""`auditkit verify`, `checkpoint`, `hold`, `decrypt`, and the options that put exports under cover."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from children import DAY, auditkit_calls, python
from records import LOG, exported

import auditkit as ak
from auditkit.protect.keys import make_key

SAMPLES = Path(__file__).parents[1] / "sample_data" / "runs"
CSV = f"audit-run-run-001-{DAY}.csv"
DONE, FAILED, WRONG_USAGE = 0, 1, 2


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with exports, keys of every kind, and who may sign."""
    room = tmp_path_factory.mktemp("room")
    ak.export_audit_run("run-001", "csv", source=SAMPLES, output_dir=room / "exports", checksum=True)
    signing = make_key(room / "key", "sign")
    make_key(room / "identity", "encrypt")
    make_key(room / "pseudonyms", "pseudonyms")
    (room / "signers").write_text(f"anna@example.org {signing.public_text}\n")
    return room


@pytest.fixture
def place(room: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(room, tmp_path / "room"))


def calls(place: Path, *lines: str) -> list[Any]:
    done = auditkit_calls(*(line.split() for line in lines), cwd=place, source=SAMPLES)
    for call in done:
        assert "Traceback" not in call.stderr
    return done


def test_a_sound_folder_is_verified_with_its_head_to_be_kept(place: Path) -> None:
    head = hashlib.sha256((place / "exports" / LOG).read_bytes().splitlines(keepends=True)[-1]).hexdigest()
    plain, anchored, as_json = calls(
        place, "verify", f"verify exports --anchor {head}", "verify exports --json"
    )
    assert (plain.returncode, plain.stderr) == (DONE, "")
    assert plain.stdout.splitlines()[:2] == [
        "exports: 2 files as exported; the log is whole, 4 entries.",
        f"Head of the log: {head}",
    ]
    assert "Keep this head elsewhere" in plain.stdout
    assert "It has the anchor among its lines." in anchored.stdout
    told = json.loads(as_json.stdout)
    assert told["verified"] is True
    assert (told["report"]["files"], told["report"]["log_head"]) == (2, head)


def test_everything_that_is_wrong_is_told_line_by_line(place: Path) -> None:
    (place / "exports" / CSV).write_bytes(b"x")
    (place / "exports" / "more.csv").write_bytes(b"x")
    plain, as_json, anchored = calls(place, "verify", "verify --json", f"verify exports --anchor {'0' * 63}1")
    assert (plain.returncode, plain.stdout) == (FAILED, "")
    assert plain.stderr.splitlines() == [
        f"Error: {CSV}: changed: has 1 bytes instead of 2,155",
        "Error: more.csv: unexpected: is not in the log",
        "exports is not as it was: see above.",
    ]
    told = json.loads(as_json.stdout)
    assert told["verified"] is False
    assert [problem["kind"] for problem in told["problems"]] == ["changed", "unexpected"]
    assert as_json.returncode == anchored.returncode == FAILED
    assert "was cut off, or written anew" in anchored.stderr


def test_one_file_is_verified_against_the_log_a_hash_or_its_checksum(place: Path) -> None:
    (place / "mailed").mkdir()
    for name in (CSV, f"{CSV}.sha256"):
        shutil.copy(place / "exports" / name, place / "mailed" / name)
    sha256 = hashlib.sha256((place / "mailed" / CSV).read_bytes()).hexdigest()
    log, beside, given, wrong, nonsense, missing = calls(
        place,
        f"verify exports/{CSV}",
        f"verify mailed/{CSV}",
        f"verify mailed/{CSV} --sha256 {sha256}",
        f"verify mailed/{CSV} --sha256 {'0' * 64}",
        f"verify mailed/{CSV} --sha256 abc",
        "verify nowhere",
    )
    assert log.stdout == f"exports/{CSV} is unchanged, says the export log: SHA-256 {sha256}\n"
    assert f"says {CSV}.sha256" in beside.stdout
    assert "says the hash given" in given.stdout
    assert (wrong.returncode, nonsense.returncode, missing.returncode) == (FAILED, WRONG_USAGE, FAILED)
    assert f"{CSV}: changed: has the SHA-256 {sha256[:16]}…, not 0000000000000000…" in wrong.stderr
    assert "64 hexadecimal digits" in nonsense.stderr
    assert "nowhere" in missing.stderr


def test_a_path_that_is_not_there_is_a_file_where_anything_says_so(place: Path) -> None:
    bag = ak.export_evidence("run-001", place / "exports" / "case-17", "csv", source=SAMPLES)
    shutil.rmtree(bag.path)
    (place / "exports" / CSV).unlink()
    gone, known, bagged, folder, elsewhere, anchored = calls(
        place,
        f"verify gone.csv --sha256 {'0' * 64}",
        f"verify exports/{CSV}",
        "verify exports/case-17",
        f"verify nowhere --sha256 {'0' * 64}",
        f"verify exports/{CSV} --log exports/{LOG}",
        f"verify nowhere --anchor {'0' * 64}",
    )
    for call in (gone, known, bagged, folder, elsewhere, anchored):
        assert (call.returncode, call.stdout) == (FAILED, "")
    assert gone.stderr == "Error: No such file or directory: gone.csv\n"
    assert known.stderr == elsewhere.stderr
    assert f"Error: {CSV}: missing: was exported on 20" in known.stderr
    assert "Error: case-17: missing: was exported on 20" in bagged.stderr
    assert folder.stderr == anchored.stderr == "Error: No such file or directory: nowhere\n"


def test_a_file_of_allowed_signers_is_read_whether_or_not_it_is_needed(place: Path) -> None:
    ak.export_evidence("run-001", place / "case-17", "csv", source=SAMPLES)
    (place / "nonsense").write_text("nobody\n")
    for call in calls(place, *(f"verify {path} --allowed-signers nofile" for path in ("exports", "case-17"))):
        assert call.returncode == FAILED
        assert call.stderr == "Error: No such file or directory: nofile\n"
    for call in calls(
        place, *(f"verify {path} --allowed-signers nonsense" for path in ("exports", "case-17"))
    ):
        assert call.returncode == FAILED
        assert "Line 1 of nonsense" in call.stderr
    (sound,) = calls(place, "verify exports --allowed-signers signers")
    assert sound.returncode == DONE


def test_a_copy_is_verified_against_the_log_that_is_named(place: Path) -> None:
    shutil.copy(place / "exports" / CSV, place / "mailed.csv")
    known, unknown = calls(
        place, f"verify mailed.csv --log exports/{LOG}", f"verify signers --log exports/{LOG}"
    )
    assert known.returncode == DONE
    assert known.stdout.startswith(f"mailed.csv is unchanged, says the export log, as {CSV}: ")
    assert unknown.returncode == FAILED
    assert "Error: signers: unexpected: is in no entry of the log" in unknown.stderr


@pytest.mark.parametrize(
    "line",
    [
        f"verify exports --sha256 {'0' * 64}",
        f"verify exports/{CSV} --anchor {'0' * 64}",
        f"verify exports/{CSV} --allowed-signers signers",
        "verify exports --anchor nonsense",
        "verify exports exports",
        "checkpoint exports",
        "hold",
        "decrypt exports",
        "export run-001 --format csv --drop-notes",
        "export run-001 --format csv --purpose x",
        "export run-001 --format csv --coarsen-timestamps year --pseudonyms pseudonyms",
        "export run-001 --format csv --encrypt-to nobody",
    ],
)
def test_wrong_usage_is_told_in_a_line_and_changes_nothing(place: Path, line: str) -> None:
    before = exported(place / "exports")
    (call,) = calls(place, line)
    assert (call.returncode, call.stdout) == (WRONG_USAGE, "")
    assert call.stderr.strip()
    assert exported(place / "exports") == before


def test_a_signed_checkpoint_is_made_and_used(place: Path) -> None:
    made, used, unsigned, as_json = calls(
        place,
        "checkpoint exports --sign key --output kept",
        "verify exports --anchor kept --allowed-signers signers",
        "verify exports --anchor kept",
        "checkpoint exports --sign key --json",
    )
    assert (made.returncode, used.returncode, unsigned.returncode) == (DONE, DONE, WRONG_USAGE)
    assert made.stdout.startswith("kept and kept.sig: ")
    assert "It has the anchor among its lines." in used.stdout
    assert json.loads(as_json.stdout)["signature"] == "exports/export-log.checkpoint.sig"
    os.chmod(place / "key", 0o644)
    (refused,) = calls(place, "checkpoint exports --sign key")
    assert refused.returncode != DONE
    assert "chmod 600" in refused.stderr


def test_what_is_held_is_not_cleaned(place: Path) -> None:
    os.utime(place / "exports" / CSV, (0, 0))
    held, kept, as_json, missing, released, cleaned = calls(
        place,
        f"hold exports/{CSV} --reason case-17",
        "clean --yes",
        f"hold exports/{CSV} --json",
        "hold exports/nowhere.csv",
        f"hold exports/{CSV} --release",
        "clean --yes",
    )
    assert held.stdout == f"exports/{CSV} is held: `auditkit clean` keeps it\n"
    assert kept.stdout == "Nothing in exports is older than 30 days.\n"
    assert json.loads(as_json.stdout)["held"] is True
    assert (missing.returncode, released.stdout) == (FAILED, f"exports/{CSV} is released\n")
    assert cleaned.stdout == f"removed exports/{CSV}\nremoved exports/{CSV}.sha256\n"


def test_what_is_held_in_a_log_elsewhere_is_not_cleaned(place: Path) -> None:
    (made,) = calls(place, "export run-001 --format csv --output-dir e --log all.jsonl")
    assert made.returncode == DONE
    os.utime(place / "e" / CSV, (0, 0))
    second, held, kept, notes, released, cleaned = calls(
        place,
        f"hold e/{CSV}",
        f"hold e/{CSV} --log all.jsonl",
        "clean --output-dir e --log all.jsonl --yes",
        "hold signers --log all.jsonl",
        f"hold e/{CSV} --release --log all.jsonl",
        "clean --output-dir e --log all.jsonl --yes",
    )
    assert (second.returncode, second.stdout) == (FAILED, "")
    assert "e/export-log.jsonl" in second.stderr
    assert "--log" in second.stderr
    assert (held.returncode, kept.stdout) == (DONE, "Nothing in e is older than 30 days.\n")
    assert (notes.returncode, notes.stdout) == (WRONG_USAGE, "")
    assert "cannot be held" in notes.stderr
    assert released.returncode == DONE
    assert cleaned.stdout == f"removed e/{CSV}\n"
    assert os.listdir(place / "e") == []


def test_what_was_held_before_one_failed_is_told(place: Path) -> None:
    plain, as_json = calls(
        place, f"hold exports/{CSV} exports/nowhere.csv", f"hold exports/{CSV} exports/nowhere.csv --json"
    )
    assert plain.returncode == as_json.returncode == FAILED
    assert plain.stdout == f"exports/{CSV} is held: `auditkit clean` keeps it\n"
    assert "nowhere.csv" in plain.stderr


def test_a_checkpoint_overwrites_no_other_file(place: Path) -> None:
    before = (place / "signers").read_bytes()
    (refused,) = calls(place, "checkpoint exports --sign key --output signers")
    assert (refused.returncode, refused.stdout) == (FAILED, "")
    assert "left alone" in refused.stderr
    assert (place / "signers").read_bytes() == before
    assert not (place / "signers.sig").exists()


def test_an_export_is_encrypted_and_decrypted_again(place: Path) -> None:
    exporting = "export run-001 --format csv --output-dir sealed --checksum --encrypt-to identity.pub"
    made, opened, elsewhere, wrong = calls(
        place,
        exporting,
        f"decrypt sealed/{CSV}.age --identity identity",
        f"decrypt sealed/{CSV}.age --identity identity --output plain.csv --json",
        f"decrypt sealed/{CSV}.age --identity key --output other.csv",
    )
    assert [call.returncode for call in (made, opened, elsewhere, wrong)] == [DONE, DONE, DONE, FAILED]
    assert opened.stdout == f"sealed/{CSV}: decrypted\n"
    assert json.loads(elsewhere.stdout) == {"path": "plain.csv"}
    plain = (place / "exports" / CSV).read_bytes()
    assert (place / "plain.csv").read_bytes() == (place / "sealed" / CSV).read_bytes() == plain
    assert not (place / "other.csv").exists()
    assert set(exported(place / "sealed")) == {CSV, f"{CSV}.age", f"{CSV}.age.sha256"}


def test_an_export_with_pseudonyms_says_nothing_of_the_people(place: Path) -> None:
    (made,) = calls(
        place,
        "export run-001 --format json --output-dir covered --pseudonyms pseudonyms --drop-notes"
        " --coarsen-timestamps day --purpose trial",
    )
    assert made.returncode == DONE, made.stderr
    data = b"".join(path.read_bytes() for path in (place / "covered").iterdir())
    results = ak.load_results("run-001", source=SAMPLES)
    for name in {*results.submission_id, *results.user_id, *results.reviewer.dropna()}:
        assert name.encode() not in data
    (path,) = (place / "covered").glob("*.json")
    (covered,) = [ak.load_run("run-001", source=path)]
    assert covered.results.notes.isna().all()
    assert {str(moment.time()) for moment in covered.results.timestamp} == {"00:00:00"}
    options = json.loads((place / "covered" / LOG).read_bytes().splitlines()[-1])["options"]
    assert options["pseudonymizer"]["purpose"] == "trial"


def test_files_may_be_for_the_group_and_the_log_elsewhere(place: Path) -> None:
    (place / "open").mkdir()
    (made,) = calls(place, "export run-001 --format csv --output-dir open --group-readable --log all.jsonl")
    assert made.returncode == DONE
    assert os.listdir(place / "open") == [CSV]
    assert (place / "open" / CSV).stat().st_mode & 0o777 == 0o640
    assert (place / "all.jsonl").exists()


def test_a_folder_that_everybody_may_write_to_is_warned_about_in_one_line(place: Path) -> None:
    (place / "exports").chmod(0o777)
    env = {"PYTHONWARNINGS": None, "AUDITKIT_SOURCE": str(SAMPLES)}
    made = python("-m", "auditkit", "export", "run-001", "--format", "csv", cwd=place, env=env)
    assert made.returncode == DONE
    assert made.stderr.startswith("Warning: Everybody on this machine may write to the folder exports.")
    assert len(made.stderr.splitlines()) == 1
