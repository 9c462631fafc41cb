"""One run as numbered parts and a manifest: it adds up, comes last, and loads as the run it was."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import judge
import pyrage
import pytest
import reference_exporter as reference
from buckets import Bucket, bucket_fixture, s3_server_fixture  # noqa: F401 - fixtures
from children import DAY, python, succeed
from hypothesis import given
from hypothesis import strategies as st
from records import LOG, a_run, dumped, exported, found, load_one, meaning, saved
from strategies import run_ids

import auditkit as ak
from auditkit import naming
from auditkit.errors import BatchError, InvalidOptionError, InvalidRunError, VerificationError

SAMPLES = Path(__file__).parents[1] / "sample_data" / "runs"
RUN = a_run(10, id="run-010")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with one run of ten results."""
    (tmp_path / "runs").mkdir()
    saved(tmp_path / "runs" / "run-010.json", dumped(RUN))
    return tmp_path / "runs"


def in_parts(source: Path, format: str = "csv", **options: Any) -> ak.ExportReceipt:
    where = {"source": source, "output_dir": source.parent / "out", "parts": 4}
    return ak.export_audit_run("run-010", format, **{**where, **options})


def manifest_of(receipt: ak.ExportReceipt) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(receipt.path.read_bytes())
    return loaded


# --- what is written ------------------------------------------------------------------------------------


def test_the_parts_are_the_lines_of_the_whole_each_under_the_header(source: Path) -> None:
    receipt = in_parts(source)
    whole = reference.csv(RUN).splitlines(keepends=True)
    header, rows = whole[0], whole[1:]
    assert exported(source.parent / "out").keys() - {receipt.path.name} == {
        f"audit-run-run-010-{DAY}.part-0000{number}.csv" for number in (1, 2, 3)
    }
    for number, part in enumerate(receipt.parts):
        assert part.path.read_bytes() == header + b"".join(rows[4 * number : 4 * number + 4])
    assert receipt.path.name == f"audit-run-run-010-{DAY}.parts.json"


def test_rows_bytes_and_hashes_of_the_manifest_add_up(source: Path) -> None:
    receipt = in_parts(source)
    manifest = manifest_of(receipt)
    files = [source.parent / "out" / part["name"] for part in manifest["parts"]]
    data = [path.read_bytes() for path in files]
    assert [part["rows"] for part in manifest["parts"]] == [4, 4, 2]
    assert [part["first_position"] for part in manifest["parts"]] == [0, 4, 8]
    assert manifest["rows"] == receipt.rows == receipt.rows_total == 10
    assert [part["bytes"] for part in manifest["parts"]] == list(map(len, data))
    assert manifest["bytes"] == sum(map(len, data))
    assert [part["sha256"] for part in manifest["parts"]] == [judge.sha256(one) for one in data]
    lines = "".join(f"{judge.sha256(one)}  {path.name}\n" for one, path in zip(data, files, strict=True))
    assert manifest["sha256"] == hashlib.sha256(lines.encode()).hexdigest()
    assert (manifest["run_id"], manifest["format"], manifest["options"]) == ("run-010", "csv", {})
    assert (
        receipt.path.read_bytes()
        == json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    )
    assert receipt.sha256 == judge.sha256(receipt.path.read_bytes())


def test_sha256sum_tells_the_hash_of_the_whole(source: Path) -> None:
    if shutil.which("sha256sum") is None:
        pytest.skip("sha256sum is not on PATH")
    receipt = in_parts(source)
    names = [part.path.name for part in receipt.parts]
    told = subprocess.run(["sha256sum", *names], cwd=receipt.path.parent, capture_output=True, check=True)
    assert hashlib.sha256(told.stdout).hexdigest() == manifest_of(receipt)["sha256"]


def test_the_manifest_comes_last_and_every_part_is_in_the_log(source: Path) -> None:
    receipt = in_parts(source)
    log = judge.read_log(source.parent / "out" / judge.LOG).records
    commits = [one for one in log if one["event"] == "commit"]
    assert [one["path"] for one in commits] == [
        *(part.path.name for part in receipt.parts),
        receipt.path.name,
    ]
    assert [one["rows"] for one in commits] == ["4 of 10", "4 of 10", "2 of 10", "10 of 10"]
    assert commits[1]["filter"] == "part 2: rows 4 to 7"
    report = ak.verify_exports(source.parent / "out", anchor=receipt)
    assert (report.files, report.log_entries) == (4, 8)


