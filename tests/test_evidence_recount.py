"""The files of a bag say the same in every format, and its findings are those that follow from them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from bags import contents, hostile_run, info, replaced, sealed, sha256, source
from hypothesis import given, settings
from records import a_result, a_run, dumped
from strategies import runs

import auditkit as ak
from auditkit.errors import Problem, VerificationError
from auditkit.evidence.bagfolder import opened_bag

FORMATS = ("csv", "json", "jsonl", "parquet")
HEADER = b"run_id,rule,where,recorded,recomputed,severity\n"


def fitted(bag: Path) -> None:
    """What a forger does who makes everything fit again that needs no look into a file."""
    files = contents(bag)
    payload = [data for name, data in files.items() if name.startswith("data/")]
    package = json.loads(files["datapackage.json"])
    for one in package["resources"]:
        data = files[one["path"]]
        one.update(bytes=len(data), hash=f"sha256:{sha256(data)}")
        if one["path"] == "findings.csv":
            one["rows"] = data.count(b"\n") - 1
    (bag / "datapackage.json").write_text(json.dumps(package))
    replaced(bag / "bag-info.txt", info(bag)["Payload-Oxum"], f"{sum(map(len, payload))}.{len(payload)}")
    sealed(bag)


def problems(bag: Path) -> list[Problem]:
    with pytest.raises(VerificationError) as caught:
        ak.verify_bag(bag)
    return caught.value.problems  # type: ignore[no-any-return]


def paths(bag: Path) -> list[str]:
    return sorted({problem.path for problem in problems(bag)})


def file_of(bag: Path, format: str) -> Path:
    (path,) = (path for path in (bag / "data").iterdir() if path.suffix == f".{format}")
    return path


def made(folder: Path, run: Mapping[str, Any], formats: Any = FORMATS, **options: Any) -> Path:
    """The folder of a bag of one run."""
    runs = source(folder / "source", run)
    return ak.export_evidence(run["id"], folder / "bag", formats, source=runs, **options).path


# --- sound bags ---


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"include_metadata": False},
        {"formula_guard": False},
        {"excel": True},
        {"flatten_results": True},
        {"flatten_results": True, "include_metadata": False},
        {"compression": "gzip"},
        {"compression": "zstd", "formula_guard": False},
    ],
)
def test_a_run_that_contradicts_itself_is_bagged_whole_in_every_format(tmp_path: Path, options: Any) -> None:
    run = hostile_run(x=[1.50], reviewer="=the lead", totalSubmissions=0)
    run["results"][2]["reviewer"] = ""
    run["results"][3].pop("reviewer")
    run["results"][4]["y"] = {"z": 1e-7}
    report = ak.verify_bag(made(tmp_path, run, **options))
    assert report.recounted
    left_out = [what.partition(": ")[2][:19] for what in report.not_compared]
    assert left_out == (
        ["the column reviewer", "average_deviation, "] if "include_metadata" in options else []
    )


@settings(max_examples=25, deadline=None)
@given(runs())
def test_no_sound_bag_is_suspected(run: dict[str, Any]) -> None:
    for formats in (FORMATS, ["csv"], ["csv", "jsonl"]):
        with TemporaryDirectory() as folder:
            ak.verify_bag(made(Path(folder), run, formats))


def test_what_came_without_fields_is_bagged_and_says_what_was_not_compared(tmp_path: Path) -> None:
    """A run that came from CSV has no ids of results, nor what its header has beside the columns there."""
    original = made(tmp_path / "original", a_run(a_result(n, actionTaken=None) for n in range(3)))
    csv = file_of(original, "csv")
    for formats in (*((format,) for format in FORMATS), FORMATS):
        bag = ak.export_evidence("run-001", tmp_path / "-".join(formats), formats, source=csv)
        report = ak.verify_bag(bag)
        assert report.recounted == (formats not in (("json",), ("jsonl",)))
        lacking = [
            what.partition(":")[0].rpartition(".")[2] for what in report.not_compared if "lacks" in what
        ]
        assert lacking == [format for format in ("json", "jsonl") if format in formats]
        text = report.in_words()
        assert all(f"Not compared with anything: {what}." in text for what in report.not_compared)


def test_a_run_of_which_a_file_shows_nothing_is_said_not_to_be_compared(tmp_path: Path) -> None:
    report = ak.verify_bag(made(tmp_path, a_run(0, totalSubmissions=0, averageDeviation=None), "csv"))
    assert report.not_compared == ("findings.csv: a run that no file here tells of",)
    assert report.recounted
    (tmp_path / "2").mkdir()
    assert ak.verify_bag(made(tmp_path / "2", a_run(0), ("csv", "json"))).not_compared == ()


def test_a_file_of_a_kind_that_cannot_be_loaded_is_said_not_to_be_compared(tmp_path: Path) -> None:
    pytest.importorskip("xlsxwriter")
    report = ak.verify_bag(made(tmp_path, a_run(), ("csv", "json", "xlsx")))
    (what,) = report.not_compared
    assert what.endswith(".xlsx: files of this kind cannot be loaded")


# --- one format says something else ---

OTHER_RESULT = {
    "id": "other", "submissionId": "other", "userId": "other", "userScore": 85.5, "aiScore": 78.5,
    "deviation": 7.5, "deviationType": "major", "suggestedAction": "allow", "actionTaken": "override",
    "taskTitle": "other", "skillArea": "other", "taskDifficulty": "hard",
    "timestamp": "2024-01-15T10:15:00.0Z", "reviewer": "other", "notes": "other", "unknown": 1,
}  # fmt: skip
OTHER_RUN = {
    "id": "other", "reviewer": "other", "startedAt": "2024-01-15T09:00:00Z", "completedAt": None,
    "taskTitle": "other", "taskDifficulty": "hard", "skillArea": "other", "status": "failed",
    "totalSubmissions": 4, "averageDeviation": 7.1, "criticalFlags": 1, "unknown": 1,
}  # fmt: skip


def tellings() -> Iterator[tuple[str, dict[str, Any]]]:
    """A run, and each time told otherwise in one thing."""
    rows = [a_result(n) for n in range(3)]
    for key, value in OTHER_RESULT.items():
        yield f"results.{key}", a_run([*rows[:2], rows[2] | {key: value}])
    for key in ("actionTaken", "reviewer", "notes"):
        yield f"no {key}", a_run([*rows[:2], {k: v for k, v in rows[2].items() if k != key}])
    for key, value in OTHER_RUN.items():
        yield key, a_run(**{key: value})
    yield "order", a_run([rows[0], rows[2], rows[1]])
    yield "a row less", a_run(2)
    yield "a row twice", a_run([*rows, rows[2]])


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """For each telling the bytes of its file in each format."""
    files = {}
    for name, run in tellings():
        bag = made(tmp_path_factory.mktemp("told"), run)
        files[name] = {format: file_of(bag, format).read_bytes() for format in FORMATS}
    return files


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("beside", FORMATS)
def test_a_file_that_tells_otherwise_than_another_is_named(
    told: dict[str, dict[str, bytes]], tmp_path: Path, format: str, beside: str
) -> None:
    if format == beside:
        return
    bag = made(tmp_path, a_run(), (format, beside))
    sound, caught = contents(bag), []
    file, other = file_of(bag, format), file_of(bag, beside)
    for name, files in told.items():
        if file.read_bytes() == files[format] or other.read_bytes() == files[beside]:
            continue  # one of the two formats does not carry it
        file.write_bytes(files[format])
        fitted(bag)
        assert set(paths(bag)) & {f"data/{path.name}" for path in (file, other)}, name
        caught.append(name)
        for path, data in sound.items():
            (bag / path).write_bytes(data)
    assert len(caught) >= 23
    ak.verify_bag(bag)


def test_a_csv_that_is_contradicted_by_json_is_named_with_the_column(tmp_path: Path) -> None:
    """The forgery that nothing but a look into both files betrays: JSON changed, findings emptied."""
    run = a_run([a_result(0, deviation=12)], totalSubmissions=1, averageDeviation=7)
    bag = made(tmp_path, run, ("csv", "json"))
    assert (bag / "findings.csv").read_bytes().count(b"\n") == 3  # as the deviation is not 7
    replaced(file_of(bag, "json"), '"deviation": 12', '"deviation": 7')
    (bag / "findings.csv").write_bytes(HEADER)
    fitted(bag)
    told = {problem.path: problem.detail for problem in problems(bag)}
    csv, json_ = (f"data/{file_of(bag, format).name}" for format in ("csv", "json"))
    assert told == {
        csv: f"contradicts {json_} in deviation",
        "bag-info.txt": "says 12 for Control-Sum-Deviation, where the files have 7",
    }


def test_several_formats_that_are_forged_alike_are_betrayed_by_the_findings(tmp_path: Path) -> None:
    bag = made(tmp_path, a_run([a_result(0, notes="x"), a_result(1)], totalSubmissions=2), ("csv", "json"))
    replaced(file_of(bag, "json"), '"totalSubmissions": 2', '"totalSubmissions": 5')
    csv = file_of(bag, "csv")
    csv.write_bytes(csv.read_bytes().replace(b",completed,2,", b",completed,5,"))
    fitted(bag)
    (problem,) = problems(bag)
    assert problem == Problem(
        "changed", "findings.csv", "does not say of run-001 what its files give: total_submissions"
    )


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("junk", [b"", b"junk", b"{}", b"[]", b"[1]", b"PAR1PAR1", b'{"id": "run-001"}'])
def test_a_file_that_cannot_be_loaded_is_named_though_another_can(
    tmp_path: Path, format: str, junk: bytes
) -> None:
    bag = made(tmp_path, a_run())
    file_of(bag, format).write_bytes(junk)
    fitted(bag)
    assert paths(bag)


def test_a_file_in_another_format_than_its_name_says_is_named(tmp_path: Path) -> None:
    bag = made(tmp_path, a_run(), ("csv", "jsonl"))
    shutil.copy(file_of(bag, "jsonl"), file_of(bag, "csv"))
    fitted(bag)
    (problem,) = problems(bag)
    assert problem.path == f"data/{file_of(bag, 'csv').name}"
    assert "its bytes are not those of a csv file" in problem.detail


def test_a_field_that_only_some_rows_lack_was_not_written_like_that(tmp_path: Path) -> None:
    bag = made(tmp_path, a_run(), ("csv", "json"))
    file = file_of(bag, "json")
    file.write_bytes(file.read_bytes().replace(b'      "id": "result-0",\n', b""))
    fitted(bag)
    (problem,) = problems(bag)
    assert problem.path == f"data/{file.name}"
    assert "cannot be loaded" in problem.detail


def test_a_file_that_holds_a_second_run_is_named(tmp_path: Path) -> None:
    bag = made(tmp_path, a_run(), "json")
    file = file_of(bag, "json")
    file.write_bytes(file.read_bytes() + dumped(a_run(0, id="second")))
    fitted(bag)
    assert next(problem.path for problem in problems(bag)) == f"data/{file.name}"


def test_a_reviewer_that_is_named_otherwise_behind_the_results_is_named(tmp_path: Path) -> None:
    """A CSV shows the reviewer of the run; in a long file the one behind the results comes late."""
    bag = made(tmp_path, a_run([a_result(0, notes="x" * 70_000)]), ("csv", "json"))
    file = file_of(bag, "json")
    assert file.read_bytes().endswith(b"]\n}\n")
    file.write_bytes(file.read_bytes()[:-3] + b', "reviewer": "other"\n}\n')
    fitted(bag)
    assert f"data/{file.name}: cannot be loaded: it names two reviewers of its run" in [
        f"{problem.path}: {problem.detail}" for problem in problems(bag)
    ]


def test_the_guard_counts_as_it_is_declared(tmp_path: Path) -> None:
    bag = made(tmp_path, hostile_run(), ("csv", "json"))
    package = json.loads((bag / "datapackage.json").read_bytes())
    package["resources"][0]["auditkit:formulaGuard"] = False
    (bag / "datapackage.json").write_text(json.dumps(package))
    sealed(bag)
    (problem,) = problems(bag)
    assert problem.detail.endswith("in task_title, notes")


# --- findings ---


def contradicting() -> dict[str, Any]:
    """A run to which every rule but that of the empty run has something to say."""
    rows = [
        a_result(0, deviation=20, userScore=101, aiScore=78),
        a_result(0, timestamp="2030-01-01T00:00:00Z"),
        {key: value for key, value in a_result(2).items() if key != "actionTaken"},
    ]
    return a_run(
        rows, totalSubmissions=7, averageDeviation=1, criticalFlags=2, completedAt="2024-01-15T09:00:00Z"
    )


RULES = [
    "total_submissions", "critical_flags", "average_deviation", "completed_before_started", "deviation",
    "score_range", "duplicate_result_id", "duplicate_submission_id", "outside_window", "decision_missing",
]  # fmt: skip


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("rule", RULES)
def test_a_finding_that_is_taken_out_is_missed_where_the_format_can_tell(
    tmp_path: Path, format: str, rule: str
) -> None:
    bag = made(tmp_path, contradicting(), format)
    findings = bag / "findings.csv"
    kept = [
        line for line in findings.read_bytes().splitlines(keepends=True) if f",{rule},".encode() not in line
    ]
    assert len(kept) < findings.read_bytes().count(b"\n")
    findings.write_bytes(b"".join(kept))
    fitted(bag)
    if format == "csv" and rule in ("average_deviation", "duplicate_result_id"):  # it rounds, it has none
        (what,) = ak.verify_bag(bag).not_compared
        assert what == "findings.csv: average_deviation, duplicate_result_id: not every file can tell"
    else:
        (problem,) = problems(bag)
        assert problem == Problem(
            "changed", "findings.csv", f"does not say of run-001 what its files give: {rule}"
        )


def test_with_no_metadata_the_rules_that_need_it_are_left_out_and_named(tmp_path: Path) -> None:
    bag = made(tmp_path, contradicting(), "csv", include_metadata=False)
    (what,) = ak.verify_bag(bag).not_compared
    untold = "average_deviation, completed_before_started, critical_flags, decision_missing, "
    untold += "duplicate_result_id, outside_window, total_submissions"
    assert what == f"findings.csv: {untold}: not every file can tell"
    (bag / "findings.csv").write_bytes(HEADER)
    fitted(bag)
    (problem,) = problems(bag)
    assert problem.detail.endswith("give: deviation, duplicate_submission_id, score_range")


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        (
            b"run-001,deviation,results[0].deviation,8,7,error\n",
            "does not say of run-001 what its files give",
        ),
        (b"run-001,invented,run,,,info\n", "does not say of run-001 what its files give: invented"),
        (b"run-002,deviation,run,,,info\n", "names a run that is not in the bag: run-002"),
        (b"\n", "has a line that is no finding"),
        (b'"run-001\n', "has a line that is no finding"),
        (b'"' * 99 + b"\n", "has a line that is no finding"),
        (b"\xff\x00,\n", "has a line that is no finding"),
    ],
)
def test_a_finding_that_is_made_up_is_named(tmp_path: Path, line: bytes, detail: str) -> None:
    bag = made(tmp_path, a_run(), "json")
    (bag / "findings.csv").write_bytes(HEADER + line)
    fitted(bag)
    told = [problem for problem in problems(bag) if problem.path == "findings.csv"]
    assert [problem.detail[: len(detail)] for problem in told] == [detail]
    assert told[0].detail.isprintable()


def test_another_header_of_the_findings_is_named(tmp_path: Path) -> None:
    bag = made(tmp_path, a_run(), "json")
    (bag / "findings.csv").write_bytes(HEADER.replace(b"rule", b"rues"))
    fitted(bag)
    assert problems(bag) == [Problem("changed", "findings.csv", "has another header")]


def test_a_field_without_any_value_may_have_been_left_out_or_found(tmp_path: Path) -> None:
    """Nothing in JSON tells whether nothing was decided or decisions were not recorded at all."""
    rows = [{k: v for k, v in a_result(n).items() if k != "actionTaken"} for n in range(3)]
    bag = made(tmp_path, a_run(rows, averageDeviation=None), "json")
    lines = (bag / "findings.csv").read_bytes().splitlines(keepends=True)
    assert len(lines) == 1 + 3 + 1
    for kept in (lines[:1], lines[:2], [lines[0], *lines[2:]]):
        (bag / "findings.csv").write_bytes(b"".join(kept))
        fitted(bag)
        ak.verify_bag(bag)
    (bag / "findings.csv").write_bytes(b"".join(lines[:3]))  # one decision of three
    fitted(bag)
    assert paths(bag) == ["findings.csv"]


def test_findings_of_another_version_are_no_forgery_and_said_not_to_be_compared(tmp_path: Path) -> None:
    bag = made(tmp_path, contradicting(), "json")
    replaced(bag / "bag-info.txt", f"auditkit {ak.__version__}", "auditkit 99")
    sealed(bag)
    assert ak.verify_bag(bag).not_compared == ()  # the same as ours
    (bag / "findings.csv").write_bytes(HEADER)
    fitted(bag)
    (what,) = ak.verify_bag(bag).not_compared
    assert (
        what == f"findings.csv: it comes from auditkit 99, and auditkit {ak.__version__} finds something else"
    )


def test_a_parquet_file_that_no_rule_can_be_applied_to_is_named(tmp_path: Path) -> None:
    """It declares a field absent, and holds what that field never could."""
    import pyarrow as pa
    from pyarrow import parquet

    bag = made(tmp_path, a_run(), "parquet")
    file = file_of(bag, "parquet")
    table = parquet.read_table(file)
    (key,) = (name for name in table.schema.metadata if name.startswith(b"auditkit"))
    (header,) = json.loads(table.schema.metadata[key])
    header["absent_fields"] = ["timestamp"]
    place = table.schema.get_field_index("timestamp")
    table = table.set_column(place, table.schema.field(place), pa.array(["noon"] * 3))
    parquet.write_table(table.replace_schema_metadata({key: json.dumps([header])}), file)
    fitted(bag)
    assert f"data/{file.name}" in paths(bag)


def test_a_file_is_read_once_and_no_findings_are_kept_of_runs_that_are_not_there(tmp_path: Path) -> None:
    from auditkit.evidence.refound import found

    bag = made(tmp_path, a_run(), "json")
    lines = [b"run-%d,deviation,run,,,info\n" % number for number in range(1000)]
    (bag / "findings.csv").write_bytes(HEADER + b"".join(lines))
    with opened_bag(bag) as opened, opened.open("findings.csv") as file:
        seen = found(file, [b"run-7"])
    assert list(seen.runs) == [b"run-7"]
    assert seen.unknown == b"run-0"
