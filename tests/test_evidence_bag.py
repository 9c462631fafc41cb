"""An evidence bag holds everything, says what it holds, and appears whole or not at all."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import signal
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from bags import contents, hostile_run, info, sha256, signing_key, source
from children import python
from records import a_result, a_run, dumped, exported, load_one, saved
from strategies import DOUBLES

import auditkit as ak
from auditkit.errors import (
    BatchError,
    ExportExistsError,
    InvalidKeyError,
    InvalidOptionError,
    InvalidRunError,
    InvalidRunIdError,
    RunNotFoundError,
    UnknownFormatError,
)
from auditkit.evidence.bag import info_text, manifest_text, read_info, read_manifest
from auditkit.evidence.totals import ControlTotals
from auditkit.publish import NoLog
from auditkit.run import AuditRun, HeaderChanged

DAY = "2024-01-15"
TAG_FILES = {
    "VERIFY.txt", "bag-info.txt", "bagit.txt", "datapackage.json", "findings.csv", "manifest-sha256.txt",
    "tagmanifest-sha256.txt",
}  # fmt: skip


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return source(tmp_path / "source")


def bag_of(runs: Path, place: Path, ids: Any = "run-0", *arguments: Any, **options: Any) -> ak.BagReceipt:
    return ak.export_evidence(ids, place, *arguments, source=runs, **options)


def package(bag: Path) -> dict[str, Any]:
    return json.loads((bag / "datapackage.json").read_bytes())  # type: ignore[no-any-return]


def resources(bag: Path) -> dict[str, dict[str, Any]]:
    return {one["path"]: one for one in package(bag)["resources"]}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- what it holds ---


def test_the_payload_is_every_run_in_every_format_byte_for_byte_as_exported(
    runs: Path, tmp_path: Path
) -> None:
    ids = ["run-0", "run-2"]
    bag = bag_of(runs, tmp_path / "bag", ids, ["csv", "json", "jsonl", "parquet"])
    for format in ("csv", "json", "jsonl", "parquet"):
        ak.export_multiple_runs(ids, format, source=runs, output_dir=tmp_path / "plain")
    assert exported(bag.path / "data") == exported(tmp_path / "plain")
    assert len(bag.files) == 8


def test_without_formats_it_holds_csv_and_json(runs: Path, tmp_path: Path) -> None:
    bag = bag_of(runs, tmp_path / "bag")
    assert bag.files == (f"audit-run-run-0-{DAY}.csv", f"audit-run-run-0-{DAY}.json")
    assert bag.formats == ("csv", "json")


def test_beside_the_payload_stand_the_tag_files_and_nothing_else(runs: Path, tmp_path: Path) -> None:
    bag = bag_of(runs, tmp_path / "bag")
    assert {path.name for path in bag.path.iterdir()} == TAG_FILES | {"data"}
    assert (bag.path / "bagit.txt").read_bytes() == (
        b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
    )


def test_the_manifests_name_every_file_with_its_sha_256(runs: Path, tmp_path: Path) -> None:
    bag = bag_of(runs, tmp_path / "bag")
    files = contents(bag.path)
    payload = sorted(name for name in files if name.startswith("data/"))
    tags = sorted(TAG_FILES - {"tagmanifest-sha256.txt"})
    for manifest, listed in (("manifest-sha256.txt", payload), ("tagmanifest-sha256.txt", tags)):
        expected = "".join(f"{sha256(files[name])}  {name}\n" for name in listed)
        assert files[manifest].decode() == expected
    assert bag.sha256 == sha256(files["manifest-sha256.txt"])
    assert bag.tagmanifest_sha256 == sha256(files["tagmanifest-sha256.txt"])
    assert bag.bytes == sum(len(files[name]) for name in payload)


def test_bag_info_says_what_was_bagged_when_and_by_what(runs: Path, tmp_path: Path) -> None:
    bag = bag_of(runs, tmp_path / "bag", ["run-0", "run-1"])
    first = (tmp_path / "export-log.jsonl").read_bytes().splitlines(keepends=True)[0]
    assert (bag.path / "bag-info.txt").read_text() == (
        f"Bag-Software-Agent: auditkit {ak.__version__}\n"
        f"Bagging-Date: {DAY}\n"
        f"Payload-Oxum: {bag.bytes}.4\n"
        "Control-Rows: 6\n"
        "Control-Sum-User-Score: 510\n"  # 6 x 85
        "Control-Sum-AI-Score: 468\n"  # 6 x 78
        "Control-Sum-Deviation: 42\n"
        f"Log-Head: {sha256(first)}\n"
    )


def test_a_bag_under_no_log_says_no_head(runs: Path, tmp_path: Path) -> None:
    bag = bag_of(runs, tmp_path / "bag", log=NoLog())
    assert "Log-Head" not in info(bag.path)
    assert bag.log_head is None
    assert b"LOG" not in (bag.path / "VERIFY.txt").read_bytes()


def test_the_receipt_says_what_was_made(runs: Path, tmp_path: Path) -> None:
    bag = bag_of(runs, tmp_path / "bag", ["run-1", "run-0"])
    assert os.fspath(bag) == str(tmp_path / "bag")
    assert (bag.path, bag.run_ids, bag.rows) == (tmp_path / "bag", ("run-1", "run-0"), 6)
    assert bag.signed_by is None
    assert bag.log_head == ak.read_export_log(tmp_path).hash.iloc[-1]
    assert bag.seconds > 0
    html = bag._repr_html_()
    assert "run-1, run-0" in html
    assert bag.sha256 in html
    assert "Signed" not in html


def test_a_run_without_results_is_bagged_too(tmp_path: Path) -> None:
    runs = source(tmp_path / "source", a_run(0, totalSubmissions=0, averageDeviation=None))
    bag = bag_of(runs, tmp_path / "bag", "run-001", ["csv", "json", "jsonl", "parquet"])
    assert bag.rows == 0
    assert info(bag.path)["Control-Sum-Deviation"] == "0"
    assert ak.verify_bag(bag).recounted


def test_the_same_runs_give_the_same_payload_and_manifest(runs: Path, tmp_path: Path) -> None:
    first, second = (bag_of(runs, tmp_path / name, ["run-0", "run-1"]) for name in ("a", "b"))
    assert exported(first.path / "data") == exported(second.path / "data")
    assert first.sha256 == second.sha256


@pytest.mark.parametrize(("group", "modes"), [(False, (0o700, 0o600)), (True, (0o750, 0o640))])
def test_files_and_folders_are_private_whatever_the_umask(
    runs: Path, tmp_path: Path, group: bool, modes: tuple[int, int]
) -> None:
    before = os.umask(0o027 if group else 0)
    try:
        bag = bag_of(runs, tmp_path / "bag", group_readable=group)
    finally:
        os.umask(before)
    found = {stat.S_IMODE(path.stat().st_mode) for path in (bag.path, bag.path / "data")}
    assert found == {modes[0]}
    files = [path for path in bag.path.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {modes[1]}


# --- control totals ---


def column_sums(bag: ak.BagReceipt) -> dict[str, Fraction]:
    """What an auditor adds up who reads the columns of the CSV files as they stand there."""
    sums = {"User Score": Fraction(0), "AI Score": Fraction(0), "Deviation": Fraction(0)}
    for name in bag.files:
        if name.endswith(".csv"):
            with (bag.path / "data" / name).open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    for column in sums:
                        sums[column] += Fraction(row[column])
    return sums


def declared_sums(bag: ak.BagReceipt) -> dict[str, Fraction]:
    said = info(bag.path)
    return {
        column: Fraction(said[f"Control-Sum-{column.replace(' ', '-')}"])
        for column in ("User Score", "AI Score", "Deviation")
    }


def test_the_control_sums_are_those_of_the_texts_in_the_csv(tmp_path: Path) -> None:
    dice = random.Random(1)
    scores = [*DOUBLES, *(dice.random() * 100 for _ in range(500)), *(n / 100 for n in range(500))]
    dice.shuffle(scores)
    results = [
        a_result(n, userScore=a, aiScore=-a, deviation=b)
        for n, (a, b) in enumerate(zip(scores, reversed(scores), strict=True))
    ]
    bag = bag_of(source(tmp_path / "source", a_run(results)), tmp_path / "bag", "run-001")
    assert declared_sums(bag) == column_sums(bag)
    assert bag.rows == len(results) == int(info(bag.path)["Control-Rows"])


def test_a_sum_in_floating_point_would_be_another_one(tmp_path: Path) -> None:
    results = [a_result(n, userScore=score) for n, score in enumerate([0.1] * 10 + [1e16, 1, -1e16])]
    bag = bag_of(source(tmp_path / "source", a_run(results)), tmp_path / "bag", "run-001")
    assert info(bag.path)["Control-Sum-User-Score"] == "2"
    assert sum([0.1] * 10 + [1e16, 1, -1e16]) != 2


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([], "0"),
        ([-0.0, 0.0], "0"),
        ([0.5, -0.5], "0"),
        ([100.0, 20.0], "120"),
        ([0.1, 0.2], "0.3"),
        ([12.5, 12.25], "24.75"),
        ([1e10, 0.01], "10000000000.01"),
        ([1e21], "1" + "0" * 21),
        ([1e-7], "0.0000001"),
        ([-1e-7, 1e21], "9" * 21 + "." + "9" * 7),
        ([1.7976931348623157e308] * 3, "53930794045869471" + "0" * 292),
    ],
)
def test_a_sum_has_all_its_digits_and_no_more(scores: list[float], expected: str) -> None:
    totals = ControlTotals()
    column = pa.array(scores, pa.float64())
    totals.add(pa.RecordBatch.from_arrays([column] * 3, names=["user_score", "ai_score", "deviation"]))
    assert set(totals.sums().values()) == {expected}
    assert Fraction(expected) == sum(map(Fraction, map(repr, scores)))


# --- findings ---


def test_findings_tell_where_every_run_contradicts_itself(tmp_path: Path) -> None:
    sound = a_run(id="sound", criticalFlags=0, totalSubmissions=3)
    twice = [a_result(0, submissionId="=sub,1"), a_result(1, submissionId="=sub,1", deviation=8)]
    broken = a_run(twice, id="broken", totalSubmissions=2, averageDeviation=7.5)
    runs = source(tmp_path / "source", sound, broken)
    bag = bag_of(runs, tmp_path / "bag", ["sound", "broken"])
    assert (bag.path / "findings.csv").read_text() == (
        "run_id,rule,where,recorded,recomputed,severity\n"
        "broken,deviation,results[1].deviation,8,7,error\n"
        """broken,duplicate_submission_id,results[1].submissionId,"'=sub,1",first in results[0],error\n"""
    )


def test_findings_of_sound_runs_are_a_header(runs: Path, tmp_path: Path) -> None:
    bag = bag_of(runs, tmp_path / "bag")
    assert (bag.path / "findings.csv").read_text() == "run_id,rule,where,recorded,recomputed,severity\n"


def test_without_the_formula_guard_findings_stand_as_recorded(tmp_path: Path) -> None:
    twice = [a_result(0, submissionId="=1"), a_result(1, submissionId="=1")]
    runs = source(tmp_path / "source", a_run(twice, totalSubmissions=2))
    bag = bag_of(runs, tmp_path / "bag", "run-001", formula_guard=False)
    assert b",=1,first in" in (bag.path / "findings.csv").read_bytes()
    assert package(bag.path)["auditkit:formulaGuard"] is False


# --- the description ---


def test_the_package_describes_every_file_with_size_and_hash(runs: Path, tmp_path: Path) -> None:
    bag = bag_of(runs, tmp_path / "bag", ["run-0", "run-1"], ["csv", "json", "parquet"])
    described = resources(bag.path)
    files = {name: data for name, data in contents(bag.path).items() if name.startswith("data/")}
    files["findings.csv"] = (bag.path / "findings.csv").read_bytes()
    assert described.keys() == files.keys()
    for name, data in files.items():
        assert (described[name]["bytes"], described[name]["hash"]) == (len(data), f"sha256:{sha256(data)}")
    assert [one["name"] for one in described.values()] == [
        "csv-1", "json-1", "parquet-1", "csv-2", "json-2", "parquet-2", "findings",
    ]  # fmt: skip


# From the tables of the design: header, type, required, allowed.
LEVELS, ACTIONS = ["easy", "medium", "hard", "expert"], ["allow", "flag_for_review", "escalate", "override"]
COLUMNS = [
    ("Audit Run ID", "string", False, None), ("Submission ID", "string", False, None),
    ("User ID", "string", False, None), ("Task Title", "string", False, None),
    ("Skill Area", "string", False, None), ("Difficulty", "string", True, LEVELS),
    ("User Score", "number", True, None), ("AI Score", "number", True, None),
    ("Deviation", "number", True, None),
    ("Deviation Type", "string", True, ["none", "minor", "major", "critical"]),
    ("Suggested Action", "string", True, ACTIONS), ("Action Taken", "string", False, ACTIONS),
    ("Reviewer", "string", False, None), ("Timestamp", "string", True, None),
    ("Notes", "string", False, None), ("Audit Status", "string", False, ["completed", "failed", "running"]),
    ("Total Submissions", "integer", False, None), ("Average Deviation", "number", False, None),
    ("Critical Flags", "integer", False, None), ("Audit Started", "string", False, None),
    ("Audit Completed", "string", False, None),
]  # fmt: skip


def fields_of(resource: dict[str, Any]) -> list[tuple[str, str, bool, Any]]:
    return [
        (
            field["name"],
            field["type"],
            field.get("constraints", {}).get("required", False),
            field.get("constraints", {}).get("enum"),
        )
        for field in resource["schema"]["fields"]
    ]


def test_the_package_describes_every_column_of_a_csv(runs: Path, tmp_path: Path) -> None:
    bag = bag_of(runs, tmp_path / "bag", "run-0", "csv")
    (table, findings) = resources(bag.path).values()
    assert fields_of(table) == COLUMNS
    assert table["rows"] == 3
    assert table["schema"]["missingValues"] == [""]
    assert table["auditkit:formulaGuard"] is True
    assert "Formula guard" in package(bag.path)["description"]
    header = (bag.path / "data" / bag.files[0]).read_text().splitlines()[0]
    assert header == ",".join(name for name, *_ in COLUMNS)
    assert [name for name, *_ in fields_of(findings)] == [
        "run_id", "rule", "where", "recorded", "recomputed", "severity",
    ]  # fmt: skip


def test_the_package_describes_how_a_csv_was_written(runs: Path, tmp_path: Path) -> None:
    plain, excel, bare = (
        resources(bag_of(runs, tmp_path / name, "run-0", "csv", **options).path)
        for name, options in (("a", {}), ("b", {"excel": True}), ("c", {"include_metadata": False}))
    )
    said = [next(iter(one.values())) for one in (plain, excel, bare)]
    assert [one["encoding"] for one in said] == ["utf-8", "utf-8-sig", "utf-8"]
    assert [one["dialect"]["lineTerminator"] for one in said] == ["\n", "\r\n", "\n"]
    assert fields_of(said[2]) == COLUMNS[:15]


@pytest.mark.parametrize(
    ("compression", "suffix", "kind"), [("gzip", ".gz", "table"), ("zstd", ".zst", "file")]
)
def test_a_packed_csv_is_described_too(
    runs: Path, tmp_path: Path, compression: Any, suffix: str, kind: str
) -> None:
    bag = bag_of(runs, tmp_path / "bag", "run-0", "csv", compression=compression)
    name = f"data/audit-run-run-0-{DAY}.csv{suffix}"
    described = resources(bag.path)[name]
    assert fields_of(described) == COLUMNS
    assert described["type"] == kind
    assert 3 in (described.get("rows"), described.get("auditkit:rows"))
    assert ak.verify_bag(bag).recounted


# --- options ---


def test_an_option_goes_to_the_formats_that_heed_it(runs: Path, tmp_path: Path) -> None:
    options = {"excel": True, "flatten_results": True, "include_metadata": False}
    bag = bag_of(runs, tmp_path / "bag", "run-0", ["csv", "json", "jsonl"], **options)
    table, flat, lines = ((bag.path / "data" / name).read_bytes() for name in bag.files)
    assert table.startswith(b"\xef\xbb\xbf")
    assert json.loads(flat)[0]["auditRunId"] == "run-0"
    assert "auditReviewer" not in json.loads(lines.splitlines()[0])


@pytest.mark.parametrize(
    ("formats", "options", "words"),
    [
        ([], {}, "no format"),
        (["csv", "csv"], {}, "same names"),
        (["json"], {"excel": True}, "excel=True means nothing"),
        (["csv", "jsonl"], {"flatten_results": True}, "flatten_results=True means nothing"),
        (["json"], {"compression": "rar"}, "no compression"),
        (["json"], {"pseudonymizer": "key"}, "is none"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_made(
    runs: Path, tmp_path: Path, formats: list[str], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidOptionError, match=words):
        bag_of(runs, tmp_path / "bags" / "bag", "run-0", formats, **options)
    assert names(tmp_path) == ["source"]


@pytest.mark.parametrize(("ids", "words"), [([], "names no run"), (["run-0", "run-0"], "stands twice")])
def test_run_ids_that_make_no_sense_are_refused(
    runs: Path, tmp_path: Path, ids: list[str], words: str
) -> None:
    with pytest.raises(InvalidOptionError, match=words):
        bag_of(runs, tmp_path / "bag", ids)


def test_an_unknown_format_is_refused(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownFormatError, match="'csw'"):
        bag_of(runs, tmp_path / "bag", "run-0", "csw")


def test_runs_whose_files_would_differ_in_case_only_are_kept_apart(tmp_path: Path) -> None:
    runs = source(tmp_path / "source", a_run(id="Run"), a_run(id="run"))
    with pytest.raises(InvalidOptionError, match="differ in case only"):
        bag_of(runs, tmp_path / "bag", ["Run", "run"])
    assert bag_of(runs, tmp_path / "bag", ["run"]).rows == 3


def test_ids_that_are_no_file_names_are_bagged_under_safe_ones(tmp_path: Path) -> None:
    ids = ["../up", "a/b", "=1+1", "é", "%41", " run "]
    runs = source(tmp_path / "source", *(a_run(id=run_id) for run_id in ids))
    bag = bag_of(runs, tmp_path / "bag", ids)
    assert all(
        re.fullmatch(r"audit-run-[a-z0-9-]+~[a-z2-7]{16}-2024-01-15\.(csv|json)", n) for n in bag.files
    )
    assert ak.verify_bag(bag).rows == 18


# --- the log ---


def test_the_log_says_what_was_bagged_before_and_after_it_is_seen(runs: Path, tmp_path: Path) -> None:
    bag = bag_of(runs, tmp_path / "bag", ["run-0", "run-1"], compression="gzip")
    begin, commit = map(json.loads, (tmp_path / "export-log.jsonl").read_bytes().splitlines())
    manifest = (bag.path / "manifest-sha256.txt").read_bytes()
    for entry in (begin, commit):
        assert entry["format"] == "bag"
        assert (entry["path"], entry["rows"], entry["run_ids"]) == ("bag", "6 of 6", ["run-0", "run-1"])
        assert (entry["sha256"], entry["bytes"]) == (sha256(manifest), len(manifest))
        assert entry["options"] == {"compression": "gzip", "formats": ["csv", "json"]}
        assert entry["source"] == str(runs)
    assert "tagmanifest_sha256" not in begin
    assert commit["tagmanifest_sha256"] == bag.tagmanifest_sha256
    assert ak.verify_exports(tmp_path, anchor=bag).anchored


def test_the_head_in_a_bag_is_an_anchor_of_its_log(runs: Path, tmp_path: Path) -> None:
    bag_of(runs, tmp_path / "bags" / "one")
    bag_of(runs, tmp_path / "bags" / "two")
    assert ak.verify_exports(tmp_path / "bags", anchor=tmp_path / "bags" / "two").anchored
    log = tmp_path / "bags" / "export-log.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:2]))
    with pytest.raises(ak.errors.VerificationError, match="cut off"):
        ak.verify_exports(tmp_path / "bags", anchor=tmp_path / "bags" / "two")


def test_the_log_may_stand_elsewhere(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    bag = bag_of(runs, tmp_path / "bags" / "bag", log=tmp_path / "logs" / "log.jsonl")
    assert names(tmp_path / "bags") == ["bag"]
    assert ak.read_export_log(tmp_path / "logs" / "log.jsonl").path.to_list() == ["../bags/bag"] * 2
    assert bag.log_head is not None


# --- it appears whole or not at all ---


class Runs:
    """A source that does something while its runs are read."""

    location = "somewhere"

    def __init__(self, *runs: AuditRun, act: Any = None, error: BaseException | None = None):
        self.runs = {run.id: run for run in runs}
        self._act = act
        self._error = error

    def listing(self) -> Any:
        raise NotImplementedError

    def load(self, run_ids: Sequence[str] | None = None) -> Iterator[Any]:
        raise NotImplementedError

    def open(self, run_ids: Sequence[str] | None = None) -> list[Any]:
        return [
            replace(self.runs[i], batches=partial(self._batches, i), in_memory=False) for i in run_ids or ()
        ]

    def _batches(self, run_id: str) -> Iterator[Any]:
        if self._act is not None:
            self._act()
        yield from self.runs[run_id].batches()
        if self._error is not None:
            raise self._error


@pytest.fixture
def run(tmp_path: Path) -> AuditRun:
    return load_one(saved(tmp_path / "run.json", dumped(a_run(id="run-0"))))


@pytest.mark.parametrize("error", [OSError(5, "broken"), InvalidRunError("broken"), KeyboardInterrupt()])
def test_a_failure_leaves_nothing(run: AuditRun, tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        ak.export_evidence("run-0", tmp_path / "bags" / "bag", source=Runs(run, error=error))
    assert names(tmp_path) == ["run.json"]


def test_a_failure_takes_away_every_folder_that_it_made_and_no_other(run: AuditRun, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    broken = Runs(run, error=InvalidRunError("broken"))
    with pytest.raises(InvalidRunError):
        ak.export_evidence("run-0", tmp_path / "there" / "d1" / "d2" / "d3" / "bag", source=broken)
    assert names(tmp_path) == ["run.json", "there"]
    assert names(tmp_path / "there") == []


def test_a_failure_leaves_folders_in_which_somebody_put_something(run: AuditRun, tmp_path: Path) -> None:
    def put() -> None:
        (tmp_path / "d1" / "kept").write_text("kept")

    with pytest.raises(InvalidRunError):
        ak.export_evidence(
            "run-0",
            tmp_path / "d1" / "d2" / "d3" / "bag",
            source=Runs(run, act=put, error=InvalidRunError("broken")),
        )
    assert names(tmp_path / "d1") == ["kept"]


def test_a_failure_leaves_a_folder_that_stands_where_it_made_one(run: AuditRun, tmp_path: Path) -> None:
    def exchange() -> None:
        (tmp_path / "d1").rename(tmp_path / "gone")
        (tmp_path / "d1").mkdir()

    with pytest.raises(InvalidRunError):
        ak.export_evidence(
            "run-0", tmp_path / "d1" / "bag", source=Runs(run, act=exchange, error=InvalidRunError("broken"))
        )
    assert names(tmp_path / "d1") == []


def test_folders_above_a_bag_are_made_and_stay(runs: Path, tmp_path: Path) -> None:
    bag = bag_of(runs, tmp_path / "d1" / ".." / "d2" / "d3" / "bag")
    assert names(tmp_path / "d2" / "d3") == ["bag", "export-log.jsonl"]
    assert stat.S_IMODE((tmp_path / "d2" / "d3").stat().st_mode) == 0o700
    assert ak.verify_bag(bag).rows == 3  # by the same way, through d1


@pytest.mark.parametrize("above", ["run.json", "run.json/d1"])
def test_a_place_below_a_file_is_refused(run: AuditRun, tmp_path: Path, above: str) -> None:
    with pytest.raises(OSError, match=r"run\.json"):
        ak.export_evidence("run-0", tmp_path / above / "bag", source=Runs(run))
    assert names(tmp_path) == ["run.json"]


@pytest.mark.parametrize("name", [".auditkit-x.tmp", ".auditkit-0123456789abcdef.tmp"])
def test_a_name_that_would_be_swept_away_is_refused(run: AuditRun, tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidOptionError, match="Give the bag another name"):
        ak.export_evidence("run-0", tmp_path / "bags" / name, source=Runs(run))
    assert names(tmp_path) == ["run.json"]


def test_a_failure_follows_no_link_that_somebody_put_there(run: AuditRun, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")

    def plant() -> None:
        (hidden,) = (path for path in (tmp_path / "bags").iterdir() if path.name.startswith("."))
        (hidden / "data" / "link").symlink_to(outside)

    with pytest.raises(InvalidRunError):
        ak.export_evidence(
            "run-0",
            tmp_path / "bags" / "bag",
            source=Runs(run, act=plant, error=InvalidRunError("broken")),
        )
    assert names(tmp_path) == ["outside", "run.json"]
    assert names(outside) == ["kept"]


def test_a_failure_beside_the_payload_leaves_nothing(run: AuditRun, tmp_path: Path) -> None:
    def plant() -> None:
        (hidden,) = (path for path in (tmp_path / "bags").iterdir() if path.name.startswith("."))
        (hidden / "bagit.txt").mkdir()

    with pytest.raises(FileExistsError):
        ak.export_evidence("run-0", tmp_path / "bags" / "bag", source=Runs(run, act=plant))
    assert names(tmp_path) == ["run.json"]


def test_a_bag_that_nobody_could_check_is_not_made(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tag files are read up to a limit; it would take some ten thousand runs to come to it."""
    monkeypatch.setattr("auditkit.evidence.tagfiles.LARGEST_TAG_FILE", 200)
    with pytest.raises(InvalidOptionError, match=r"manifest-sha256\.txt would be larger"):
        bag_of(runs, tmp_path / "bags" / "bag", ["run-0", "run-1", "run-2"])
    assert names(tmp_path) == ["source"]


