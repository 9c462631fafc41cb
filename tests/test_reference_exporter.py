"""The oracle, held to the specification's samples, to cases worked by hand, and to JavaScript itself."""

from __future__ import annotations

import json
import math
import re
import struct
import subprocess
from random import Random
from typing import Any

import pytest
import reference_exporter as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_exporter import guard, js_number, unguard
from strategies import document_bytes, documents, runs, texts
from tools import require

# The samples of spec/audit-run-exporter.md, "Export Formats".
CSV_HEADER = (
    "Audit Run ID,Submission ID,User ID,Task Title,Skill Area,Difficulty,User Score,AI Score,Deviation,"
    "Deviation Type,Suggested Action,Action Taken,Reviewer,Timestamp,Notes,Audit Status,Total Submissions,"
    "Average Deviation,Critical Flags,Audit Started,Audit Completed\n"
)
CSV_SAMPLE = CSV_HEADER + (
    "run-001,sub-001,user-123,Build a responsive navigation bar,frontend,medium,85,78,7,minor,"
    "flag_for_review,allow,admin-1,2024-01-15T10:15:00Z,Code quality exceeds AI assessment,completed,8,15.8,"
    "2,2024-01-15T10:00:00Z,2024-01-15T12:30:00Z\n"
    "run-001,sub-002,user-456,Build a responsive navigation bar,frontend,medium,92,45,47,critical,escalate,"
    "override,admin-1,2024-01-15T10:30:00Z,Critical deviation requires manual review,completed,8,15.8,2,"
    "2024-01-15T10:00:00Z,2024-01-15T12:30:00Z\n"
)
NESTED_SAMPLE = """\
{
  "id": "run-001",
  "reviewer": "admin-1",
  "startedAt": "2024-01-15T10:00:00Z",
  "completedAt": "2024-01-15T12:30:00Z",
  "taskTitle": "Build a responsive navigation bar",
  "taskDifficulty": "medium",
  "skillArea": "frontend",
  "status": "completed",
  "totalSubmissions": 8,
  "averageDeviation": 15.8,
  "criticalFlags": 2,
  "results": [
    {
      "id": "result-1",
      "submissionId": "sub-001",
      "userId": "user-123",
      "userScore": 85,
      "aiScore": 78,
      "deviation": 7,
      "deviationType": "minor",
      "suggestedAction": "flag_for_review",
      "actionTaken": "allow",
      "taskTitle": "Build a responsive navigation bar",
      "skillArea": "frontend",
      "taskDifficulty": "medium",
      "timestamp": "2024-01-15T10:15:00Z",
      "reviewer": "admin-1",
      "notes": "Code quality exceeds AI assessment"
    }
  ]
}
"""
FLAT_SAMPLE = """\
[
  {
    "auditRunId": "run-001",
    "auditReviewer": "admin-1",
    "auditStartedAt": "2024-01-15T10:00:00Z",
    "auditCompletedAt": "2024-01-15T12:30:00Z",
    "auditStatus": "completed",
    "auditTotalSubmissions": 8,
    "auditAverageDeviation": 15.8,
    "auditCriticalFlags": 2,
    "id": "result-1",
    "submissionId": "sub-001",
    "userId": "user-123",
    "userScore": 85,
    "aiScore": 78,
    "deviation": 7,
    "deviationType": "minor",
    "suggestedAction": "flag_for_review",
    "actionTaken": "allow",
    "taskTitle": "Build a responsive navigation bar",
    "skillArea": "frontend",
    "taskDifficulty": "medium",
    "timestamp": "2024-01-15T10:15:00Z",
    "reviewer": "admin-1",
    "notes": "Code quality exceeds AI assessment"
  }
]
"""
RESULT_IN_A_LINE = (
    '"id":"result-1","submissionId":"sub-001","userId":"user-123","userScore":85,"aiScore":78,"deviation":7,'
    '"deviationType":"minor","suggestedAction":"flag_for_review","actionTaken":"allow",'
    '"taskTitle":"Build a responsive navigation bar","skillArea":"frontend","taskDifficulty":"medium",'
    '"timestamp":"2024-01-15T10:15:00Z","reviewer":"admin-1","notes":"Code quality exceeds AI assessment"}\n'
)

