"""Runs in folders, globs and files: which files count, what kind they are, and what a listing reads."""

from __future__ import annotations

import errno
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from records import (
    RUN_COLUMNS,
    Record,
    a_result,
    a_run,
    dumped,
    dumped_lines,
    flat_records,
    found,
    listed,
    load_one,
    meaning,
    meanings,
    saved,
    without,
    written,
)

import auditkit as ak

InvalidRunError = ak.errors.InvalidRunError

LATE = {"completedAt": "2024-01-15T12:30:00Z"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three sound runs, each in a file of its name."""
    made = tmp_path / "runs"
    made.mkdir()
    for number in (2, 1, 3):
        saved(made / f"run-{number}.json", dumped(a_run(number, id=f"run-{number}")))
    return made


def every_kind(run: Record, folder: Path) -> dict[str, bytes]:
    """A run in every format and packing that can be read, by a name for it."""
    made = load_one(saved(folder / "source.tmp", dumped(run)))
    os.remove(folder / "source.tmp")
    plain = {
        "compact": dumped(run, None),
        "indented": dumped(run),
        "flat": written(made, "json", flatten_results=True),
        "lines": written(made, "jsonl"),
        "csv": written(made, "csv"),
        "excel": written(made, "csv", excel=True),
        "parquet": written(made, "parquet"),
    }
    packed = {f"{name} gz": gzip.compress(data) for name, data in plain.items()}
    frozen = {f"{name} zst": pa.compress(data, codec="zstd", asbytes=True) for name, data in plain.items()}
    return plain | packed | frozen


# Which files.


def test_a_folder_is_read_without_its_subfolders_in_the_order_of_the_names(folder: Path) -> None:
    (folder / "archive").mkdir()
    saved(folder / "archive" / "run-9.json", dumped(a_run(1, id="run-9")))
    (folder / "looks-like-a.json").mkdir()
    assert ak.list_available_runs(source=folder) == ["run-1", "run-2", "run-3"]
    assert ak.list_available_runs(source=f"{folder}/") == ["run-1", "run-2", "run-3"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("README.md", b"# The runs\n"),
        ("README.md", b"[The runs](https://example.org) of 2024\n"),
        ("README.md", b"[![build](badge.svg)](ci)\n\n# Runs\n"),
        ("README", b"{these are our runs}\n"),
        ("README.txt", b""),
        ("LICENSE", b"MIT\n"),
        ("Makefile", b"all:\n\techo\n"),
        ("generate.py", b'"""Makes the runs."""\n'),
        ("photo.png", b"\x89PNG\r\n\x1a\n" + bytes(50)),
        ("notes.docx", b"PK\x03\x04" + bytes(50)),
        (".run-0.json", dumped(a_run(1, id="hidden"))),
        (".run-1.json.swp", b"b0VIM 9.0"),
        (".DS_Store", bytes(20)),
        (".hidden.json", b"{"),
        ("export-log.jsonl", b'{"seq":1,"prev":"00"}\n'),
    ],
)
def test_what_stands_beside_the_runs_of_a_folder_is_left_alone(
    folder: Path, name: str, content: bytes
) -> None:
    saved(folder / name, content)
    assert ak.list_available_runs(source=folder) == ["run-1", "run-2", "run-3"]
    assert len(ak.load_failures(source=folder)) == 0


@pytest.mark.parametrize("name", ["run-0.json", "run-0.JSON", "run-0.csv", "run-0.parquet", "run-0.json.gz"])
@pytest.mark.parametrize("content", [b"", b"# no run", b"{", b"[]]", bytes(30)], ids=repr)
def test_a_file_named_as_a_run_that_is_none_is_told_of(folder: Path, name: str, content: bytes) -> None:
    saved(folder / name, content)
    with pytest.raises(InvalidRunError, match=name):
        ak.list_available_runs(source=folder)


def test_a_glob_reaches_into_subfolders_and_takes_only_what_it_matches(folder: Path) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    saved(folder / "a" / "b" / "run-8.json", dumped(a_run(1, id="run-8")))
    saved(folder / "a" / "other.json", dumped(a_run(1, id="other")))
    saved(folder / "a" / "run-9.txt", dumped(a_run(1, id="run-9")))
    assert ak.list_available_runs(source=f"{folder}/**/run-*.json") == ["run-8", "run-1", "run-2", "run-3"]
    assert ak.list_available_runs(source=folder / "run-[13].json") == ["run-1", "run-3"]
    assert ak.list_available_runs(source=f"{folder}/a/*") == ["other", "run-9"]


def test_one_file_is_a_source(folder: Path) -> None:
    assert ak.list_available_runs(source=folder / "run-2.json") == ["run-2"]
    assert ak.list_available_runs(source=str(folder / "run-2.json")) == ["run-2"]


def test_a_file_or_folder_whose_name_looks_like_a_glob_is_taken_as_it_is(folder: Path) -> None:
    odd = saved(folder / "run[1]*?.json", dumped(a_run(1, id="odd")))
    assert ak.list_available_runs(source=odd) == ["odd"]
    inner = folder / "[a]"
    inner.mkdir()
    saved(inner / "run.json", dumped(a_run(1, id="inner")))
    assert ak.list_available_runs(source=inner) == ["inner"]


def test_several_files_are_a_source_in_the_order_given(folder: Path) -> None:
    files = [folder / "run-3.json", str(folder / "run-1.json")]
    assert ak.list_available_runs(source=files) == ["run-3", "run-1"]
    assert ak.list_available_runs(source=tuple(files)) == ["run-3", "run-1"]
    assert ak.load_results(source=files)["run_id"].to_list() == ["run-3"] * 3 + ["run-1"]


def test_a_missing_file_among_several_is_told_of_and_hides_no_other(folder: Path) -> None:
    files = [folder / "run-3.json", folder / "gone.json", folder]
    with pytest.raises(InvalidRunError, match="gone") as caught:
        ak.list_available_runs(source=files)
    assert caught.value.failure_count == 2
    assert ak.list_available_runs(source=files, on_error="skip") == ["run-3"]


def test_an_empty_folder_is_a_source_without_runs(tmp_path: Path) -> None:
    assert ak.list_available_runs(source=tmp_path) == []
    assert len(ak.load_runs(source=tmp_path)) == 0
    assert len(ak.load_results(source=tmp_path)) == 0


@pytest.mark.parametrize("name", ["missing", "missing/run.json", "run-*.nothing", "**/nothing.json"])
def test_a_source_that_is_not_there_is_named(folder: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        ak.list_available_runs(source=folder / name)
    assert caught.value.errno == errno.ENOENT
    assert str(caught.value.filename) == str(folder / name)


def test_a_path_may_begin_with_the_home_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert ak.list_available_runs(source="~/runs") == ["run-1", "run-2", "run-3"]


def test_a_kind_of_source_that_cannot_be_opened_is_refused() -> None:
    with pytest.raises(ak.errors.NoSourceError, match="gopher"):
        ak.open_source("gopher://example.org/runs")


def test_a_source_may_be_opened_once_and_sees_new_files(folder: Path) -> None:
    source = ak.open_source(folder)
    assert ak.open_source(source) is source
    assert source.location == str(folder)
    assert len(ak.list_available_runs(source=source)) == 3
    saved(folder / "run-4.json", dumped(a_run(1, id="run-4")))
    assert len(ak.list_available_runs(source=source)) == 4


def test_a_linked_file_is_read(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "run-1.json").rename(folder / "elsewhere" / "run-1.json")
    (folder / "run-1.json").symlink_to(folder / "elsewhere" / "run-1.json")
    assert ak.list_available_runs(source=folder) == ["run-1", "run-2", "run-3"]


def test_a_link_that_leads_nowhere_hides_no_run(folder: Path) -> None:
    (folder / "run-0.json").symlink_to(folder / "gone.json")
    assert ak.list_available_runs(source=folder, on_error="skip") == ["run-1", "run-2", "run-3"]


# What kind of file.


@pytest.mark.parametrize("name", ["run.json", "run.csv", "run.parquet", "run.gz", "run.jsonl", "run"])
def test_the_kind_of_a_file_is_told_by_its_content_not_by_its_name(tmp_path: Path, name: str) -> None:
    for kind, data in every_kind(a_run(2), tmp_path).items():
        path = saved(tmp_path / name, data)
        assert ak.list_available_runs(source=path) == ["run-001"], kind
        assert ak.list_available_runs(source=tmp_path) == ["run-001"], kind
        assert ak.load_results(source=path)["submission_id"].to_list() == ["sub-000", "sub-001"], kind


def test_a_folder_may_hold_every_kind_at_once(tmp_path: Path) -> None:
    kinds = {}
    for number, name in enumerate(every_kind(a_run(1), tmp_path)):
        kinds[f"{number:02}"] = every_kind(a_run(number, id=f"run-{number:02}"), tmp_path)[name]
    for number, data in kinds.items():
        saved(tmp_path / f"{number}.json", data)
    sizes = ak.load_results(source=tmp_path).groupby("run_id").size().to_dict()
    assert sizes == {f"run-{number:02}": number for number in range(1, len(kinds))}


def test_what_the_command_wrote_is_a_source_again(tmp_path: Path, folder: Path) -> None:
    ids = ["run-1", "run-2", "run-3"]
    for format, flat in (("csv", False), ("json", False), ("jsonl", False), ("json", True)):
        exports = tmp_path / f"{format} {flat}"
        ak.export_multiple_runs(ids, format, source=folder, output_dir=exports, flatten_results=flat)
        assert ak.list_available_runs(source=exports) == ids


def test_empty_json_lines_are_what_a_run_without_results_leaves(tmp_path: Path) -> None:
    files = {"a.jsonl": b"", "b.ndjson": b"", "c.jsonl.gz": gzip.compress(b""), "d.json": b"[]\n"}
    for name, data in files.items():
        saved(tmp_path / name, data)
    assert ak.list_available_runs(source=tmp_path) == []


# One id, one place.


def test_one_id_in_two_files_is_an_error_that_names_both(folder: Path) -> None:
    saved(folder / "copy-of-2.json", dumped(a_run(1, id="run-2")))
    with pytest.raises(InvalidRunError) as caught:
        ak.list_available_runs(source=folder)
    for part in ("run-2", "copy-of-2.json", "run-2.json"):
        assert part in str(caught.value)
    with pytest.raises(InvalidRunError, match=r"copy-of-2\.json"):
        ak.load_run("run-2", source=folder)
    with pytest.raises(InvalidRunError, match=r"copy-of-2\.json"):
        ak.export_audit_run("run-2", "csv", source=folder, output_dir=folder / "exports")
    assert not (folder / "exports").exists() or not list((folder / "exports").glob("audit-run*"))
    assert ak.list_available_runs(source=folder, on_error="skip") == ["run-1", "run-3"]
    assert ak.load_run("run-3", source=folder).id == "run-3"
    assert ak.load_run("run-2", source=folder / "copy-of-2.json").id == "run-2"
    assert "copy-of-2.json" in ak.load_failures(source=folder)["rule"].str.cat()


@pytest.mark.parametrize("form", ["array", "lines", "flat", "csv"])
def test_one_id_twice_in_one_file_is_an_error(tmp_path: Path, form: str) -> None:
    group = [a_run(1, id="a"), a_run(1, id="b"), a_run(2, id="a")]
    made = [load_one(saved(tmp_path / "r.json", dumped(run))) for run in group]
    data = {
        "array": dumped(group),
        "lines": dumped_lines(group),
        "flat": dumped([record for run in group for record in flat_records(run)]),
        "csv": written(made, "csv"),
    }[form]
    path = saved(tmp_path / "runs", data)
    with pytest.raises(InvalidRunError, match="runs"):
        ak.list_available_runs(source=path)
    with pytest.raises(InvalidRunError):
        ak.load_run("a", source=path)


def test_ids_that_differ_in_case_or_form_are_different_runs(tmp_path: Path) -> None:
    ids = ["run", "RUN", "é", "e\u0301", " run", "1", "01", "1.0"]
    saved(tmp_path / "runs.json", dumped([a_run(n, id=text) for n, text in enumerate(ids)]))
    assert ak.list_available_runs(source=tmp_path) == ids
    assert [len(ak.load_run(text, source=tmp_path).results) for text in ids] == list(range(len(ids)))


# Broken files.


@pytest.fixture
def partly_broken(folder: Path) -> Path:
    saved(folder / "run-4.json", dumped(a_run(1, id="run-4"))[:-30])
    saved(folder / "run-5.json", b"")
    saved(folder / "run-6.json", dumped(a_run(1, id="run-6", status="odd", reviewer=None)))
    saved(folder / "run-7.json", dumped(a_run([a_result(0), a_result(1, aiScore="x")], id="run-7")))
    return folder


def test_a_broken_file_does_not_hide_the_others(partly_broken: Path) -> None:
    ids = ["run-1", "run-2", "run-3", "run-7"]
    assert ak.list_available_runs(source=partly_broken, on_error="skip") == ids
    assert ak.load_runs(source=partly_broken, on_error="skip")["run_id"].to_list() == ids
    assert len(ak.load_run("run-3", source=partly_broken).results) == 3
    assert len(ak.load_results(["run-1", "run-3"], source=partly_broken)) == 4
    exports = partly_broken.parent / "exports"
    assert ak.export_audit_run("run-2", "csv", source=partly_broken, output_dir=exports).rows == 2


def test_the_error_about_a_folder_lists_all_that_is_broken(partly_broken: Path) -> None:
    for load in (ak.list_available_runs, ak.load_runs):
        with pytest.raises(InvalidRunError) as caught:
            load(source=partly_broken)
        frame = caught.value.failures
        names = [Path(file).name for file in frame["file"]]
        assert names == ["run-4.json", "run-5.json", "run-6.json", "run-6.json"]
        assert set(frame["field"].dropna()) == {"status", "reviewer"}


def test_load_failures_reads_every_run_to_its_end(partly_broken: Path) -> None:
    frame = ak.load_failures(source=partly_broken)
    names = [Path(file).name for file in frame["file"]]
    assert sorted(names) == ["run-4.json", "run-5.json", "run-6.json", "run-6.json", "run-7.json"]
    last = frame[frame["run_id"] == "run-7"]
    assert last[["position", "field"]].to_numpy().tolist() == [[1, "aiScore"]]


@pytest.mark.parametrize("run_id", ["run-4", "run-5", "run-6", "run-7"])
def test_a_run_in_a_broken_file_is_refused_with_the_failures_of_that_file(
    partly_broken: Path, run_id: str
) -> None:
    with pytest.raises(InvalidRunError) as caught:
        ak.load_run(run_id, source=partly_broken)
    assert {Path(row.file).name for row in caught.value.rows} == {f"{run_id}.json"}
    with pytest.raises(InvalidRunError):
        ak.export_audit_run(run_id, "csv", source=partly_broken, output_dir=partly_broken / "exports")
    exports = partly_broken / "exports"
    assert not exports.exists() or not list(exports.glob("audit-run*"))


def test_all_results_of_a_folder_with_a_broken_row_are_refused_with_every_failure(folder: Path) -> None:
    saved(folder / "run-0.json", dumped(a_run([a_result(0, aiScore="x")], id="run-0")))
    saved(folder / "run-9.json", dumped(a_run([a_result(0), a_result(1, userId=1)], id="run-9")))
    with pytest.raises(InvalidRunError) as caught:
        ak.load_results(source=folder)
    assert [(row.run_id, row.position, row.field) for row in caught.value.rows] == [
        ("run-0", 0, "aiScore"),
        ("run-9", 1, "userId"),
    ]


def test_of_an_array_with_a_broken_run_none_is_taken(tmp_path: Path) -> None:
    group = [a_run(1, id="a"), a_run(1, id="b", status=None), a_run(1, id="c")]
    path = saved(tmp_path / "runs.json", dumped(group))
    with pytest.raises((InvalidRunError, ak.errors.RunNotFoundError), match=r"runs\.json"):
        ak.load_run("a", source=path)
    with pytest.raises(InvalidRunError):
        ak.list_available_runs(source=path)


# What a listing reads.


@pytest.mark.parametrize("indent", [None, 2])
def test_a_listing_does_not_read_the_results(tmp_path: Path, indent: int | None) -> None:
    rows = [a_result(0), a_result(1, userScore="not a number", timestamp="never"), {}, a_result(3)]
    text = dumped(a_run(rows), indent)
    for data in (text, text.replace(b'"not a number"', b"not even json")):
        path = saved(tmp_path / "run.json", data)
        assert ak.list_available_runs(source=path) == ["run-001"]
        assert ak.load_runs(source=path)["status"].to_list() == ["completed"]
        with pytest.raises(InvalidRunError):
            ak.load_run("run-001", source=path)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("count", [1, 20, 400])
def test_a_listing_notices_that_the_tail_is_missing(tmp_path: Path, count: int, indent: int | None) -> None:
    text = dumped(a_run(count), indent)
    for lost in (1, 2, 3, 10, 100, len(text) // 2):
        path = saved(tmp_path / "run.json", text[:-lost])
        with pytest.raises(InvalidRunError, match=r"run\.json"):
            ak.list_available_runs(source=path)
        with pytest.raises(InvalidRunError, match=r"run\.json"):
            ak.list_available_runs(source=saved(tmp_path / "run.json", text[:-lost] + bytes(lost)))


def layouts(run: Record) -> dict[str, bytes]:
    texts = {
        "compact": json.dumps(run, separators=(",", ":")).encode(),
        "spaced": dumped(run, None),
        "indented": dumped(run),
        "windows": b"\xef\xbb\xbf" + dumped(run).replace(b"\n", b"\r\n") + b"\r\n",
        "array": dumped([run]),
        "line": dumped_lines([run]),
        "results first": dumped({"results": run["results"]} | without(run, "results")),
        "header reversed": dumped(dict(reversed(run.items()))),
    }
    packed = {f"{name}.gz": gzip.compress(text) for name, text in texts.items()}
    frozen = {f"{name}.zst": pa.compress(text, codec="zstd", asbytes=True) for name, text in texts.items()}
    return texts | packed | frozen


@pytest.mark.parametrize(
    "run",
    [
        a_run(3),
        a_run(0),
        a_run(3, completedAt=None, averageDeviation=None),
        a_run(300),
        a_run(2, x={"results": [{}], "y": None}),
        a_run(2, reviewer="r" * 70_000),
        a_run(200, x="y" * 100_000),
        a_run([a_result(0, notes="n" * 100_000)]),
        a_run(2, reviewer='"results": ['),
    ],
    ids=["small", "empty", "running", "large", "unknown", "long head", "long field", "long note", "decoy"],
)
def test_every_layout_of_a_run_lists_the_same(tmp_path: Path, run: Record) -> None:
    expected = without(meaning(run), "results")
    for name, data in layouts(run).items():
        path = saved(tmp_path / "run.json", data)
        assert listed(path) == [expected], name


@pytest.mark.parametrize("count", [2, 300])
@pytest.mark.parametrize("indent", [None, 2])
def test_late_optional_keys_are_seen_by_the_listing(tmp_path: Path, count: int, indent: int | None) -> None:
    run = without(a_run(count), "completedAt", "averageDeviation")
    for late in (LATE, {"averageDeviation": 5.5}, LATE | {"averageDeviation": 0}, {"x": [{}]}, {"z": "}]}"}):
        path = saved(tmp_path / "run.json", dumped(run | late, indent))
        assert listed(path) == [without(meaning(run | late), "results")]
        packed = saved(tmp_path / "run.gz", gzip.compress(dumped(run | late, indent)))
        assert listed(packed) == [without(meaning(run | late), "results")]


def test_the_word_completed_at_in_a_note_does_not_confuse_the_listing(tmp_path: Path) -> None:
    rows = [a_result(0, notes='"completedAt": "2024-01-15T12:30:00Z"}', x={"completedAt": 5})]
    run = without(a_run(rows), "completedAt")
    assert listed(saved(tmp_path / "run.json", dumped(run))) == [without(meaning(run), "results")]


@pytest.mark.parametrize("size", [65_530, 65_535, 65_536, 65_537, 65_540, 70_000])
def test_a_header_may_end_anywhere_near_the_end_of_the_head(tmp_path: Path, size: int) -> None:
    for indent in (None, 2):
        run = a_run(3, reviewer="")
        start = dumped(run, indent).index(b'"results"')
        run["reviewer"] = "r" * (size - start)
        path = saved(tmp_path / "run.json", dumped(run, indent))
        assert path.read_bytes().index(b'"results"') == size
        assert listed(path) == [without(meaning(run), "results")]
        assert meanings(path) == [meaning(run)]


# Streams.


def test_runs_are_opened_in_the_order_asked_and_what_is_missing_stands_in_its_place(folder: Path) -> None:
    asked = ["run-3", "run-9", "run-1"]
    for runs in (ak.open_source(folder).open(asked), list(ak.open_source(folder).load(asked))):
        names = [getattr(run, "id", type(run).__name__) for run in runs]
        assert names == ["run-3", "RunNotFoundError", "run-1"]


def test_an_opened_run_streams_its_file_each_time(folder: Path) -> None:
    (run,) = ak.open_source(folder).open(["run-3"])
    assert isinstance(run, ak.AuditRun)
    assert not run.in_memory
    for _ in range(2):
        assert sum(map(len, run.batches())) == 3
    assert found(run.loaded()) == meaning(a_run(3, id="run-3"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are counted in /proc")
def test_no_file_stays_open(tmp_path: Path) -> None:
    for kind, data in every_kind(
        a_run([a_result(n, notes="n" * 2000) for n in range(600)]), tmp_path
    ).items():
        path = saved(tmp_path / "run.json", data)
        before = len(os.listdir("/proc/self/fd"))
        (run,) = ak.open_source(path).open()
        assert isinstance(run, ak.AuditRun)
        stream = run.batches()
        assert len(next(stream)) > 0
        stream.close()  # type: ignore[attr-defined]
        assert len(ak.load_results(source=path)) == 600
        saved(path, data[: len(data) // 2])
        with pytest.raises((InvalidRunError, ak.errors.RunNotFoundError)):
            ak.load_run("run-001", source=path)
        assert len(os.listdir("/proc/self/fd")) == before, kind


def test_runs_of_one_file_are_loaded_in_any_order(tmp_path: Path) -> None:
    group = [a_run(n, id=f"run-{n}") for n in range(6)]
    for data in (dumped(group), dumped_lines(group)):
        path = saved(tmp_path / "runs.json", data)
        for ids in (["run-4", "run-0", "run-2"], ["run-5"], ["run-3", "run-1"]):
            runs = ak.open_source(path).load(ids)
            assert [found(run) for run in runs] == [meaning(group[int(text[-1])]) for text in ids]
        streams = ak.open_source(path).open()
        assert [found(run.loaded()) for run in reversed(streams)] == [*map(meaning, reversed(group))]


@pytest.mark.parametrize(
    ("change", "errors"),
    [
        (lambda path: path.unlink(), OSError),
        (lambda path: path.write_bytes(b""), InvalidRunError),
        (lambda path: path.write_bytes(b"something else"), InvalidRunError),
        (lambda path: path.write_bytes(dumped(a_run(2, id="other"))), InvalidRunError),
        (lambda path: path.write_bytes(dumped(a_run(2, id="run-3"))[:-50]), InvalidRunError),
        (lambda path: path.write_bytes(b"[]"), InvalidRunError),
        (lambda path: path.write_bytes(dumped([])), InvalidRunError),
    ],
    ids=["gone", "emptied", "other", "another run", "cut off", "no runs", "no list"],
)
def test_a_file_that_changed_after_it_was_opened_gives_an_error_not_fewer_rows(
    folder: Path, tmp_path: Path, change: Callable[[Path], Any], errors: Any
) -> None:
    (run,) = ak.open_source(folder).open(["run-3"])
    assert isinstance(run, ak.AuditRun)
    change(folder / "run-3.json")
    with pytest.raises(errors):
        run.loaded()
    with pytest.raises(errors):
        ak.export_audit_run(run, "csv", output_dir=tmp_path / "exports")
    assert not list((tmp_path / "exports").glob("audit-run*"))


def test_a_run_that_grew_after_it_was_opened_is_read_as_it_is_now(folder: Path) -> None:
    (run,) = ak.open_source(folder).open(["run-3"])
    assert isinstance(run, ak.AuditRun)
    grown = a_run(5, id="run-3", status="failed")
    saved(folder / "run-3.json", dumped(grown))
    assert found(run.loaded()) == meaning(grown)


def test_the_listing_names_the_columns_of_the_table(folder: Path) -> None:
    assert list(ak.load_runs(source=folder).columns) == list(RUN_COLUMNS.values())


def test_an_id_in_a_large_second_file_is_noticed_also_when_one_run_is_opened(tmp_path: Path) -> None:
    rows = [a_result(number, notes="n" * 200) for number in range(300)]
    folder = tmp_path / "runs"
    folder.mkdir()
    (folder / "a.json").write_bytes(dumped(a_run(2, id="twice")))
    lines = [dumped(run, None).strip() for run in (a_run(rows, id="other"), a_run(2, id="twice"))]
    (folder / "b.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(InvalidRunError, match=r"'twice' stands in 2 places \(a.json, b.jsonl\)"):
        ak.load_run("twice", source=folder)
    (opened,) = ak.open_source(folder).open(["twice"])
    assert isinstance(opened, InvalidRunError)


# --- what the export log beside a file says ---------------------------------------------------------------


def notes_of(path: Any, **options: Any) -> list[Any]:
    return ak.load_results(source=ak.open_source(path, **options)).notes.to_list()


@pytest.fixture
def formulas(tmp_path: Path) -> dict[str, Path]:
    """One run exported with and without the formula guard, each into a folder of its own."""
    run = a_run([a_result(row, notes=text) for row, text in enumerate(["=1+1", "'quoted", "plain"])])
    source = saved(tmp_path / "run.json", dumped(run))
    return {
        name: ak.export_audit_run(
            run["id"],
            "csv",
            source=source,
            output_dir=tmp_path / name,
            formula_guard=guard,
            compression=packed,
        ).path
        for name, guard, packed in (("with", True, None), ("without", False, None), ("packed", False, "gzip"))
    }


NOTES = ["=1+1", "'quoted", "plain"]


def test_a_csv_written_without_the_guard_comes_back_right_when_the_log_stands_beside(
    formulas: dict[str, Path],
) -> None:
    for path in formulas.values():
        assert notes_of(path) == notes_of(path.parent) == NOTES
    assert notes_of(formulas["without"], formula_guard=True) == ["=1+1", "quoted", "plain"]


def test_without_the_log_or_under_another_name_somebody_has_to_say_so(formulas: dict[str, Path]) -> None:
    moved = formulas["without"].with_name("moved.csv")
    moved.write_bytes(formulas["without"].read_bytes())
    (formulas["without"].parent / "export-log.jsonl").rename(formulas["without"].parent / "away")
    for path in (formulas["without"], moved):
        assert notes_of(path) == ["=1+1", "quoted", "plain"]
        assert notes_of(path, formula_guard=False) == NOTES


def test_a_file_that_has_another_size_than_the_log_says_is_taken_for_guarded(
    formulas: dict[str, Path],
) -> None:
    path = formulas["without"]
    path.write_bytes(path.read_bytes().replace(b"plain", b"'simple"))
    assert notes_of(path) == ["=1+1", "quoted", "simple"]


def test_a_log_that_is_a_link_or_garbage_changes_nothing(formulas: dict[str, Path], tmp_path: Path) -> None:
    log = formulas["with"].parent / "export-log.jsonl"
    log.write_bytes(b"\xff\n{}\n")
    assert notes_of(formulas["with"]) == NOTES
    log.unlink()
    log.symlink_to(formulas["without"].parent / "export-log.jsonl")
    assert notes_of(formulas["with"]) == NOTES


def test_a_csv_of_a_bag_comes_back_as_the_bag_says_that_it_was_written(tmp_path: Path) -> None:
    run = a_run([a_result(row, notes=text) for row, text in enumerate(NOTES)])
    source = saved(tmp_path / "run.json", dumped(run))
    for guard in (True, False):
        bag = ak.export_evidence(
            run["id"], tmp_path / f"bag-{guard}", "csv", source=source, formula_guard=guard
        )
        (name,) = bag.files
        assert notes_of(bag.path / "data" / name) == notes_of(bag.path / "data") == NOTES


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b'{"resources": 1}', b'{"resources": [{}]}', b"[" * 9999]
)
def test_what_only_looks_like_a_bag_changes_nothing(tmp_path: Path, text: bytes) -> None:
    run = a_run([a_result(row, notes=text) for row, text in enumerate(NOTES)])
    source = saved(tmp_path / "run.json", dumped(run))
    path = ak.export_audit_run(run["id"], "csv", source=source, output_dir=tmp_path / "x" / "data").path
    (tmp_path / "x" / "datapackage.json").write_bytes(text)
    assert notes_of(path) == NOTES