def test_a_run_that_says_something_else_behind_its_results_is_bagged_as_it_says_there(
    run: AuditRun, tmp_path: Path
) -> None:
    told = replace(run, reviewer="the right one")
    bag = ak.export_evidence(
        "run-0", tmp_path / "bag", "json", source=Runs(run, error=HeaderChanged(told)), log=NoLog()
    )
    assert json.loads((bag.path / "data" / bag.files[0]).read_bytes())["reviewer"] == "the right one"


def test_a_bag_is_never_seen_half_done(runs: Path, tmp_path: Path) -> None:
    place, made = tmp_path / "bags" / "bag", threading.Event()
    outcomes: list[Any] = []

    def watch() -> None:
        while not (place.exists() or made.is_set()):
            time.sleep(0)
        outcomes.append(ak.verify_bag(place).rows)

    watcher = threading.Thread(target=watch)
    watcher.start()
    bag_of(runs, place, ["run-0", "run-1", "run-2"])
    made.set()
    watcher.join()
    assert outcomes == [9]


def test_of_two_at_a_time_for_one_place_one_is_made(runs: Path, tmp_path: Path) -> None:
    gate, outcomes = threading.Barrier(4), []

    def make() -> None:
        gate.wait()
        try:
            outcomes.append(bag_of(runs, tmp_path / "bags" / "bag"))
        except ExportExistsError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = [outcome for outcome in outcomes if isinstance(outcome, ak.BagReceipt)]
    assert len(made) == 1
    assert names(tmp_path / "bags") == ["bag", "export-log.jsonl"]
    assert ak.verify_exports(tmp_path / "bags", anchor=made[0]).files == 1


