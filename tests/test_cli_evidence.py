"""`auditkit evidence`: what it makes, what it says, and how it fails."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from bags import contents, info, sha256, signing_key, source
from children import DAY, auditkit_calls, python, succeed
from records import a_result, a_run
from third_party import install

import auditkit as ak

SAMPLES = Path(__file__).parents[1] / "sample_data" / "runs"
DONE, FAILED, WRONG_USAGE = 0, 1, 2
CSV = f"audit-run-run-001-{DAY}.csv"


def calls(place: Path, *lines: list[str], runs: Path = SAMPLES) -> list[Any]:
    return auditkit_calls(*(["evidence", *line] for line in lines), cwd=place, source=runs)


def test_a_bag_is_made_and_its_hashes_are_said(tmp_path: Path) -> None:
    (made,) = calls(tmp_path, ["run-001", "--runId=run-003", "--output", "bags/case-17"])
    assert (made.returncode, made.stderr) == (DONE, "")
    bag = tmp_path / "bags" / "case-17"
    files = contents(bag)
    size = sum(len(data) for name, data in files.items() if name.startswith("data/"))
    head = sha256((tmp_path / "bags" / "export-log.jsonl").read_bytes().splitlines(keepends=True)[-1])
    assert made.stdout.splitlines() == [
        f"bags/case-17: 4 files, 32 rows, {size:,} bytes",
        f"SHA-256 of its tag manifest: {sha256(files['tagmanifest-sha256.txt'])}",
        f"Head of the log: {head}",
    ]
    assert ak.verify_bag(bag).rows == 32


def test_its_options_are_those_of_the_function(tmp_path: Path) -> None:
    options = ["--format", "csv", "--format", "json", "--flatten-results", "--no-metadata", "--excel"]
    options += ["--no-formula-guard", "--compression", "gzip", "--group-readable", "--log", "log.jsonl"]
    (made,) = calls(tmp_path, ["run-001", "--output", "bag", "--source", str(SAMPLES), *options])
    assert (made.returncode, made.stderr) == (DONE, "")
    plain = ak.export_evidence(
        "run-001",
        tmp_path / "plain",
        ["csv", "json"],
        source=SAMPLES,
        flatten_results=True,
        include_metadata=False,
        excel=True,
        formula_guard=False,
        compression="gzip",
    )
    assert (tmp_path / "bag" / "manifest-sha256.txt").read_bytes() == (
        plain.path / "manifest-sha256.txt"
    ).read_bytes()
    assert stat.S_IMODE((tmp_path / "bag" / "data" / f"{CSV}.gz").stat().st_mode) == 0o640
    assert (tmp_path / "log.jsonl").exists()


def test_a_bag_is_signed_encrypted_and_pseudonymised_as_asked(tmp_path: Path) -> None:
    pytest.importorskip("pyrage")
    key, signers = signing_key(tmp_path / "keys")
    names = ak.make_key(tmp_path / "keys" / "names.key", "pseudonyms").secret
    age = ak.make_key(tmp_path / "keys" / "age.key", "encrypt")
    runs = source(tmp_path / "source", a_run([a_result(0, userId="zq-user", notes="zq-note")]))
    cover = ["--pseudonyms", str(names), "--drop-notes", "--coarsen-timestamps", "day", "--sign", str(key)]
    made, sealed = calls(
        tmp_path,
        ["run-001", "--output", "bag", *cover],
        ["run-001", "--output", "sealed", *cover, "--encrypt-to", str(age.public)],
        runs=runs,
    )
    assert [made.returncode, sealed.returncode, made.stderr + sealed.stderr] == [DONE, DONE, ""]
    report = ak.verify_bag(tmp_path / "bag", signers)
    assert f", signed by {report.signed_by}\n" in made.stdout
    everything = b"".join(contents(tmp_path / "bag").values())
    assert b"zq-" not in everything
    assert b"2024-01-15T00:00:00Z" in everything
    assert ak.verify_bag(tmp_path / "sealed", signers).signed_by == report.signed_by
    assert (tmp_path / "sealed" / "data" / f"{CSV}.age").exists()


def test_other_programs_get_json(tmp_path: Path) -> None:
    (made,) = calls(tmp_path, ["run-001", "--output", "bag", "--json", "--format", "csv"])
    said = json.loads(made.stdout)
    assert (said["path"], said["rows"], said["files"]) == ("bag", 8, [CSV])
    assert said["tagmanifest_sha256"] == sha256((tmp_path / "bag" / "tagmanifest-sha256.txt").read_bytes())
    assert info(tmp_path / "bag")["Control-Rows"] == "8"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["--output", "bag"], "Name at least one run"),
        (["run-001"], "--output PATH"),
        (["run-001", "--output", "bag", "--drop-notes"], "--drop-notes needs pseudonyms"),
        (["run-001", "--output", "bag", "--format", "csw"], "No format 'csw'"),
        (["run-001", "--output", "bag", "--format", "json", "--excel"], "excel=True means nothing"),
        (["run-001", "run-001", "--output", "bag"], "stands twice"),
    ],
)
def test_wrong_usage_is_said_and_nothing_made(tmp_path: Path, line: list[str], words: str) -> None:
    (wrong,) = calls(tmp_path, line)
    assert wrong.returncode == WRONG_USAGE
    assert words in wrong.stderr
    assert list(tmp_path.iterdir()) == []


def test_every_run_that_fails_is_said_and_no_bag_is_made(tmp_path: Path) -> None:
    one, several, told = calls(
        tmp_path,
        ["run-001", "run-404", "--output", "bag"],
        ["run-001", "run-404", "run-405", "--output", "bag"],
        ["run-001", "run-404", "run-405", "--output", "bag", "--json"],
    )
    assert [call.returncode for call in (one, several, told)] == [FAILED] * 3
    assert one.stderr.startswith("Error: No run 'run-404'")
    lines = several.stderr.splitlines()
    assert [line[:22] for line in lines] == [
        "Error: No run 'run-404",
        "Error: No run 'run-405",
        "No bag was made.",
    ]
    failures = json.loads(told.stdout)["failures"]
    assert [failure["run_id"] for failure in failures] == ["run-404", "run-405"]
    assert failures[0]["error"]["error"] == "RunNotFoundError"
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_taken_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bag").mkdir()
    (refused,) = calls(tmp_path, ["run-001", "--output", "bag"])
    assert refused.returncode == FAILED
    assert refused.stderr.startswith("Error: Something stands there")
    assert os.listdir(tmp_path / "bag") == []


def test_an_installed_format_may_use_pandas(tmp_path: Path) -> None:
    env = {"PYTHONPATH": str(install(tmp_path / "site"))}
    line = ["evidence", "run-001", "--output", "bag", "--format", "framed", "--source", str(SAMPLES)]
    succeed(python("-m", "auditkit", *line, cwd=tmp_path, env=env))
    bag = tmp_path / "bag"
    results = json.loads((SAMPLES / "run-001.json").read_bytes())["results"]
    total = sum(result["userScore"] for result in results)
    assert float((bag / "data" / f"audit-run-run-001-{DAY}.framed").read_bytes()) == total
    assert info(bag)["Control-Sum-User-Score"] == str(total)
    assert not ak.verify_bag(bag).recounted


NO_PANDAS = """
import sys
from auditkit.cli import main
try:
    main(["evidence", "run-001", "run-002", "--output", "bag", "--source", sys.argv[1]])
except SystemExit as left:
    print(left.code, "pandas" in sys.modules)
"""


def test_it_imports_no_pandas(tmp_path: Path) -> None:
    assert succeed(python("-c", NO_PANDAS, SAMPLES, cwd=tmp_path)).splitlines()[-1] == "0 False"