def test_verification_finds_a_part_that_was_changed(source: Path) -> None:
    receipt = in_parts(source)
    part = receipt.parts[1].path
    part.write_bytes(part.read_bytes().replace(b"minor", b"major", 1))
    with pytest.raises(VerificationError, match=r"part-00002\.csv: changed"):
        ak.verify_exports(source.parent / "out")


@pytest.mark.parametrize("jobs", ["threads", "processes"])
def test_workers_make_the_same_parts(jobs: str, source: Path) -> None:
    alone = in_parts(source, output_dir=source.parent / "alone")
    if jobs == "threads":
        with ThreadPoolExecutor(3) as executor:
            receipt = in_parts(source, executor=executor)
    else:
        receipt = in_parts(source, jobs=2)
    assert exported(source.parent / "out") == exported(source.parent / "alone")
    assert receipt.parts == tuple(
        part.__class__(**{**vars(part), "path": source.parent / "out" / part.path.name})
        for part in alone.parts
    )


def test_a_database_and_a_dataset_give_the_same_parts(source: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/audit.sqlite"
    ak.init_database(url)
    ak.load_into_database(source, url)
    ak.export_audit_run("run-010", "parquet", source=source, output_dir=tmp_path / "dataset")
    wanted = [(part.path.name, part.sha256) for part in in_parts(source).parts]
    for number, place in enumerate((url, f"parquet:{tmp_path / 'dataset'}")):
        receipt = ak.export_audit_run(
            "run-010", "csv", source=place, output_dir=tmp_path / str(number), parts=4
        )
        assert [(part.path.name, part.sha256) for part in receipt.parts] == wanted


def test_a_workbook_holds_each_part(source: Path) -> None:
    receipt = in_parts(source, "xlsx")
    assert [part.rows for part in receipt.parts] == [4, 4, 2]
    assert all(zipfile.is_zipfile(part.path) for part in receipt.parts)


def test_parts_in_a_store_load_as_the_run(bucket: Bucket, source: Path, tmp_path: Path) -> None:
    receipt = in_parts(source, "json", output_dir=bucket.url, log=tmp_path / LOG, jobs=2)
    assert [part.path.url for part in receipt.parts] == [
        f"{bucket.url}/audit-run-run-010-{DAY}.part-0000{number}.json" for number in (1, 2, 3)
    ]
    assert found(load_one(receipt)) == meaning(RUN)
    assert ak.verify_exports(bucket.url, log=tmp_path / LOG).files == 4


def test_a_second_time_nothing_is_written(source: Path) -> None:
    first, second = in_parts(source), in_parts(source)
    assert second == first
    assert second.reused
    assert all(part.reused for part in second.parts)
    assert len(exported(source.parent / "out")) == 4


def test_other_parts_under_the_same_names_are_versions_and_the_manifest_knows_them(source: Path) -> None:
    first, second = in_parts(source), in_parts(source, parts=5)
    names = [part["name"] for part in manifest_of(second)["parts"]]
    assert names == [f"audit-run-run-010-{DAY}-2.part-0000{number}.csv" for number in (1, 2)]
    assert second.path.name == f"audit-run-run-010-{DAY}-2.parts.json"
    assert load_one(first) == load_one(second)


def test_a_run_without_results_has_one_part(tmp_path: Path) -> None:
    saved(tmp_path / "empty.json", dumped(a_run(0, id="run-010")))
    receipt = in_parts(tmp_path / "empty.json", "json", parts=True)
    assert [part.rows for part in receipt.parts] == [0]
    assert found(load_one(receipt)) == meaning(a_run(0, id="run-010"))


def test_a_run_at_hand_is_parted_too_and_a_selection_is_not(tmp_path: Path) -> None:
    run = ak.load_run("run-006", source=SAMPLES)
    receipt = ak.export_audit_run(run, "json", output_dir=tmp_path, parts=700, jobs=2)
    assert [part.rows for part in receipt.parts] == [700, 700, 100]
    assert load_one(receipt) == run
    with pytest.raises(InvalidOptionError, match="selected of run 'run-006'"):
        ak.export_audit_run(run.select(range(5)), "json", output_dir=tmp_path, parts=True)


def test_a_header_behind_the_results_stands_in_every_part(tmp_path: Path) -> None:
    run = a_run(2000, id="run-010")
    late = {"id": "run-010", "results": run["results"]} | {
        key: value for key, value in run.items() if key not in ("id", "results")
    }
    saved(tmp_path / "late.json", dumped(late))
    receipt = in_parts(tmp_path / "late.json", "json", parts=900)
    assert found(load_one(receipt)) == meaning(run)


def test_parts_take_the_place_of_none(source: Path) -> None:
    in_parts(source)
    before = exported(source.parent / "out")
    with pytest.raises(InvalidOptionError, match="would tear a run in parts"):
        in_parts(source, parts=5, if_exists="replace")
    assert exported(source.parent / "out") == before


def test_a_run_in_parts_is_cleaned_and_held_as_one(source: Path) -> None:
    out = source.parent / "out"
    receipt = in_parts(source)
    for part in receipt.parts:
        os.utime(part, (0, 0))
    assert ak.cleanup_old_exports(out, days_old=1, dry_run=True) == []  # the manifest is young
    os.utime(receipt, (0, 0))
    head = ak.hold_export(receipt)
    assert ak.cleanup_old_exports(out, days_old=1) == []
    assert ak.hold_export(receipt, release=True) != head
    assert len(ak.cleanup_old_exports(out, days_old=1)) == 4


def test_a_folder_with_parts_leads_to_the_manifest(source: Path) -> None:
    out = source.parent / "out"
    in_parts(source)
    ak.export_audit_run("run-001", "csv", source=SAMPLES, output_dir=out)
    assert ak.list_available_runs(source=out, on_error="skip") == ["run-001"]
    with pytest.raises(InvalidRunError, match=r"point at its manifest, ….parts.json"):
        ak.load_run("run-010", source=out)


# --- loaded back ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("csv", {}),
        ("csv", {"excel": True, "compression": "gzip"}),
        ("csv", {"formula_guard": False}),
        ("json", {}),
        ("json", {"flatten_results": True}),
        ("json", {"compression": "zstd"}),
        ("jsonl", {}),
        ("parquet", {"compression": "zstd"}),
    ],
)
@pytest.mark.parametrize("run_id", ["run-003", "run-004", "run-006"])
def test_the_parts_are_the_run_that_one_file_is(
    format: str, options: dict[str, Any], run_id: str, tmp_path: Path
) -> None:
    size = 400 if run_id == "run-006" else 11
    whole = ak.export_audit_run(run_id, format, source=SAMPLES, output_dir=tmp_path / "a", **options)
    parts = ak.export_audit_run(
        run_id, format, source=SAMPLES, output_dir=tmp_path / "b", parts=size, **options
    )
    again, expected = load_one(parts), load_one(whole)
    assert again == expected
    assert again.results.position.to_list() == list(range(len(expected.results)))
    assert ak.list_available_runs(source=parts) == [run_id]
    if format == "parquet" or (format == "json" and not options.get("flatten_results")):
        assert again == ak.load_run(run_id, source=SAMPLES)