def test_a_place_that_is_taken_is_refused_before_a_run_is_read(run: AuditRun, tmp_path: Path) -> None:
    (tmp_path / "bag").mkdir()
    broken = Runs(run, error=InvalidRunError("it was read"))
    with pytest.raises(ExportExistsError, match="never replaced"):
        ak.export_evidence("run-0", tmp_path / "bag", source=broken)
    assert names(tmp_path / "bag") == []


KILLED = """
import os, signal, sys
from contextlib import contextmanager
from dataclasses import replace
import auditkit as ak

class Deadly(ak.ExportLog):
    @contextmanager
    def publishing(self, staged):
        with super().publishing(staged) as begun:
            if sys.argv[3] == "begin":
                os.kill(os.getpid(), signal.SIGKILL)
            yield replace(begun, commit=lambda outcomes: os.kill(os.getpid(), signal.SIGKILL))

from pathlib import Path
log = Deadly(path=Path(sys.argv[2]).parent / "export-log.jsonl")
ak.export_evidence("run-0", sys.argv[2], source=sys.argv[1], log=log)
"""


@pytest.mark.parametrize(("moment", "fate"), [("begin", "failed"), ("commit", "recovered")])
def test_after_a_kill_a_bag_is_whole_or_not_there_and_the_log_says_which(
    runs: Path, tmp_path: Path, moment: str, fate: str
) -> None:
    bags = tmp_path / "bags"
    died = python("-c", KILLED, runs, bags / "dead", moment, cwd=Path.cwd())
    assert died.returncode == -signal.SIGKILL
    for leftover in bags.glob(".auditkit-*"):
        os.utime(leftover, (0, 0))
    bag_of(runs, bags / "next")
    log = ak.read_export_log(bags)
    assert log.event.to_list() == ["begin", fate, "begin", "commit"]
    assert names(bags) == (["dead"] if fate == "recovered" else []) + ["export-log.jsonl", "next"]
    assert ak.verify_exports(bags, anchor=bags / "next").files == (2 if fate == "recovered" else 1)