# The specification's algorithms in JavaScript, with JavaScript's own numbers, JSON and regular expressions.
NODE_EXPORTER = r"""
const { bits, texts, cells } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const double = hex => Buffer.from(hex, "hex").readDoubleBE(0);
const runKeys = ["id", "reviewer", "startedAt", "completedAt", "taskTitle", "taskDifficulty", "skillArea",
  "status", "totalSubmissions", "averageDeviation", "criticalFlags"];
const resultKeys = ["id", "submissionId", "userId", "userScore", "aiScore", "deviation", "deviationType",
  "suggestedAction", "actionTaken", "taskTitle", "skillArea", "taskDifficulty", "timestamp", "reviewer",
  "notes"];
const pick = (o, keys) => Object.fromEntries(keys.filter(k => o[k] != null).map(k => [k, o[k]]));
const rest = (o, keys) => Object.fromEntries(Object.entries(o).filter(([k]) => !keys.includes(k)));
const whole = result => ({ ...pick(result, resultKeys), ...rest(result, resultKeys) });
const audit = run => pick({
  auditRunId: run.id, auditReviewer: run.reviewer, auditStartedAt: run.startedAt,
  auditCompletedAt: run.completedAt, auditStatus: run.status, auditTotalSubmissions: run.totalSubmissions,
  auditAverageDeviation: run.averageDeviation, auditCriticalFlags: run.criticalFlags,
}, ["auditRunId", "auditReviewer", "auditStartedAt", "auditCompletedAt", "auditStatus",
  "auditTotalSubmissions", "auditAverageDeviation", "auditCriticalFlags"]);
const nested = run => JSON.stringify({ ...pick(run, runKeys), ...rest(run, [...runKeys, "results"]),
  results: run.results.map(whole) }, null, 2) + "\n";
const records = run => run.results.map(result => ({ ...audit(run), ...whole(result) }));
const flat = run => JSON.stringify(records(run), null, 2) + "\n";
const lines = run => records(run).map(record => JSON.stringify(record) + "\n").join("");
const inside = /(?<=[,;\t\r\n|])(?='|[ \u00a0\ufeff\u200b\u3000]*[=+\-@%\0\uff1d\uff0b\uff0d\uff20])/g;
const start = /^(?='|[ \u00a0\ufeff\u200b\u3000]*[=+\-@%\0\uff1d\uff0b\uff0d\uff20\t\r\n|])/;
const guard = cell => cell.replace(inside, "'").replace(start, "'");
const quote = cell => /[,"\r\n]/.test(cell) ? '"' + cell.replaceAll('"', '""') + '"' : cell;
const text = value => quote(guard(value ?? ""));
const average = x => x == null ? "" : String(Math.round(x * 100) / 100);
const row = (run, r) => [text(run.id), text(r.submissionId), text(r.userId), text(r.taskTitle),
  text(r.skillArea), r.taskDifficulty, r.userScore, r.aiScore, r.deviation, r.deviationType,
  r.suggestedAction, r.actionTaken ?? "", text(r.reviewer ?? run.reviewer), r.timestamp, text(r.notes),
  run.status, run.totalSubmissions, average(run.averageDeviation), run.criticalFlags, run.startedAt,
  run.completedAt ?? ""].map(String).join(",");
const csv = run => run.results.map(result => row(run, result) + "\n").join("");
process.stdout.write(JSON.stringify({
  numbers: bits.map(double).map(String),
  rounded: bits.map(double).map(average),
  cells: cells.map(guard),
  runs: texts.map(t => JSON.parse(t)).map(run => [csv(run), nested(run), flat(run), lines(run)]),
}));
"""