def test_a_manifest_is_exported_like_any_source(source: Path, tmp_path: Path) -> None:
    ak.export_audit_run("run-010", "json", source=in_parts(source, "json"), output_dir=tmp_path / "again")
    (text,) = exported(tmp_path / "again").values()
    assert text == reference.nested_json(RUN)


def test_an_unknown_run_of_a_manifest_is_not_found(source: Path) -> None:
    with pytest.raises(ak.errors.RunNotFoundError, match="Did you mean 'run-010'"):
        ak.load_run("run-011", source=in_parts(source))


def test_encrypted_parts_load_once_they_are_decrypted(source: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    receipt = in_parts(source, encrypt_to=str(identity.to_public()))
    assert receipt.path.name == f"audit-run-run-010-{DAY}.parts.json.age"
    clear = source.parent / "clear"
    clear.mkdir()
    for path in (*(part.path for part in receipt.parts), receipt.path):
        data = pyrage.decrypt(path.read_bytes(), [identity])
        saved(clear / path.name.removesuffix(".age"), data)
    manifest = json.loads((clear / f"audit-run-run-010-{DAY}.parts.json").read_bytes())
    assert [part["plain_sha256"] for part in manifest["parts"]] == [
        judge.sha256((clear / part["name"].removesuffix(".age")).read_bytes()) for part in manifest["parts"]
    ]
    assert len(load_one(clear / f"audit-run-run-010-{DAY}.parts.json").results) == 10


def test_with_pseudonyms_the_ids_are_learnt_once_from_the_whole(source: Path) -> None:
    key = saved(source.parent / "key", bytes(range(32)))
    key.chmod(0o600)
    maker = ak.Pseudonymizer(key)
    run = load_one(in_parts(source, pseudonymizer=maker))
    assert run.results.user_id.to_list() == [maker.of(result["userId"]) for result in RUN["results"]]


# --- broken ones ----------------------------------------------------------------------------------------


def damaged(receipt: ak.ExportReceipt, **changes: Any) -> Path:
    return saved(receipt.path, json.dumps(manifest_of(receipt) | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": 11}, "totals that are not those of its parts"),
        ({"bytes": 1}, "totals that are not those of its parts"),
        ({"kind": "something"}, "no manifest of a run in parts"),
        ({"version": 2}, "no manifest of a run in parts that this version reads"),
        ({"parts": []}, "no manifest"),
        ({"parts": 7}, "no manifest"),
        ({"run_id": 7}, "no manifest"),
    ],
)
def test_a_damaged_manifest_is_refused(changes: dict[str, Any], message: str, source: Path) -> None:
    path = damaged(in_parts(source), **changes)
    with pytest.raises(InvalidRunError, match=message):
        ak.load_runs(source=path)


def test_parts_that_were_taken_out_doubled_or_put_in_another_order_are_refused(source: Path) -> None:
    receipt = in_parts(source, parts=2)
    parts = manifest_of(receipt)["parts"]
    sizes = [
        (sum(part["rows"] for part in some), sum(part["bytes"] for part in some))
        for some in (parts, parts[:4])
    ]
    assert len(load_one(receipt).results) == 10
    for some, (rows, size) in (
        (parts[::-1], sizes[0]),
        ([parts[0], *parts[:4]], sizes[0]),
        (parts[:4], sizes[1]),
        ([parts[0] | {"sha256": "0" * 64}, *parts[1:]], sizes[0]),
    ):
        with pytest.raises(InvalidRunError, match="does not list the parts as they were written"):
            ak.open_source(damaged(receipt, parts=some, rows=rows, bytes=size))


@pytest.mark.parametrize(
    "name", ["../run-010.json", "/etc/passwd", "x", f"a/audit-run-a-{DAY}.part-00001.csv", 3]
)
def test_a_manifest_leads_to_no_other_folder(name: Any, source: Path) -> None:
    receipt = in_parts(source)
    parts = manifest_of(receipt)["parts"]
    path = damaged(receipt, parts=[parts[0] | {"name": name}, *parts[1:]])
    with pytest.raises(InvalidRunError, match="no manifest"):
        ak.load_runs(source=path)


def test_text_that_is_no_json_is_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(InvalidRunError, match="is no manifest"):
        ak.open_source(saved(tmp_path / "x.parts.json", b"[" * 100_000))
    with pytest.raises(FileNotFoundError):
        ak.open_source(tmp_path / "y.parts.json")


def test_a_part_that_is_missing_cut_off_or_of_another_run_is_an_error(source: Path) -> None:
    receipt = in_parts(source)
    part = receipt.parts[1].path
    data = part.read_bytes()
    part.write_bytes(data[:-10])
    with pytest.raises(InvalidRunError, match=f"has {len(data) - 10:,} bytes, and {len(data):,} in the mani"):
        ak.load_run("run-010", source=receipt)
    part.unlink()
    with pytest.raises(FileNotFoundError):
        ak.load_run("run-010", source=receipt)


def test_a_part_with_fewer_rows_than_the_manifest_says_is_an_error(source: Path) -> None:
    receipt = in_parts(source)
    parts = manifest_of(receipt)["parts"]
    parts[0]["rows"], parts[1]["rows"], parts[1]["first_position"] = 3, 5, 3
    with pytest.raises(InvalidRunError, match=r"part-00001\.csv.*holds 4 results, and 3 in the manifest"):
        ak.load_run("run-010", source=damaged(receipt, parts=parts))


def test_parts_of_runs_that_differ_in_their_header_are_no_run(source: Path) -> None:
    receipt = in_parts(source, "json")
    part = receipt.parts[2].path
    part.write_bytes(part.read_bytes().replace(b'"admin-1",\n  "started', b'"admin-2",\n  "started'))
    assert b"admin-2" in part.read_bytes()
    with pytest.raises(InvalidRunError, match=r"part-00003.json.*something else of the run"):
        ak.load_run("run-010", source=receipt)


def test_without_all_parts_there_is_no_manifest(source: Path) -> None:
    out = source.parent / "out"
    out.mkdir()
    taken = saved(out / f"audit-run-run-010-{DAY}.part-00002.csv", b"of somebody else")
    with pytest.raises(BatchError, match=r"1 of 3 parts of run 'run-010' .*first part 2: ") as caught:
        in_parts(source, if_exists="error")
    assert [one.rows for one in caught.value.receipts] == [4, 2]
    assert [one.run_id for one in caught.value.failures] == ["run-010, part 2"]
    assert not list(out.glob("*.parts.json"))
    taken.unlink()
    again = in_parts(source, if_exists="error")
    assert [part.reused for part in again.parts] == [True, False, True]


@pytest.mark.parametrize("parts", [0, -1, 1.5, "all", None])
def test_parts_is_a_number_of_rows(parts: Any, source: Path) -> None:
    with pytest.raises(InvalidOptionError, match="is not a number of rows"):
        in_parts(source, parts=parts)
    assert not (source.parent / "out").exists()


def test_workers_without_parts_are_refused(source: Path) -> None:
    with pytest.raises(InvalidOptionError, match="Give parts=True"):
        in_parts(source, parts=False, jobs=2)


# --- names ----------------------------------------------------------------------------------------------


@given(run_ids(), run_ids(), st.integers(1, 10**7), st.integers(1, 10**7))
def test_no_two_parts_or_runs_share_a_name(one: str, other: str, first: int, second: int) -> None:
    names = {}
    for run_id in (
        one,
        other,
        f"{one}-2024-01-15.part-00001",
        f"{one}-2024-01-15",
        f"{one}-2024-01-15.parts",
    ):
        for number in (first, second):
            names[(run_id, number)] = naming.part_file_name(run_id, number, ".csv")
        names[(run_id, "whole")] = naming.run_file_name(run_id, ".csv")
        names[(run_id, "json")] = naming.run_file_name(run_id, ".json")
        names[(run_id, "manifest")] = naming.manifest_file_name(run_id, "")
    assert len(set(names.values())) == len(names)
    assert all(naming.export_format(name) in ("csv", "json") for name in names.values())


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        (f"audit-run-a-{DAY}.part-00001.csv", 2, f"audit-run-a-{DAY}-2.part-00001.csv"),
        (f"audit-run-a-{DAY}.part-123456.csv.gz.age", 3, f"audit-run-a-{DAY}-3.part-123456.csv.gz.age"),
        (f"audit-run-a-{DAY}.parts.json", 2, f"audit-run-a-{DAY}-2.parts.json"),
        (f"audit-run-a-{DAY}.parts.json.age", 2, f"audit-run-a-{DAY}-2.parts.json.age"),
    ],
)
def test_versions_of_parts_and_manifests(name: str, version: int, expected: str) -> None:
    assert naming.version_name(name, version) == expected
    assert naming.version_of(expected) == name