NO_ROOM = """
import resource, signal, sys
import auditkit as ak
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    ak.export_evidence(["run-0", "run-1"], sys.argv[2], source=sys.argv[1])
except OSError as error:
    print(error.filename)
except ak.errors.BatchError as error:
    print(*(failure.error.filename for failure in error.failures), sep="\\n")
"""


@pytest.mark.parametrize(
    ("room", "expected"),
    [
        (500, [f"bag/data/audit-run-run-0-{DAY}.csv", f"bag/data/audit-run-run-1-{DAY}.csv"]),
        (2000, ["bag/datapackage.json"]),
    ],
)
def test_where_there_is_no_room_the_error_names_the_file_that_was_to_be(
    runs: Path, tmp_path: Path, room: int, expected: list[str]
) -> None:
    done = python("-c", NO_ROOM, runs, tmp_path / "bags" / "bag", str(room), cwd=Path.cwd())
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(tmp_path / "bags" / name) for name in expected]
    assert names(tmp_path) == ["source"]


# --- runs that fail ---


def test_a_run_that_is_not_there_is_said_by_its_own_error(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError, match="run-9"):
        bag_of(runs, tmp_path / "bags" / "bag", ["run-0", "run-9"])
    assert names(tmp_path) == ["source"]


def test_an_error_names_every_run_that_fails(tmp_path: Path) -> None:
    bad = a_run([a_result(0, userScore="85")], id="bad")
    runs = source(tmp_path / "source", a_run(id="good"), bad)
    with pytest.raises(BatchError, match="3 of 4 runs could not be exported") as caught:
        bag_of(runs, tmp_path / "bags" / "bag", ["good", "bad", "lost", "x\0y"])
    failures = caught.value.failures
    assert [failure.run_id for failure in failures] == ["bad", "lost", "x\0y"]
    assert [type(failure.error) for failure in failures] == [
        InvalidRunError, RunNotFoundError, InvalidRunIdError,
    ]  # fmt: skip
    assert caught.value.receipts == []
    assert names(tmp_path) == ["source"]