def _without_members(text: str, depth: int, *keys: str) -> str:
    """The indented JSON `text` without the lines of these keys, and without a comma left dangling."""
    gone = tuple(f'{" " * depth}"{key}":' for key in keys)
    kept = "".join(line for line in text.splitlines(keepends=True) if not line.startswith(gone))
    return re.sub(r",(\n *})", r"\1", kept)


@pytest.fixture
def run() -> dict[str, Any]:
    return reference.parse(NESTED_SAMPLE)


def test_the_csv_is_the_sample_of_the_specification(run: dict[str, Any]) -> None:
    second = run["results"][0] | {
        "id": "result-2",
        "submissionId": "sub-002",
        "userId": "user-456",
        "userScore": 92,
        "aiScore": 45,
        "deviation": 47,
        "deviationType": "critical",
        "suggestedAction": "escalate",
        "actionTaken": "override",
        "timestamp": "2024-01-15T10:30:00Z",
        "notes": "Critical deviation requires manual review",
    }
    run["results"].append(second)
    assert reference.csv(run) == CSV_SAMPLE.encode()


def test_the_nested_json_is_the_sample_of_the_specification(run: dict[str, Any]) -> None:
    assert reference.nested_json(run) == NESTED_SAMPLE.encode()


def test_the_flat_json_is_the_sample_of_the_specification(run: dict[str, Any]) -> None:
    assert reference.flat_json(run) == FLAT_SAMPLE.encode()


def test_a_json_line_is_the_flat_record_without_spaces(run: dict[str, Any]) -> None:
    audit = (
        '{"auditRunId":"run-001","auditReviewer":"admin-1","auditStartedAt":"2024-01-15T10:00:00Z",'
        '"auditCompletedAt":"2024-01-15T12:30:00Z","auditStatus":"completed","auditTotalSubmissions":8,'
        '"auditAverageDeviation":15.8,"auditCriticalFlags":2,'
    )
    assert reference.jsonl(run) == (audit + RESULT_IN_A_LINE).encode()


def test_without_metadata_json_keeps_the_run_id_alone(run: dict[str, Any]) -> None:
    run["extra"] = 1
    nested = _without_members(NESTED_SAMPLE, 2, *(key for key in reference.RUN_KEYS if key != "id"))
    assert reference.nested_json(run, include_metadata=False).decode() == nested
    flat = _without_members(FLAT_SAMPLE, 4, *(key for key in reference.FLAT_KEYS if key != "auditRunId"))
    assert reference.flat_json(run, include_metadata=False).decode() == flat
    line = '{"auditRunId":"run-001",' + RESULT_IN_A_LINE
    assert reference.jsonl(run, include_metadata=False) == line.encode()


def test_without_metadata_the_csv_ends_with_the_notes(run: dict[str, Any]) -> None:
    assert reference.csv(run, include_metadata=False).decode() == (
        "Audit Run ID,Submission ID,User ID,Task Title,Skill Area,Difficulty,User Score,AI Score,Deviation,"
        "Deviation Type,Suggested Action,Action Taken,Reviewer,Timestamp,Notes\n"
        "run-001,sub-001,user-123,Build a responsive navigation bar,frontend,medium,85,78,7,minor,"
        "flag_for_review,allow,admin-1,2024-01-15T10:15:00Z,Code quality exceeds AI assessment\n"
    )


def test_a_run_without_results_is_a_header_line_and_empty_arrays() -> None:
    run: dict[str, Any] = {"id": "r", "averageDeviation": None, "completedAt": None, "results": []}
    assert reference.csv(run) == CSV_HEADER.encode()
    assert reference.nested_json(run) == b'{\n  "id": "r",\n  "results": []\n}\n'
    assert reference.flat_json(run) == b"[]\n"
    assert reference.jsonl(run) == b""


