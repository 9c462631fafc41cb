"""Runs in object stores: the same as in a folder, in few requests, and never half of one."""

from __future__ import annotations

import gzip
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from buckets import KEY_ID, SECRET, Bucket, Gate, bucket_fixture, gate_fixture, s3_server_fixture  # noqa: F401
from records import a_result, a_run, dumped, exported, meaning, meanings

import auditkit as ak
from auditkit import errors

SAMPLES = Path(__file__).parents[1] / "sample_data" / "runs"
Put = tuple[str, Any]


@pytest.fixture(params=["s3", "memory", "file"])
def runs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Put]:
    """The URL of an empty folder, and how something is put into it."""
    if request.param == "s3":
        there: Bucket = request.getfixturevalue("bucket")
        yield f"{there.url}/runs", lambda name, data: there.put(f"runs/{name}", data)
    elif request.param == "memory":
        from fsspec.implementations.memory import MemoryFileSystem

        system = MemoryFileSystem()
        yield "memory://loopback/runs", lambda name, data: system.pipe_file(f"/loopback/runs/{name}", data)
        system.store.clear()
        system.pseudo_dirs[:] = [""]
    else:
        folder = tmp_path / "runs"

        def put(name: str, data: bytes) -> None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)

        yield folder.as_uri(), put


@pytest.fixture
def samples(runs: Put) -> str:
    """The URL of the sample runs, with what else may stand beside them."""
    url, put = runs
    for path in SAMPLES.iterdir():
        put(path.name, path.read_bytes())
    put(".hidden.json", b"{}")
    put("export-log.jsonl", b"{}\n")
    put("README.md", b"# Runs\n")
    put("older/run-009.json", dumped(a_run(id="run-009")))
    return url


def test_the_runs_are_those_of_the_folder(samples: str) -> None:
    assert ak.list_available_runs(source=samples) == ak.list_available_runs(source=SAMPLES)
    pd.testing.assert_frame_equal(ak.load_runs(source=samples), ak.load_runs(source=SAMPLES))
    pd.testing.assert_frame_equal(ak.load_results(source=samples), ak.load_results(source=SAMPLES))


def test_a_trailing_slash_changes_nothing(samples: str) -> None:
    assert ak.list_available_runs(source=samples + "/") == ak.list_available_runs(source=SAMPLES)


@pytest.mark.parametrize(
    ("pattern", "ids"),
    [
        ("run-00[13].json", ["run-001", "run-003"]),
        ("run-00?.json", [f"run-00{n}" for n in range(1, 7)]),
        ("*/*.json", ["run-009"]),
        ("**/run-00[19].json", ["run-001", "run-009"]),
    ],
)
def test_a_glob_matches_what_it_matches_on_disk(runs: Put, pattern: str, ids: list[str]) -> None:
    url, put = runs
    for number in range(1, 7):
        put(f"run-00{number}.json", dumped(a_run(id=f"run-00{number}")))
    put("older/run-009.json", dumped(a_run(id="run-009")))
    put("older/.hidden.json", b"no run")
    put(".trash/run-007.json", b"no run")
    assert sorted(ak.list_available_runs(source=f"{url}/{pattern}")) == ids


@pytest.mark.parametrize("suffix", ["json", "json.gz", "json.zst", "csv", "parquet", "jsonl"])
def test_one_file_of_any_kind_is_a_source(runs: Put, tmp_path: Path, suffix: str) -> None:
    url, put = runs
    kind, _, packed = suffix.partition(".")
    options: dict[str, Any] = {"compression": {"gz": "gzip", "zst": "zstd"}[packed]} if packed else {}
    local = ak.export_audit_run("run-001", kind, source=SAMPLES, output_dir=tmp_path / "made", **options)
    put(local.path.name, local.path.read_bytes())
    assert meanings(f"{url}/{local.path.name}") == meanings(local.path)


def test_a_file_that_is_added_is_seen(runs: Put) -> None:
    url, put = runs
    put("run-001.json", dumped(a_run(id="run-001")))
    source = ak.open_source(url)
    assert ak.list_available_runs(source=source) == ["run-001"]
    put("run-002.json", dumped(a_run(id="run-002")))
    assert ak.list_available_runs(source=source) == ["run-001", "run-002"]


def test_broken_files_are_told_of_by_their_url(runs: Put) -> None:
    url, put = runs
    put("run-001.json", dumped(a_run(id="run-001")))
    put("run-002.json", dumped(a_run([a_result(userScore="high")], id="run-002")))
    failures = ak.load_failures(source=url)
    assert len(failures) == 1
    assert failures.file[0].endswith("runs/run-002.json")
    with pytest.raises(errors.InvalidRunError, match="userScore"):
        ak.load_results(source=url)


def test_what_is_not_there_is_told_as_such(runs: Put) -> None:
    url, put = runs
    put("run-001.json", dumped(a_run(id="run-001")))
    for missing in (f"{url}/run-002.json", f"{url}/*.csv", f"{url}-of-yesterday"):
        with pytest.raises(FileNotFoundError, match="No such folder, file or glob"):
            ak.open_source(missing)