def test_what_one_format_cannot_hold_fails_the_run(tmp_path: Path) -> None:
    pytest.importorskip("xlsxwriter")
    runs = source(tmp_path / "source", a_run([a_result(0, notes="x" * 40_000)]))
    with pytest.raises(InvalidRunError, match="too long for a cell"):
        bag_of(runs, tmp_path / "bag", "run-001", ["csv", "xlsx"])
    assert names(tmp_path) == ["source"]


# --- signed ---


def test_a_signed_bag_says_by_which_key(runs: Path, tmp_path: Path) -> None:
    key, signers = signing_key(tmp_path / "keys")
    bag = bag_of(runs, tmp_path / "bags" / "bag", sign=key)
    assert names(bag.path) == sorted([*TAG_FILES, "data", "tagmanifest-sha256.txt.sig"])
    assert "sig" not in (bag.path / "tagmanifest-sha256.txt").read_text()
    report = ak.verify_bag(bag, signers)
    assert report.signed_by == bag.signed_by
    assert report.signers == ("auditor@example.org",)
    assert ak.read_export_log(tmp_path / "bags").event.to_list() == ["begin", "commit"]
    assert str(bag.signed_by) in bag._repr_html_()


def test_a_key_that_cannot_sign_is_refused_before_a_run_is_read(run: AuditRun, tmp_path: Path) -> None:
    key = saved(tmp_path / "key", "no key")
    key.chmod(0o600)
    with pytest.raises(InvalidKeyError):
        ak.export_evidence("run-0", tmp_path / "bag", source=Runs(run, error=OSError(5, "read")), sign=key)
    assert names(tmp_path) == ["key", "run.json"]