def test_missing_values_are_left_out_of_json_and_blank_in_the_csv(run: dict[str, Any]) -> None:
    run |= {"completedAt": None, "averageDeviation": None}
    run["results"][0] |= {"actionTaken": None, "notes": None}
    del run["results"][0]["reviewer"]
    in_result = ("actionTaken", "reviewer", "notes")
    nested = _without_members(NESTED_SAMPLE, 2, "completedAt", "averageDeviation")
    assert reference.nested_json(run).decode() == _without_members(nested, 6, *in_result)
    flat = _without_members(FLAT_SAMPLE, 4, "auditCompletedAt", "auditAverageDeviation")
    assert reference.flat_json(run).decode() == _without_members(flat, 4, *in_result)
    assert reference.csv(run).decode() == CSV_HEADER + (
        "run-001,sub-001,user-123,Build a responsive navigation bar,frontend,medium,85,78,7,minor,"
        "flag_for_review,,admin-1,2024-01-15T10:15:00Z,,completed,8,,2,2024-01-15T10:00:00Z,\n"
    )


def test_an_empty_reviewer_is_not_a_missing_one(run: dict[str, Any]) -> None:
    run["results"][0]["reviewer"] = ""
    assert b",allow,,2024-01-15T10:15:00Z," in reference.csv(run)
    assert b'      "reviewer": "",\n' in reference.nested_json(run)


def test_keys_come_in_the_order_of_the_table_and_extras_after_them() -> None:
    text = """{"z": {"b": [], "a": {}, "results": [1, {"x": null}]}, "results": [{"more": null, "notes": "n",
      "2": 123456789012345678901234567890, "1": [1.0, 1e21, -0.0, true], "id": "a"}], "id": "r", "a": 1e-7}"""
    assert reference.nested_json(reference.parse(text)).decode() == (
        "{\n"
        '  "id": "r",\n'
        '  "z": {\n'
        '    "b": [],\n'
        '    "a": {},\n'
        '    "results": [\n'
        "      1,\n"
        "      {\n"
        '        "x": null\n'
        "      }\n"
        "    ]\n"
        "  },\n"
        '  "a": 1e-7,\n'
        '  "results": [\n'
        "    {\n"
        '      "id": "a",\n'
        '      "notes": "n",\n'
        '      "more": null,\n'
        '      "2": 123456789012345678901234567890,\n'
        '      "1": [\n'
        "        1,\n"
        "        1e+21,\n"
        "        0,\n"
        "        true\n"
        "      ]\n"
        "    }\n"
        "  ]\n"
        "}\n"
    )
    assert reference.jsonl(reference.parse(text)) == (
        b'{"auditRunId":"r","id":"a","notes":"n","more":null,"2":123456789012345678901234567890,'
        b'"1":[1,1e+21,0,true]}\n'
    )


def test_a_known_number_is_a_double_and_an_unknown_integer_keeps_its_digits() -> None:
    text = '{"id":"r","results":[{"userScore":12345678901234567890,"more":12345678901234567890}]}'
    line = b'{"auditRunId":"r","userScore":12345678901234567000,"more":12345678901234567890}\n'
    assert reference.jsonl(reference.parse(text)) == line


@pytest.mark.parametrize("key", ["auditRunId", "auditCriticalFlags"])
@pytest.mark.parametrize("export", [reference.flat_json, reference.jsonl])
def test_an_extra_key_that_the_flat_formats_use_is_refused_by_name(
    run: dict[str, Any], key: str, export: Any
) -> None:
    run["results"][0][key] = None
    with pytest.raises(ValueError, match=key):
        export(run)


def test_strings_are_escaped_as_json_stringify_does() -> None:
    text = '"\\/\b\t\n\f\r\0\x0b\x1f\x7f\x85é\u2028😀'
    assert reference.json_text(text) == (r'"\"\\/\b\t\n\f\r\u0000\u000b\u001f' + "\x7f\x85é\u2028😀" + '"')


