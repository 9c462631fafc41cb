"""JSON is cut into blocks without a result being lost, whatever its layout and wherever a block ends.

What a text means is asked of Python's json, which takes the last of two equal keys, as JSON.parse does.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import reference_exporter as reference
from children import python, succeed
from hypothesis import given, settings
from hypothesis import strategies as st
from records import (
    Record,
    a_result,
    a_run,
    dumped,
    dumped_lines,
    flat_records,
    found,
    listed,
    load_all,
    load_one,
    meaning,
    meanings,
    outcome,
    saved,
    without,
)
from strategies import extra_fields, json_values, runs

import auditkit as ak
from auditkit.formats.json import blocks, read

InvalidRunError = ak.errors.InvalidRunError

LAYOUTS: dict[str, dict[str, Any]] = {
    "compact": {"separators": (",", ":")},
    "spaced": {},
    "indented": {"indent": 2},
    "tabs": {"indent": "\t"},
    "no depth": {"indent": 0},
    "wide": {"separators": (" \n, ", " \t: ")},
    "late commas": {"indent": 1, "separators": ("\n  ,", ":")},
}
SIZES = (4, 16, 127, 333, 900, 5000)
TRAPS = (
    "},{",
    "}, {",
    "},\n    {",
    "}]}",
    "]",
    "[",
    '"results":[',
    '"results": []}',
    '\\"results\\":[{',
    "\\",
    '\\"',
    '"',
    '{"id":"',
    "\\\\\\",
    "é😀\u2028",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def cut_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def cut(size: int) -> None:
        monkeypatch.setattr(blocks, "BLOCK_BYTES", size)
        monkeypatch.setattr(read, "BLOCK_BYTES", size)

    return cut


def trapped_run() -> Record:
    """A run with every trap in texts, and with nested objects that look like results."""
    nested = {
        "results": [{"id": 1}, {"id": 2, "results": [{"a": [{}]}, {}]}],
        "more": [[], [[{}]], {}],
        '"results":[': "},{",
    }
    rows = [a_result(n, notes=trap) for n, trap in enumerate(TRAPS)]
    rows.insert(
        4, a_result(90, taskTitle="".join(TRAPS), list=[{"a": 1}, {"b": 2}, {"c": []}], nested=nested)
    )
    rows.append(a_result(91, last=[{"results": []}]))
    return a_run(rows, reviewer='"results":[', note="},{", nested=nested, empty={}, none=None, list=[{}, {}])


def with_results_at(run: Record, index: int) -> Record:
    members = list(without(run, "results").items())
    members.insert(index if index >= 0 else len(members) + 1 + index, ("results", run["results"]))
    return dict(members)


def text_of(members: list[tuple[str, Any]]) -> str:
    """A JSON object with these members, keys standing twice and all."""
    return "{" + ", ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in members) + "}"


def assert_means(path: Path, *expected: Record) -> None:
    """Loading, streaming and listing agree on what the file holds."""
    assert meanings(path) == list(expected)
    assert listed(path) == [without(run, "results") for run in expected]
    for run, wanted in zip(ak.open_source(path).open(), expected, strict=True):
        assert isinstance(run, ak.AuditRun)
        assert found(run.loaded()) == wanted


# The layouts.


@pytest.mark.parametrize("index", [0, 5, -1], ids=["first", "middle", "last"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read_with_blocks_of_every_size(
    tmp_path: Path, cut_at: Callable[[int], None], layout: str, index: int
) -> None:
    run = with_results_at(trapped_run(), index)
    expected = meaning(run)
    path = saved(tmp_path / "run.json", json.dumps(run, ensure_ascii=False, **LAYOUTS[layout]))
    for size in SIZES:
        cut_at(size)
        assert found(load_one(path)) == expected, size
    assert_means(saved(tmp_path / "ascii.json", json.dumps(run, **LAYOUTS[layout])), expected)


@pytest.mark.parametrize("layout", ["compact", "indented"])
def test_a_block_may_end_at_any_byte(tmp_path: Path, cut_at: Callable[[int], None], layout: str) -> None:
    rows = [TINY | {"notes": "},{"}, TINY | {"notes": '"results":[', "x": [{}, {}]}, TINY | {"notes": "\\"}]
    run = short(*rows, y={"results": [{}, {}]})
    text = json.dumps(run, **LAYOUTS[layout])
    path = saved(tmp_path / "run.json", text)
    expected = meaning(run)
    for size in (*range(4, 120), *range(120, len(text) + 3, 9)):
        cut_at(size)
        assert found(load_one(path)) == expected, size


@pytest.mark.parametrize("layout", ["compact", "indented"])
def test_line_ends_of_windows_and_a_byte_order_mark_change_nothing(tmp_path: Path, layout: str) -> None:
    run = trapped_run()
    text = json.dumps(run, **LAYOUTS[layout]).replace("\n", "\r\n")
    assert_means(saved(tmp_path / "run.json", text.encode("utf-8-sig") + b"\r\n\r\n"), meaning(run))


def test_the_layout_may_change_from_result_to_result(tmp_path: Path, cut_at: Callable[[int], None]) -> None:
    run = trapped_run()
    head, tail = json.dumps(run | {"results": ["here"]}).split('"here"')
    layouts = list(LAYOUTS.values())
    separators = (",", " , ", ",\n\n", "\t,")
    rows = [json.dumps(row, **layouts[n % len(layouts)]) for n, row in enumerate(run["results"])]
    text = rows[0] + "".join(separators[n % 4] + row for n, row in enumerate(rows[1:]))
    path = saved(tmp_path / "run.json", head + text + tail)
    assert json.loads(path.read_text()) == run
    for size in (*SIZES, 1 << 20):
        cut_at(size)
        assert_means(path, meaning(run))


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_few_results_are_read_in_every_layout(
    tmp_path: Path, cut_at: Callable[[int], None], layout: str, count: int
) -> None:
    for index in (0, 3, -1):
        run = with_results_at(a_run(count), index)
        path = saved(tmp_path / "run.json", json.dumps(run, **LAYOUTS[layout]))
        for size in (4, 100, 1 << 20):
            cut_at(size)
            assert_means(path, meaning(run))


# What stands around the results.


@settings(max_examples=40, deadline=None)
@given(runs(max_results=3), runs(max_results=2), st.data())
def test_of_two_equal_keys_the_last_counts_wherever_they_stand(
    folder: Path, run: Record, other: Record, data: st.DataObject
) -> None:
    header = list(without(run, "results").items())
    again = data.draw(st.lists(st.sampled_from(list(without(other, "results").items())), max_size=3))
    more = list(data.draw(extra_fields(reference.RUN_KEYS)).items())
    order = Random(data.draw(st.integers(0, 999)))
    members = [*header, *again, *more]
    order.shuffle(members)
    lists = [("results", other["results"])] * data.draw(st.integers(0, 1)) + [("results", run["results"])]
    for member in lists:
        members.insert(order.randrange(len(members) + 1), member)
    if [key for key, value in members if key == "results"] and data.draw(st.booleans()):
        members.append(("attachments", [{}]))
    text = text_of(members)
    path = saved(folder / "doubled.json", text)
    with pytest.MonkeyPatch.context() as patch:
        size = data.draw(st.sampled_from((16, 100, 1000, 1 << 20)))
        patch.setattr(blocks, "BLOCK_BYTES", size)
        patch.setattr(read, "BLOCK_BYTES", size)
        assert_means(path, meaning(json.loads(text)))


@pytest.mark.parametrize("key", ["id", "reviewer", "status", "completedAt", "criticalFlags", "unknown"])
def test_a_header_key_behind_the_results_counts_more_than_one_before(tmp_path: Path, key: str) -> None:
    late = {"id": "run-late", "criticalFlags": 3, "completedAt": "2024-01-16T00:00:00Z", "status": "failed"}
    run = a_run(2, unknown=1)
    text = text_of([*run.items(), (key, late.get(key, "late"))])
    path = saved(tmp_path / "run.json", text)
    assert_means(path, meaning(json.loads(text)))
    frame = ak.load_runs(source=path)
    assert frame["run_id"].to_list() == [json.loads(text)["id"]]


@pytest.mark.parametrize("layout", ["compact", "indented"])
def test_the_listing_sees_unknown_members_also_where_the_file_ends_like_results(
    tmp_path: Path, layout: str
) -> None:
    for last in ([{}], [], [[{"a": 1}]], [{"results": []}]):
        run = a_run(2) | {"attachments": last}
        assert_means(saved(tmp_path / "run.json", json.dumps(run, **LAYOUTS[layout])), meaning(run))


@pytest.mark.parametrize("layout", ["compact", "indented"])
def test_the_listing_sees_a_late_header_key_also_where_the_file_ends_like_results(
    tmp_path: Path, layout: str
) -> None:
    for last in ([{}], [], [{"results": []}]):
        text = json.dumps(a_run(2) | {"attachments": last}, **LAYOUTS[layout])
        text = text.replace('"attachments"', '"status":"failed","attachments"')
        assert_means(saved(tmp_path / "again.json", text), meaning(json.loads(text)))


@pytest.mark.parametrize("first", [[], [{"id": "never"}], None, 5, "text"], ids=json.dumps)
def test_of_two_lists_of_results_the_last_counts(tmp_path: Path, first: Any) -> None:
    run = a_run(2)
    header = list(without(run, "results").items())
    for members in (
        [("results", first), *header, ("results", run["results"])],
        [*header, ("results", first), ("results", run["results"])],
        [("results", first), ("results", run["results"]), *header],
        [*header[:4], ("results", first), *header[4:], ("results", run["results"]), ("x", 1)],
    ):
        text = text_of(members)
        assert_means(saved(tmp_path / "run.json", text), meaning(json.loads(text)))


def test_of_two_lists_of_results_the_last_is_exported(tmp_path: Path) -> None:
    run = a_run(2)
    text = text_of([*without(run, "results").items(), ("results", a_run(9)["results"]), *run.items()])
    source = saved(tmp_path / "run.json", text)
    receipt = ak.export_audit_run("run-001", "json", source=source, output_dir=tmp_path / "exports")
    assert receipt.path.read_bytes() == reference.nested_json(run)
    assert (receipt.rows, receipt.rows_total) == (2, 2)


@pytest.mark.parametrize("late", ["reviewer", "completedAt", "unknown"])
def test_an_export_starts_again_when_a_late_key_changes_the_header(tmp_path: Path, late: str) -> None:
    run = a_run(3, unknown="early")
    text = text_of([*run.items(), (late, "2024-01-15T23:00:00Z"), ("z", [{}])])
    source = saved(tmp_path / "run.json", text)
    for format, expected in (("json", reference.nested_json), ("csv", reference.csv)):
        receipt = ak.export_audit_run("run-001", format, source=source, output_dir=tmp_path / "exports")
        assert receipt.path.read_bytes() == expected(json.loads(text))
        assert receipt.rows == 3


@pytest.mark.parametrize("name", ["results", "id", "userScore"])
def test_a_key_may_be_written_with_escapes(tmp_path: Path, name: str) -> None:
    run = a_run(2)
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in name)
    text = json.dumps(run).replace(f'"{name}":', f'"{escaped}":')
    assert escaped in text
    assert_means(saved(tmp_path / "run.json", text), meaning(json.loads(text)))


def test_unknown_objects_may_hold_results_of_their_own(tmp_path: Path, cut_at: Callable[[int], None]) -> None:
    run = a_run(3)
    decoys = [
        {"a": 1, "results": [{"id": "never"}]},
        {"results": []},
        [{"results": [1]}, {"results": {"results": [a_result(7)]}}],
    ]
    for decoy in decoys:
        for members in (
            [("x", decoy), *run.items()],
            [*list(run.items())[:5], ("x", decoy), *list(run.items())[5:], ("y", decoy)],
        ):
            path = saved(tmp_path / "run.json", text_of(members))
            for size in (8, 50, 300, 1 << 20):
                cut_at(size)
                assert_means(path, meaning(dict(members)))


def test_a_run_whose_header_is_far_from_its_results_is_not_lost(tmp_path: Path) -> None:
    run = a_run(2, reviewer="r" * 100_000, x="y" * 200_000)
    assert_means(saved(tmp_path / "run.json", json.dumps(with_results_at(run, -1))), meaning(run))
    assert_means(saved(tmp_path / "run.json", json.dumps(with_results_at(run, 0))), meaning(run))


def test_a_run_with_an_unknown_field_of_34_mb_is_read_or_refused_but_never_vanishes(tmp_path: Path) -> None:
    run = a_run(2, log="x" * 34_000_000)
    path = saved(tmp_path / "run.json", json.dumps(with_results_at(run, -1)))
    got = outcome(path)
    assert got == [meaning(run)] or "run.json" in str(got)


@pytest.mark.parametrize("space", [5000, 9000])
def test_any_amount_of_space_may_stand_around_the_key_results(
    tmp_path: Path, cut_at: Callable[[int], None], space: int
) -> None:
    run = a_run(2)
    text = json.dumps(run).replace('"results": [', '"results"' + " " * space + ":" + "\n" * space + "[")
    path = saved(tmp_path / "run.json", text)
    for size in (50, 1000, 4500, 1 << 20):
        cut_at(size)
        assert_means(path, meaning(run))


@pytest.mark.parametrize("place", ["header", "result"])
def test_a_hundred_levels_of_unknown_fields_are_kept(tmp_path: Path, place: str) -> None:
    deep: Any = [{"results": []}]
    for _ in range(100):
        deep = {"x": [deep]} if _ % 2 else [deep, {}]
    run = a_run([a_result(0), a_result(1, deep=deep)]) if place == "result" else a_run(2, deep=deep)
    assert_means(saved(tmp_path / "run.json", dumped(run, None)), meaning(run))


# More than one run.


@pytest.mark.parametrize("layout", ["compact", "indented", "wide", "late commas"])
def test_an_array_of_runs_is_read_run_by_run(
    tmp_path: Path, cut_at: Callable[[int], None], layout: str
) -> None:
    group = [a_run(0, id="a"), trapped_run() | {"id": "b"}, a_run(1, id="c", z=[{}]), a_run(0, id="d")]
    group[3] = with_results_at(group[3], 0)
    path = saved(tmp_path / "runs.json", json.dumps(group, **LAYOUTS[layout]))
    for size in (4, 100, 1 << 20):
        cut_at(size)
        assert_means(path, *map(meaning, group))


@pytest.mark.parametrize("between", ["\n", "\r\n", "\n \n\n"])
def test_json_lines_of_whole_runs_are_read_run_by_run(
    tmp_path: Path, cut_at: Callable[[int], None], between: str
) -> None:
    group = [a_run(0, id="a"), trapped_run() | {"id": "b"}, a_run(1, id="c", z=[{}]), a_run(0, id="d")]
    text = between.join(map(json.dumps, group))
    for end in ("", between):
        path = saved(tmp_path / "runs.jsonl", text + end)
        for size in (4, 100, 1 << 20):
            cut_at(size)
            assert_means(path, *map(meaning, group))


@pytest.mark.parametrize(
    "between", ["\n", "", " ", "\n" * 6000], ids=["line", "nothing", "space", "6000 lines"]
)
def test_of_runs_one_behind_the_other_none_vanishes(tmp_path: Path, between: str) -> None:
    group = [a_run(2, id="a"), a_run(1, id="b"), a_run(0, id="c")]
    ids = {}
    for name, layout in LAYOUTS.items():
        text = between.join(json.dumps(run, **layout) for run in group)
        path = saved(tmp_path / "runs.json", text)
        try:
            ids[name] = ak.list_available_runs(source=path)
            assert meanings(path) == list(map(meaning, group))
        except InvalidRunError:
            continue  # refusing such a file is right too
    assert ids == {name: ["a", "b", "c"] for name in ids}


def test_a_second_run_behind_a_large_first_one_is_listed(tmp_path: Path) -> None:
    group = [a_run(400, id="a"), a_run(400, id="b")]
    for indent in (None, 2):
        text = "\n".join(json.dumps(run, indent=indent) for run in group)
        assert len(text) > 200_000
        path = saved(tmp_path / "runs.json", text)
        try:
            ids = ak.list_available_runs(source=path)
        except InvalidRunError:
            continue
        assert ids == ["a", "b"]


def test_hundreds_of_runs_in_one_array_keep_their_results(tmp_path: Path) -> None:
    group = [a_run([a_result(n, userScore=n)], id=f"run-{n}") for n in range(600)]
    path = saved(tmp_path / "runs.json", dumped(group, None))
    frame = ak.load_results(source=path)
    assert frame["run_id"].to_list() == [run["id"] for run in group]
    assert frame["user_score"].to_list() == list(range(600))
    assert (frame["position"] == 0).all()


@pytest.mark.parametrize("indent", [None, 2])
def test_flat_records_of_many_runs_are_split_where_a_run_begins(
    tmp_path: Path, cut_at: Callable[[int], None], indent: int | None
) -> None:
    group = [
        a_run([a_result(n, notes="},{" * n, x=[{}, {}]) for n in range(count)], id=f"run-{count}")
        for count in (3, 1, 7)
    ]
    expected = [meaning(without(run, "taskTitle", "taskDifficulty", "skillArea")) for run in group]
    records = [record for run in group for record in flat_records(run)]
    array = saved(tmp_path / "flat.json", dumped(records, indent))
    lines = saved(tmp_path / "flat.jsonl", dumped_lines(records))
    for size in (4, 333, 1 << 20):
        cut_at(size)
        assert_means(array, *expected)
        assert_means(lines, *expected)


# Sizes.


def repeated(result: Record, count: int, indent: int | None) -> Iterator[str]:
    """The text of a run with a result many times over."""
    head, tail = json.dumps(a_run(["here"]), indent=indent).split('"here"')
    one = json.dumps(result, indent=indent, ensure_ascii=False)
    yield head
    yield f"{one},\n" * (count - 1) + one
    yield tail


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "note", ["plain", "},{" * 50, '"},\n{"results":[' * 20, "é😀" * 30, "\\" * 99], ids=lambda note: note[:6]
)
def test_a_file_of_many_blocks_is_read_to_the_last_row(tmp_path: Path, note: str, indent: int | None) -> None:
    result = a_result(0, notes=note)
    count = 4_500_000 // len(json.dumps(result, ensure_ascii=False, indent=indent).encode())
    path = saved(tmp_path / "run.json", "".join(repeated(result, count, indent)))
    assert path.stat().st_size > 4 << 20
    run = load_one(path)
    batches = list(run.batches())
    assert sum(map(len, batches)) == count
    assert len(batches) >= 4
    frame = run.results
    assert frame["notes"].to_list() == [note] * count
    assert frame["position"].to_list() == list(range(count))


@pytest.mark.parametrize("note", ["},{" * 3_500_000, '"' * 5_000_000], ids=["},{", '"'])
def test_a_note_of_10_mb_in_one_line_is_kept(tmp_path: Path, note: str) -> None:
    rows = [a_result(0), a_result(1, notes=note), a_result(2, notes="after")]
    path = saved(tmp_path / "run.json", json.dumps(a_run(rows), separators=(",", ":")))
    assert ak.list_available_runs(source=path) == ["run-001"]
    assert load_one(path).results["notes"].to_list() == [rows[0]["notes"], note, "after"]
    flat = saved(tmp_path / "flat.jsonl", dumped_lines(flat_records(a_run(rows))))
    assert load_one(flat).results["notes"].to_list() == [rows[0]["notes"], note, "after"]


@pytest.mark.parametrize("size", [1 << 20, (1 << 20) - 1, (1 << 20) + 1, 1 << 21, 1 << 16, (1 << 16) + 1])
@pytest.mark.parametrize("layout", ["compact", "indented"])
def test_a_file_may_end_where_a_block_ends(tmp_path: Path, layout: str, size: int) -> None:
    run = a_run([a_result(n) for n in range(40)])
    room = size - len(json.dumps(run, **LAYOUTS[layout]))
    run["results"][20]["notes"] += "n" * room
    path = saved(tmp_path / "run.json", json.dumps(run, **LAYOUTS[layout]))
    assert path.stat().st_size == size
    assert_means(path, meaning(run))


PEAK = """\
import sys
import auditkit as ak
ak.export_audit_run("run-001", "csv", source=sys.argv[1], output_dir=sys.argv[2])
(peak,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(int(peak) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is told by /proc")
def test_ten_times_the_results_need_no_more_memory(tmp_path: Path) -> None:
    result = a_result(0, notes="},{ and\nmore")
    peaks = []
    for megabytes in (4, 40):
        count = megabytes * 1_000_000 // len(json.dumps(result))
        path = tmp_path / f"{megabytes}.json"
        with path.open("w") as file:
            file.writelines(repeated(result, count, None))
        printed = succeed(python("-c", PEAK, path, tmp_path / f"exports-{megabytes}", cwd=tmp_path))
        peaks.append(int(printed))
    assert peaks[1] < peaks[0] + 15, f"{peaks} MiB"


# Damage.


def short(*rows: Record, **header: Any) -> Record:
    """A run of few bytes."""
    results = [
        a_result(0, id="r", submissionId="s", userId="u", taskTitle="t", skillArea="", timestamp=NOON) | row
        for row in rows
    ]
    texts = {
        "id": "i",
        "reviewer": "",
        "startedAt": NOON,
        "completedAt": None,
        "taskTitle": "",
        "skillArea": "",
    }
    return a_run(results, **texts | header)


NOON = "2024-01-15T12:00:00Z"
TINY = {"reviewer": None, "actionTaken": None, "notes": None}


def whole_texts() -> dict[str, bytes]:
    run = short(TINY | {"notes": "},{"}, TINY | {"notes": '"results":[]}'})
    plain = short(TINY | {"notes": "x"}, TINY)
    group = [short(TINY, id="a"), short(id="b"), short(TINY, id="c")]
    return {
        "compact": json.dumps(plain, separators=(",", ":")).encode(),
        "indented": dumped(plain) + b"\n",
        "traps": dumped(run, None),
        "results first": dumped(with_results_at(plain, 0)),
        "unknown last": dumped(run | {"z": [{"a": 1}]}),
        "nested lists": dumped(short(*[TINY | {"x": [{}, {"results": [{}]}]}] * 2), None),
        "empty": dumped(a_run(0)),
        "array": dumped(group, None),
        "flat": dumped(flat_records(plain)),
        "flat compact": dumped(flat_records(run), None),
    }


@pytest.mark.parametrize("name", whole_texts())
def test_a_file_cut_off_at_any_byte_is_refused(tmp_path: Path, name: str) -> None:
    text = whole_texts()[name]
    end = len(text.rstrip())
    expected = meanings(saved(tmp_path / "run.json", text))
    step = 1 if name in ("compact", "traps") else 9
    for cut in (*range(0, end - 30, step), *range(end - 30, end)):
        path = saved(tmp_path / "run.json", text[:cut])
        with pytest.raises(InvalidRunError) as caught:
            load_all(path)
        assert "run.json" in str(caught.value)
        assert caught.value.failure_count >= 1
    for cut in range(end, len(text)):
        assert meanings(saved(tmp_path / "run.json", text[:cut])) == expected


@pytest.mark.parametrize("name", whole_texts())
def test_a_file_cut_off_at_any_byte_is_refused_with_small_blocks_too(
    tmp_path: Path, cut_at: Callable[[int], None], name: str
) -> None:
    text = whole_texts()[name]
    for size in (16, 300):
        cut_at(size)
        for cut in range(1, len(text.rstrip()), 29):
            with pytest.raises(InvalidRunError):
                load_all(saved(tmp_path / "run.json", text[:cut]))


@pytest.mark.parametrize("name", ["compact", "indented", "results first", "empty", "array", "flat"])
def test_the_listing_notices_that_a_file_is_cut_off(tmp_path: Path, name: str) -> None:
    text = whole_texts()[name]
    end = len(text.rstrip())
    for cut in (*range(0, end - 60, 11), *range(end - 60, end)):
        with pytest.raises(InvalidRunError):
            ak.list_available_runs(source=saved(tmp_path / "run.json", text[:cut]))


@pytest.mark.parametrize("lines", ["runs", "flat"])
def test_json_lines_cut_off_inside_a_line_are_refused(tmp_path: Path, lines: str) -> None:
    group = [short(TINY, TINY, id="a"), short(TINY, id="b"), short(TINY, id="c")]
    parts = group if lines == "runs" else [record for run in group for record in flat_records(run)]
    text = dumped_lines(parts)
    line_ends = {n for n in range(len(text)) if text[n : n + 1] == b"\n" or text[n - 1 : n] == b"\n"}
    for cut in (*range(text.rindex(b"\n", 0, -200) - 2, len(text) - 9, 4), *range(len(text) - 9, len(text))):
        path = saved(tmp_path / "run.jsonl", text[:cut])
        if cut not in line_ends:
            with pytest.raises(InvalidRunError):
                load_all(path)
        else:
            count = len(text[:cut].strip().splitlines())
            assert len(ak.load_results(source=path)) == (count if lines == "flat" else [0, 2, 3, 4][count])


@pytest.mark.parametrize("name", ["compact", "indented", "array", "flat"])
@pytest.mark.parametrize("junk", [b"x", b"{}", b"]", b"}", b",", b"\0", b"\x1a", b"null", b"[]", b'"'])
def test_nothing_may_stand_behind_the_end(tmp_path: Path, name: str, junk: bytes) -> None:
    text = whole_texts()[name]
    for space in (b"", b"\n", b" " * 5000):
        with pytest.raises(InvalidRunError):
            load_all(saved(tmp_path / "run.json", text + space + junk))


@pytest.mark.parametrize("damage", ["},", "},,", "}", "} 7 ", "},null,", "},[]", "};", '}"'])
def test_what_stands_between_two_results_is_a_comma_alone(
    tmp_path: Path, cut_at: Callable[[int], None], damage: str
) -> None:
    text = dumped(a_run(6), None).decode()
    places = [n for n in range(len(text)) if text.startswith("}, {", n)]
    assert len(places) == 5
    for place in places:
        broken = text[:place] + damage + ("" if damage == "}," else " ") + text[place + 3 :]
        path = saved(tmp_path / "run.json", broken)
        for size in (4, 40, 333, 1 << 20):
            cut_at(size)
            if damage == "},":
                assert len(load_one(path).results) == 6
            else:
                with pytest.raises(InvalidRunError):
                    load_all(path)


@pytest.mark.parametrize("form", ["nested", "flat"])
def test_a_comma_behind_the_last_result_is_refused_wherever_a_block_ends(
    tmp_path: Path, cut_at: Callable[[int], None], form: str
) -> None:
    run = short(TINY, TINY, TINY)
    text = dumped(run if form == "nested" else flat_records(run), None).decode()
    end = text.rindex("]")
    path = saved(tmp_path / "run.json", text[:end] + " ," + text[end:])
    for size in [*range(4, 100, 3), *range(100, len(text) + 10, 7), 1 << 20]:
        cut_at(size)
        with pytest.raises(InvalidRunError):
            load_all(path)


@st.composite
def damaged(draw: st.DrawFn, text: bytes) -> bytes:
    """A text with a few bytes changed, taken out, put in or doubled."""
    telling = st.sampled_from([bytes([byte]) for byte in b'{}[],:"\\ \n0e-tn\x00\x1f\xc3\xed\xff'])
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text) - 1))
        stop = min(len(text), start + draw(st.sampled_from((0, 1, 1, 2, 5, 40, 200))))
        new = draw(st.one_of(telling, st.just(b""), st.just(text[start:stop] * 2), st.binary(max_size=3)))
        text = text[:start] + new + text[stop:]
    return text or b" "