# --- encrypted ---


@pytest.fixture
def age_key(tmp_path: Path) -> Any:
    pytest.importorskip("pyrage")
    return ak.make_key(tmp_path / "keys" / "age.key", "encrypt")


def test_an_encrypted_bag_gives_the_plain_files_to_whoever_has_the_key(
    runs: Path, tmp_path: Path, age_key: Any
) -> None:
    bag = bag_of(runs, tmp_path / "bag", ["run-0", "run-1"], encrypt_to=age_key.public)
    plain = bag_of(runs, tmp_path / "plain", ["run-0", "run-1"])
    assert bag.files == tuple(f"{name}.age" for name in plain.files)
    for name in [*(f"data/{name}" for name in plain.files), "findings.csv"]:
        opened = ak.decrypt_export(bag.path / f"{name}.age", age_key.secret, tmp_path / "opened" / name)
        assert opened.read_bytes() == (plain.path / name).read_bytes()


def test_an_encrypted_bag_says_nothing_of_its_runs_but_names_sizes_and_rows(
    tmp_path: Path, age_key: Any
) -> None:
    secret = a_run([a_result(0, notes="SECRET", userId="SECRET", userScore=12.34)], reviewer="SECRET")
    runs = source(tmp_path / "source", secret)
    bag = bag_of(runs, tmp_path / "bag", "run-001", encrypt_to=age_key.public)
    files = contents(bag.path)
    assert not [name for name, data in files.items() if b"SECRET" in data or b"12.34" in data]
    assert "findings.csv" not in files
    assert [set(one) for one in package(bag.path)["resources"]] == [{"name", "path", "bytes", "hash"}] * 3
    said = info(bag.path)
    assert said["Control-Rows"] == "1"
    assert not [label for label in said if label.startswith("Control-Sum")]
    report = ak.verify_bag(bag)
    assert (report.rows, report.recounted) == (1, False)