@pytest.mark.parametrize(
    "name",
    [
        f"audit-run-a-{DAY}.part-1.csv",
        f"audit-run-a-{DAY}.part-00001",
        f"audit-run-a-{DAY}.part-00001.parts.json",
        f"audit-run-a-{DAY}.parts.csv",
        f"audit-run-a-{DAY}.parts.json.gz",
        f"audit-run-a-{DAY}.part-00001.part-00002.csv",
    ],
)
def test_what_is_no_name_of_a_part_is_not_ours(name: str) -> None:
    assert naming.export_format(name) is None


def test_the_folder_counts_and_cleans_parts(source: Path) -> None:
    receipt = in_parts(source)
    out = source.parent / "out"
    stats = ak.get_export_stats(out)
    assert stats.files_by_format == {"csv": 3, "json": 1}
    for path in out.iterdir():
        os.utime(path, (0, 0))
    removed = ak.cleanup_old_exports(out, days_old=1)
    assert {path.name for path in removed} == {part.path.name for part in receipt.parts} | {receipt.path.name}
    ak.verify_exports(out)


# --- the command ----------------------------------------------------------------------------------------


def test_the_command_writes_parts(source: Path, tmp_path: Path) -> None:
    command = ("-m", "auditkit", "export", "run-010", "--format", "csv", "--source", source, "--output-dir")
    told = succeed(python(*command, "one", "--part-rows", "4", cwd=tmp_path)).splitlines()
    assert [line.partition(":")[0] for line in told] == [
        *(f"one/audit-run-run-010-{DAY}.part-0000{number}.csv" for number in (1, 2, 3)),
        f"one/audit-run-run-010-{DAY}.parts.json",
    ]
    assert told[3].startswith(f"one/audit-run-run-010-{DAY}.parts.json: 10 rows, ")
    succeed(python(*command, "two", "--parts", "--jobs", "2", cwd=tmp_path))
    assert len(exported(tmp_path / "two")) == 2


def test_the_command_refuses_parts_of_several_runs(tmp_path: Path) -> None:
    done = python("-m", "auditkit", "export", "a", "b", "--format", "csv", "--parts", cwd=tmp_path)
    assert done.returncode == 2
    assert "are for one run" in done.stderr