# ECMA-262, Number::toString.
@pytest.mark.parametrize(
    ("number", "written"),
    [
        (85.0, "85"),
        (15.8, "15.8"),
        (0.0, "0"),
        (-0.0, "0"),
        (-1.5, "-1.5"),
        (0.1 + 0.2, "0.30000000000000004"),
        (100.0, "100"),
        (1e20, "100000000000000000000"),
        (123456789012345680000.0, "123456789012345680000"),
        (1e21, "1e+21"),
        (1.25e21, "1.25e+21"),
        (-1e300, "-1e+300"),
        (0.001, "0.001"),
        (0.000001, "0.000001"),
        (0.0000012, "0.0000012"),
        (1e-7, "1e-7"),
        (1.5e-7, "1.5e-7"),
        (5e-324, "5e-324"),
        (2.0**53 + 2, "9007199254740994"),
        (12345678901234567890.0, "12345678901234567000"),
        (12345678901234567890, "12345678901234567890"),
        (-(10**30), "-1" + "0" * 30),
    ],
)
def test_numbers_are_written_as_javascript_writes_them(number: float, written: str) -> None:
    assert js_number(number) == written


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_json_number_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="no JSON number"):
        js_number(number)
    with pytest.raises(ValueError, match="no JSON number"):
        reference.parse(f'{{"userScore": {json.dumps(number)}}}')


@pytest.mark.parametrize(
    ("average", "written"),
    [
        (15.8, "15.8"),
        (15, "15"),
        (15.804, "15.8"),
        (15.806, "15.81"),
        (0.125, "0.13"),
        (-0.125, "-0.12"),
        (2.5, "2.5"),
        # times 100 these are 100.49999999999999, 28.499999999999996 and 834.5000000000001
        (1.005, "1"),
        (0.285, "0.28"),
        (8.345, "8.35"),
        (0.005, "0.01"),
        (0.004999999999999999, "0"),
        (-0.001, "0"),
        (1e-7, "0"),
        # times 100 this is no power of ten any more: the formula is followed to the letter
        (1e21, "999999999999999900000"),
        # times 100 this is Infinity, which nobody recorded
        (1.7e308, "1.7e+308"),
    ],
)
def test_the_average_of_the_csv_has_two_decimals_half_up(
    run: dict[str, Any], average: float, written: str
) -> None:
    row = reference.csv(run | {"averageDeviation": average}).decode().splitlines()[1]
    assert row.split(",")[17] == written


def test_halves_are_rounded_up_exactly() -> None:
    assert reference.math_round(0.49999999999999994) == 0
    assert reference.math_round(2.0**52 + 1) == 2.0**52 + 1
    assert reference.math_round(-2.5) == -2
    assert reference.math_round(-2.5000000000000004) == -3