def test_a_csv_without_the_guard_is_known_by_the_log_in_the_working_folder(
    bucket: Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = a_run([a_result(notes="'=1+1")])
    (tmp_path / "run.json").write_bytes(dumped(run))
    monkeypatch.chdir(tmp_path)
    to = {"source": tmp_path / "run.json", "output_dir": bucket.url}
    bare = ak.export_audit_run("run-001", "csv", formula_guard=False, **to)
    guarded = ak.export_audit_run("run-001", "csv", **to)
    assert bucket.read(bare.path.name) != bucket.read(guarded.path.name)
    for receipt in (bare, guarded):
        assert ak.load_run("run-001", source=receipt).results.notes[0] == "'=1+1"


# --- requests --------------------------------------------------------------------------------------------


def large_run(mebibytes: int) -> bytes:
    results = [a_result(number, notes="x" * 700) for number in range(mebibytes * 950)]
    return dumped(a_run(results, totalSubmissions=len(results)))


def test_a_json_of_ten_megabytes_costs_few_requests(bucket: Bucket, gate: Gate) -> None:
    data = large_run(10)
    bucket.put("run.json", data)
    assert len(data) > 10 << 20
    run = ak.load_run("run-001", source=f"{bucket.url}/run.json")
    assert len(run.results) == 9500
    assert len(gate.seen) < 40, gate.seen


def test_the_headers_of_a_folder_cost_four_requests_a_file_at_most(bucket: Bucket, gate: Gate) -> None:
    for number in range(20):
        bucket.put(f"run-{number}.json", dumped(a_run(id=f"run-{number}")))
    assert len(ak.load_runs(source=bucket.url)) == 20
    assert len(gate.seen) <= 4 * 20 + 10


def test_a_parquet_is_read_by_its_parts(bucket: Bucket, gate: Gate, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(large_run(4))
    local = ak.export_audit_run(
        "run-001", "parquet", source=tmp_path / "run.json", output_dir=tmp_path / "made"
    )
    bucket.put("run.parquet", local.path.read_bytes())
    run = ak.load_run("run-001", source=f"{bucket.url}/run.parquet")
    pd.testing.assert_frame_equal(run.results, ak.load_run("run-001", source=local.path).results)
    assert len(gate.seen) < 60, len(gate.seen)


# --- what goes wrong -------------------------------------------------------------------------------------


def no_secret(error: BaseException) -> None:
    shown = "".join(traceback.format_exception(error)) + repr(error)
    assert SECRET not in shown
    assert KEY_ID not in shown


def is_body(method: str, target: str) -> bool:
    return method == "GET" and "list-type" not in target


@pytest.mark.parametrize("word", ["cut", "halve"])
def test_a_connection_that_is_cut_once_is_taken_up_again(bucket: Bucket, gate: Gate, word: str) -> None:
    run = a_run(50)
    bucket.put("run.json", dumped(run))
    told: list[str] = []

    def once(method: str, target: str, before: int) -> str:
        if is_body(method, target) and not told:
            told.append(target)
            return word
        return "pass"

    gate.rule = once
    assert meanings(f"{bucket.url}/run.json") == [meaning(run)]
    assert told


@pytest.mark.parametrize("word", ["cut", "halve", "500 InternalError", "403 AccessDenied"])
def test_a_connection_that_ends_in_the_middle_is_one_error_and_no_evidence(
    bucket: Bucket,
    gate: Gate,
    tmp_path: Path,
    word: str,
) -> None:
    bucket.put("run.json", large_run(4))
    served: list[str] = []

    def later(method: str, target: str, before: int) -> str:
        if is_body(method, target):
            served.append(target)
        return word if len(served) > 3 else "pass"

    gate.rule = later
    with pytest.raises(OSError, match="The store") as caught:
        ak.export_audit_run("run-001", "csv", source=f"{bucket.url}/run.json", output_dir=tmp_path / "out")
    assert "run.json" in str(caught.value)
    no_secret(caught.value)
    assert exported(tmp_path / "out") == {}


def test_an_object_that_is_replaced_while_it_is_read_is_not_mixed(bucket: Bucket, gate: Gate) -> None:
    first = large_run(4)
    bucket.put("run.json", first)
    other = first.replace(b'"notes": "x', b'"notes": "y')
    assert len(other) == len(first)
    served: list[str] = []

    def replace(method: str, target: str, before: int) -> str:
        if is_body(method, target):
            served.append(target)
            if len(served) == 4:
                bucket.put("run.json", other)
        return "pass"

    gate.rule = replace
    with pytest.raises(OSError, match="changed while it was read"):
        ak.load_run("run-001", source=f"{bucket.url}/run.json")


def test_a_listing_that_is_refused_says_what_to_check(bucket: Bucket, gate: Gate) -> None:
    gate.rule = lambda method, target, before: "403 InvalidAccessKeyId"
    with pytest.raises(PermissionError, match="Check the credentials") as caught:
        ak.open_source(f"{bucket.url}/runs")
    no_secret(caught.value)


def test_gzip_that_is_cut_off_is_no_run(runs: Put) -> None:
    url, put = runs
    put("run-001.json.gz", gzip.compress(dumped(a_run(200)), mtime=0)[:-20])
    with pytest.raises(errors.InvalidRunError):
        ak.load_run("run-001", source=f"{url}/run-001.json.gz")


def test_the_location_shows_no_secret(bucket: Bucket) -> None:
    bucket.put("run-001.json", dumped(a_run()))
    source = ak.open_source(bucket.url)
    assert source.location == bucket.url
    assert SECRET not in repr(source)
    assert KEY_ID not in repr(source)