# --- pseudonymised ---


@pytest.fixture
def pseudonymizer(tmp_path: Path) -> ak.Pseudonymizer:
    key = ak.make_key(tmp_path / "keys" / "names.key", "pseudonyms")
    return ak.Pseudonymizer(key.secret, keep_extra=["kept"])


# Distinctive, so that none of them stands in a bag by chance.
PEOPLE = ("zq-user-1", "zq-user-2", "zq-sub-1", "zq-sub-2", "zq-rev-1", "zq-rev-2", "zq-lead-1", "zq-lead-2")


def runs_of_people(folder: Path) -> Path:
    """Two runs, each of whose notes, titles and ids name people of the other one."""
    made = []
    for number in (1, 2):
        other = 3 - number
        result = a_result(
            number,
            submissionId=f"zq-sub-{number}",
            userId=f"zq-user-{number}",
            reviewer=f"zq-rev-{number}",
            notes=f"ZQ-USER-{other} copied from zq-sub-{number}, says zq-rev-{other}.",
            taskTitle=f"Task of zq-lead-{other}",
        )
        twice = {**result, "id": "again", "kept": f"zq-user-{other}", "dropped": "zq-user-1"}
        made.append(
            a_run(
                [result, twice],
                id=f"run-of-zq-user-{other}",
                reviewer=f"zq-lead-{number}",
                taskTitle=f"About zq-user-{number}",
                dropped={"zq-sub-1": 1},
            )
        )
    return source(folder, *made)


def test_no_id_of_anybody_stands_in_any_file_or_name_of_a_pseudonymised_bag(
    tmp_path: Path, pseudonymizer: ak.Pseudonymizer
) -> None:
    runs = runs_of_people(tmp_path / "source")
    ids = ["run-of-zq-user-1", "run-of-zq-user-2"]
    formats = ["csv", "json", "jsonl"]
    bag = bag_of(runs, tmp_path / "bags" / "bag", ids, formats, pseudonymizer=pseudonymizer)
    plain = bag_of(runs, tmp_path / "plain", ids, formats, log=NoLog())

    def told(folder: Path) -> set[str]:
        files = contents(folder)
        everything = b"\n".join([*files.values(), *(name.encode() for name in files)]).lower()
        return {person for person in PEOPLE if person.encode() in everything}

    assert told(bag.path) == set()
    assert told(plain.path) == set(PEOPLE)  # the search finds them where they are
    assert bag.rows == 4
    assert bag.run_ids == tuple(f"run-of-{pseudonymizer.of(f'zq-user-{n}')}" for n in (1, 2))
    assert ak.verify_bag(bag).recounted
    log = (tmp_path / "bags" / "export-log.jsonl").read_text().lower()
    assert not [person for person in PEOPLE if person in log]