# Worked by hand from DESIGN §4.
@pytest.mark.parametrize(
    ("cell", "guarded"),
    [
        ("", ""),
        ("plain", "plain"),
        ("it's 5-3=2 @ 10%", "it's 5-3=2 @ 10%"),
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-5", "'-5"),
        ("@SUM", "'@SUM"),
        ("%x", "'%x"),
        ("\0x", "'\0x"),
        ("\uff1d1", "'\uff1d1"),
        ("\uff0b1", "'\uff0b1"),
        ("\uff0d1", "'\uff0d1"),
        ("\uff201", "'\uff201"),
        ("'", "''"),
        ("'quoted", "''quoted"),
        ("'=1", "''=1"),
        ("''", "'''"),
        ("  =1", "'  =1"),
        ("\ufeff\u200b\u00a0\u3000 -1", "'\ufeff\u200b\u00a0\u3000 -1"),
        (" 'x", " 'x"),
        ("   ", "   "),
        ("\u2003=1", "\u2003=1"),
        ("\v=1", "\v=1"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("\nx", "'\nx"),
        ("|x", "'|x"),
        (" \tx", "' \tx"),
        ("\u3000|x", "'\u3000|x"),
        ("\t", "'\t"),
        (",x", ",x"),
        (";x", ";x"),
        ("a\tb\rc\nd|e,f;g", "a\tb\rc\nd|e,f;g"),
        ("a,=1", "a,'=1"),
        ("a;-1", "a;'-1"),
        ("a\t+1", "a\t'+1"),
        ("a\r@x", "a\r'@x"),
        ("a\n%x", "a\n'%x"),
        ("a|\0", "a|'\0"),
        ("a, =1", "a,' =1"),
        ("a, - b", "a,' - b"),
        ("a,\u3000\uff0b", "a,'\u3000\uff0b"),
        ("a,'b", "a,''b"),
        ("a, 'b", "a, 'b"),
        ("a,", "a,"),
        ("a, ", "a, "),
        ("a||b", "a||b"),
        ("a,\tb", "a,\tb"),
        ("a,\t=b", "a,\t'=b"),
        (", ,-", ", ,'-"),
        (",=,=", ",'=,'="),
        ("\t=x", "'\t'=x"),
        ("\r\n=x", "'\r\n'=x"),
        ("=,'", "'=,''"),
        ("a:=1", "a:=1"),
    ],
)
def test_the_guard_puts_an_apostrophe_before_what_could_be_a_formula(cell: str, guarded: str) -> None:
    assert guard(cell) == guarded
    assert unguard(guarded) == cell


@given(texts())
def test_what_is_guarded_can_be_unguarded_exactly(cell: str) -> None:
    assert unguard(guard(cell)) == cell


def test_every_text_cell_is_guarded_before_it_is_quoted_and_nothing_else(run: dict[str, Any]) -> None:
    run |= {"id": "=r", "reviewer": "=v", "averageDeviation": -1.5}
    result = {
        "submissionId": "=s",
        "userId": "=u",
        "taskTitle": "=t",
        "skillArea": "=k",
        "notes": '="n"\r\n=2',
    }
    run["results"][0] |= result | {"reviewer": None, "userScore": -1, "aiScore": -0.0}
    rest = "completed,8,-1.5,2,2024-01-15T10:00:00Z,2024-01-15T12:30:00Z\n"
    assert reference.csv(run).decode() == CSV_HEADER + (
        "'=r,'=s,'=u,'=t,'=k,medium,-1,0,7,minor,flag_for_review,allow,'=v,2024-01-15T10:15:00Z,"
        '"\'=""n""\r\n\'=2",' + rest
    )
    assert reference.csv(run, formula_guard=False).decode() == CSV_HEADER + (
        "=r,=s,=u,=t,=k,medium,-1,0,7,minor,flag_for_review,allow,=v,2024-01-15T10:15:00Z,"
        '"=""n""\r\n=2",' + rest
    )


@pytest.mark.parametrize(
    ("note", "cell"),
    [
        ("a,b", '"a,b"'),
        ('a"b', '"a""b"'),
        ("a\nb", '"a\nb"'),
        ("a\rb", '"a\rb"'),
        ("a;b\tc|d\v\x85\u2028\0 'e' ", "a;b\tc|d\v\x85\u2028\0 'e' "),
        (" ", " "),
        ("", ""),
    ],
)
def test_a_cell_is_quoted_only_for_comma_quote_and_line_break(
    run: dict[str, Any], note: str, cell: str
) -> None:
    run["results"][0]["notes"] = note
    rest = "completed,8,15.8,2,2024-01-15T10:00:00Z,2024-01-15T12:30:00Z\n"
    assert reference.csv(run).decode().endswith(f"2024-01-15T10:15:00Z,{cell},{rest}")


def test_for_excel_lines_end_in_crlf_after_a_byte_order_mark(run: dict[str, Any]) -> None:
    run["results"][0]["notes"] = "one\ntwo"
    body = reference.csv(run).decode().replace("\n", "\r\n").replace("one\r\ntwo", "one\ntwo")
    assert reference.csv(run, excel=True) == b"\xef\xbb\xbf" + body.encode()
    assert body.endswith("Z\r\n")


@given(runs(), st.data())
def test_a_document_in_any_layout_is_the_same_run(run: dict[str, Any], data: st.DataObject) -> None:
    again = reference.parse(data.draw(documents(run)))
    assert reference.nested_json(again) == reference.nested_json(run)
    assert reference.csv(again) == reference.csv(run)
    assert reference.jsonl(again) == reference.jsonl(run)
    file = data.draw(document_bytes(run))
    assert reference.nested_json(reference.parse(file.decode())) == reference.nested_json(run)


@given(runs())
def test_the_strategies_keep_to_the_table(run: dict[str, Any]) -> None:
    timestamp = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,12})?(Z|[+-]\d\d:\d\d)", re.ASCII)
    assert re.fullmatch(r"[^\x00-\x1f\x7f-\x9f]{1,64}", run["id"])
    optional = {"completedAt", "averageDeviation"}
    assert all(run.get(key) is not None for key in set(reference.RUN_KEYS) - optional)
    stamps = [run["startedAt"], run.get("completedAt")]
    for result in run["results"]:
        optional = {"actionTaken", "reviewer", "notes"}
        assert all(result.get(key) is not None for key in set(reference.RESULT_KEYS) - optional)
        assert not result.keys() & {*reference.FLAT_KEYS, "results"}
        stamps.append(result["timestamp"])
    assert all(timestamp.fullmatch(stamp) for stamp in stamps if stamp is not None)