def meant(text: bytes) -> list[Record] | None:
    """What json says that the text of one run means, or None if it is no JSON."""
    try:
        value = json.loads(text.removeprefix(b"\xef\xbb\xbf").decode(), parse_constant=_refuse)
    except ValueError:
        return None
    except RecursionError:
        return None
    try:
        return [meaning(run) for run in (value if isinstance(value, list) else [value])]
    except (AttributeError, TypeError, KeyError, ValueError):
        return None


def _refuse(constant: str) -> None:
    raise ValueError(constant)


@pytest.mark.parametrize("name", ["compact", "indented", "results first", "nested lists", "array"])
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_damaged_file_is_refused_or_means_what_json_says(
    folder: Path, name: str, data: st.DataObject
) -> None:
    text = whole_texts()[name]
    broken = data.draw(damaged(text))
    path = saved(folder / "damaged.json", broken)
    expected = meant(broken)
    with pytest.MonkeyPatch.context() as patch:
        size = data.draw(st.sampled_from((8, 50, 300, 1 << 20)))
        patch.setattr(blocks, "BLOCK_BYTES", size)
        patch.setattr(read, "BLOCK_BYTES", size)
        got = outcome(path)
        if isinstance(got, list):
            assert got == expected
            assert listed(path) == [without(run, "results") for run in got]
        else:
            assert got.failure_count >= len(got.rows) > 0
            assert expected != meant(text), "what was changed does not change the meaning"


@settings(max_examples=60, deadline=None)
@given(st.recursive(json_values(), lambda inner: st.lists(inner, max_size=3), max_leaves=5), st.data())
def test_json_that_is_no_run_is_refused(folder: Path, value: Any, data: st.DataObject) -> None:
    if value == []:
        return  # the flat JSON of a run without results
    path = saved(folder / "other.json", json.dumps(value, indent=data.draw(st.sampled_from((None, 2)))))
    with pytest.raises(InvalidRunError):
        load_all(path)