def test_a_pseudonymised_bag_states_what_was_changed(tmp_path: Path, pseudonymizer: ak.Pseudonymizer) -> None:
    runs = runs_of_people(tmp_path / "source")
    bag = bag_of(runs, tmp_path / "bag", "run-of-zq-user-1", pseudonymizer=pseudonymizer)
    assert package(bag.path)["auditkit:pseudonymised"] == pseudonymizer.changed
    said = read_info((bag.path / "bag-info.txt").read_bytes())
    assert said["Pseudonymised"].startswith("pseudonymised, not anonymised")
    assert "PSEUDONYMISED, not anonymised" in (bag.path / "VERIFY.txt").read_text()


def test_with_pseudonyms_too_an_error_names_every_run_that_fails(
    tmp_path: Path, pseudonymizer: ak.Pseudonymizer
) -> None:
    bad = [a_run([a_result(0, userScore="85")], id=f"bad-{number}") for number in (1, 2)]
    runs = source(tmp_path / "source", a_run(id="good"), *bad)
    with pytest.raises(BatchError) as caught:
        bag_of(runs, tmp_path / "bag", ["lost", "bad-1", "good", "bad-2"], pseudonymizer=pseudonymizer)
    assert [failure.run_id for failure in caught.value.failures] == ["lost", "bad-1", "bad-2"]


# --- the page for a reader without Python ---


def test_the_page_is_a_page(runs: Path, tmp_path: Path, age_key: Any, pseudonymizer: Any) -> None:
    key, _ = signing_key(tmp_path / "keys")
    covers: list[dict[str, Any]] = [{}, {"sign": key}, {"encrypt_to": age_key.public}]
    covers += [{"sign": key, "encrypt_to": age_key.public, "pseudonymizer": pseudonymizer}]
    for number, cover in enumerate(covers):
        bag = bag_of(runs, tmp_path / f"bag-{number}", **cover)
        page = (bag.path / "VERIFY.txt").read_text("ascii")
        lines = page.splitlines()
        assert len(lines) <= 60
        assert max(map(len, lines)) <= 80
        assert ("ssh-keygen -Y verify" in page) == ("sign" in cover)
        assert ("age -d" in page) == ("encrypt_to" in cover)
        assert ("not anonymised" in page) == ("pseudonymizer" in cover)
        assert ("CONTROL TOTALS" in page) != ("encrypt_to" in cover)


# --- the form of tag files ---


def test_manifest_lines_escape_what_would_end_them() -> None:
    hashes = {"data/a\nb": "a" * 64, "data/100%": "b" * 64, "data/\r": "c" * 64}
    text = manifest_text(hashes)
    assert text == (
        b"c" * 64 + b"  data/%0D\n" + b"b" * 64 + b"  data/100%25\n" + b"a" * 64 + b"  data/a%0Ab\n"
    )
    assert read_manifest(text) == hashes


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\n", b"\xff", b"a" * 64 + b"  data/x", b"a" * 63 + b"  data/x\n", b"A" * 64 + b"  data/x\n",
        b"a" * 64 + b" data/x\n", b"a" * 64 + b" *data/x\n", b"a" * 64 + b"   data/x \r\n\n",
        b"a" * 64 + b"  data/x\n" + b"b" * 64 + b"  data/x\n",
        b"a" * 64 + b"  data/y\n" + b"b" * 64 + b"  data/x\n", b"a" * 64 + b"  data/100%\n",
    ],
)  # fmt: skip
def test_a_manifest_that_is_not_as_we_write_it_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"line|UTF-8|order"):
        read_manifest(data)


def test_a_long_line_of_bag_info_is_folded_and_unfolded() -> None:
    words = " ".join(f"word-{number}" for number in range(40))
    text = info_text([("Label", words), ("Other", "x" * 200), ("Last", "1")]).decode()
    assert max(map(len, text.splitlines()[:-3])) <= 79
    assert all(line.startswith("  ") for line in text.splitlines()[1:5])
    assert read_info(text.encode()) == {"Label": words, "Other": "x" * 200, "Last": "1"}


@pytest.mark.parametrize(
    "data", [b"", b"A: 1", b"\xff\n", b"\n", b" A: 1\n", b"A\n", b": 1\n", b"A: 1\nA: 2\n"]
)
def test_a_bag_info_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"line|UTF-8"):
        read_info(data)


def test_a_bag_of_hostile_texts_is_whole(tmp_path: Path) -> None:
    runs = source(tmp_path / "source", hostile_run(id="=hostile"))
    bag = bag_of(runs, tmp_path / "bag", "=hostile")
    assert ak.verify_bag(bag).recounted
    with (bag.path / "findings.csv").open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert len(found) == resources(bag.path)["findings.csv"]["rows"] > 24
    assert {row["run_id"] for row in found} == {"'=hostile"}