def _ask_node(bits: list[str], documents: list[str], cells: list[str]) -> Any:
    question = json.dumps({"bits": bits, "texts": documents, "cells": cells})
    answer = subprocess.run(
        [require("node"), "-e", NODE_EXPORTER],
        input=question.encode(),
        capture_output=True,
        check=True,
        timeout=120,
    )
    return json.loads(answer.stdout)


def _random_doubles(how_many: int) -> list[float]:
    """Half of them any bit pattern, half with few decimals, as averages are."""
    random = Random(20240115)
    wild = [struct.unpack(">d", random.randbytes(8))[0] for _ in range(how_many // 2)]
    tame = [random.randrange(-(10**6), 10**6) / random.choice([8, 10, 40, 200, 1000]) for _ in wild]
    return [number for number in wild + tame if math.isfinite(number)]


def _survives_javascript(value: Any) -> bool:
    """Whether JavaScript keeps `value`: it reorders keys that look like indexes, and cuts large integers."""
    if isinstance(value, dict):
        indexes = [key for key in value if re.fullmatch(r"0|[1-9][0-9]*", key)]
        return not indexes and all(map(_survives_javascript, value.values()))
    if isinstance(value, list):
        return all(map(_survives_javascript, value))
    return not isinstance(value, int) or abs(value) <= 2**53


def _node_runs_and_cells() -> tuple[list[dict[str, Any]], list[str]]:
    collected: list[dict[str, Any]] = []
    cells: list[str] = []

    @settings(max_examples=150, database=None, derandomize=True, deadline=None)
    @given(runs(max_results=3), texts())
    def collect(run: dict[str, Any], cell: str) -> None:
        cells.append(cell)
        unknown = {key: value for key, value in run.items() if key not in {*reference.RUN_KEYS, "results"}}
        extras = [unknown] + [
            {key: value for key, value in result.items() if key not in reference.RESULT_KEYS}
            for result in run["results"]
        ]
        if _survives_javascript(extras):
            collected.append(run)

    collect()
    return collected, cells


def test_javascript_gives_the_same_answers() -> None:
    require("node")
    numbers = _random_doubles(6000)
    collected, cells = _node_runs_and_cells()
    bits = [struct.pack(">d", number).hex() for number in numbers]
    answer = _ask_node(bits, [json.dumps(run) for run in collected], cells)
    assert [js_number(number) for number in numbers] == answer["numbers"]
    for number, rounded in zip(numbers, answer["rounded"], strict=True):
        if abs(number) < 1e306:
            assert js_number(reference.math_round(number * 100) / 100) == rounded
    assert [guard(cell) for cell in cells] == answer["cells"]
    assert len(collected) > 50
    for run, (rows, nested, flat, lines) in zip(collected, answer["runs"], strict=True):
        assert reference.csv(run) == (CSV_HEADER + rows).encode()
        assert reference.nested_json(run) == nested.encode()
        assert reference.flat_json(run) == flat.encode()
        assert reference.jsonl(run) == lines.encode()
