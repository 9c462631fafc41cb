"""The command `auditkit`, in processes of its own, as a person at a terminal starts it."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
import reference_exporter as reference
from children import DAY, auditkit_calls, environment, python
from records import a_result, a_run, dumped, exported, saved
from third_party import install

import auditkit as ak

SAMPLES = Path(__file__).parents[1] / "sample_data" / "runs"
RUN_001 = json.loads((SAMPLES / "run-001.json").read_bytes())
CSV = f"audit-run-run-001-{DAY}.csv"
DONE, FAILED, WRONG_USAGE, SOME_FAILED = 0, 1, 2, 3
COMMANDS = (
    "list", "find", "show", "export", "evidence", "verify", "checkpoint", "keygen", "decrypt", "stats",
    "hold", "clean",
)  # fmt: skip

# C0 without tab and line feed, DEL, C1, and what turns the direction of a line
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\r\nError: forged"

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


def auditkit(*arguments: str | Path, cwd: Path, source: Any = None, **options: Any) -> Any:
    """Run the command; whatever happens, nobody sees a traceback or a warning."""
    env = {"AUDITKIT_SOURCE": str(source) if source else None, **options.pop("env", {})}
    done = python("-m", "auditkit", *arguments, cwd=cwd, env=env, **options)
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr
    return done


def table(text: str) -> list[list[str]]:
    """The cells of a printed table, which stand two spaces apart."""
    return [re.split(r" {2,}", line.strip()) for line in text.splitlines()]


# --- export ---------------------------------------------------------------------------------------------


def test_the_call_of_the_specification_works_as_written(tmp_path: Path) -> None:
    done = auditkit("export", "--runId=run-001", "--format=csv", cwd=tmp_path, source=SAMPLES)
    assert (done.returncode, done.stderr) == (DONE, "")
    data = (tmp_path / "exports" / CSV).read_bytes()
    assert data == reference.csv(RUN_001)
    assert done.stdout == f"exports/{CSV}: 8 rows, {len(data):,} bytes\n"


def test_the_options_of_the_command_are_those_of_the_functions(tmp_path: Path) -> None:
    options = ["--flatten-results", "--no-metadata", "--compression=gzip", "--if-exists=error"]
    csv_options = ["--no-formula-guard", "--excel", "--no-metadata"]
    (tmp_path / "taken").mkdir()
    saved(tmp_path / "taken" / CSV, b"other bytes")
    several, switched, again, refused, replaced = auditkit_calls(
        ["export", "run-001", "run-002", "--format", "json", "--output-dir", "a/b", *options],
        ["export", "run-004", "--format=csv", *csv_options],
        ["export", "run-004", "--runId=run-001", "--format=csv", *csv_options],
        ["export", "run-001", "--format=csv", "--if-exists=error", "--output-dir=taken"],
        ["export", "run-001", "--format=csv", "--if-exists=replace", "--output-dir=replaced"],
        cwd=tmp_path,
        source=SAMPLES,
    )
    assert several.returncode == DONE
    assert len(several.stdout.splitlines()) == 2
    names = [f"audit-run-run-00{number}-{DAY}.json.gz" for number in (1, 2)]
    assert list(exported(tmp_path / "a" / "b")) == names
    flat = gzip.decompress((tmp_path / "a" / "b" / names[0]).read_bytes())
    assert flat == reference.flat_json(RUN_001, include_metadata=False)

    assert switched.returncode == DONE
    run = reference.parse((SAMPLES / "run-004.json").read_text(encoding="utf-8"))
    expected = reference.csv(run, formula_guard=False, excel=True, include_metadata=False)
    assert (tmp_path / "exports" / f"audit-run-run-004-{DAY}.csv").read_bytes() == expected
    assert ["kept" in line for line in again.stdout.splitlines()] == [True, False]

    assert refused.returncode == FAILED
    assert f"taken/{CSV}" in refused.stderr
    assert (tmp_path / "taken" / CSV).read_bytes() == b"other bytes"
    assert (replaced.returncode, (tmp_path / "replaced" / CSV).read_bytes()) == (DONE, reference.csv(RUN_001))


def test_what_fails_is_told_and_does_not_hold_up_the_rest(tmp_path: Path) -> None:
    some, none, as_json = auditkit_calls(
        ["export", "run-001", "run-0x", "run-002", "--format=csv"],
        ["export", "run-01", "nothing", "--format=csv", "--output-dir=none"],
        ["export", "run-001", "gone", "--format=json", "--json"],
        cwd=tmp_path,
        source=SAMPLES,
    )
    assert some.returncode == SOME_FAILED
    assert len(some.stdout.splitlines()) == 2
    (error,) = some.stderr.splitlines()
    assert error.startswith("Error: No run 'run-0x'")

    assert (none.returncode, none.stdout) == (FAILED, "")
    assert "Did you mean 'run-001'" in none.stderr
    assert not (tmp_path / "none").exists() or os.listdir(tmp_path / "none") == []

    assert as_json.returncode == SOME_FAILED
    printed = json.loads(as_json.stdout)
    (receipt,) = printed["receipts"]
    data = (tmp_path / receipt["path"]).read_bytes()
    assert data == reference.nested_json(RUN_001)
    assert (receipt["rows"], receipt["bytes"], receipt["run_ids"]) == (8, len(data), ["run-001"])
    (failure,) = printed["failures"]
    assert failure["run_id"] == "gone"
    assert "No run 'gone'" in json.dumps(failure)
    assert len(exported(tmp_path / "exports")) == 3


def test_an_installed_format_may_use_pandas(tmp_path: Path) -> None:
    env = {"PYTHONPATH": str(install(tmp_path / "site"))}
    done = auditkit("export", "run-001", "--format=framed", cwd=tmp_path, source=SAMPLES, env=env)
    assert (done.returncode, done.stderr) == (DONE, "")
    total = sum(row["userScore"] for row in RUN_001["results"])
    assert float((tmp_path / "exports" / f"audit-run-run-001-{DAY}.framed").read_bytes()) == total


# --- wrong usage ----------------------------------------------------------------------------------------


WRONG_CALLS: list[tuple[list[str], int, str]] = [
    (["export", "--format=csv", "--source", str(SAMPLES)], WRONG_USAGE, "run"),
    (["export", "run-001", "--source", str(SAMPLES)], WRONG_USAGE, "--format"),
    (["export", "run-001", "--format=cvs", "--source", str(SAMPLES)], WRONG_USAGE, "Did you mean 'csv'"),
    (["export", "run-001", "--format=csv"], WRONG_USAGE, "AUDITKIT_SOURCE"),
    (["export", "run-001", "--format=csv", "--excell"], WRONG_USAGE, "--excell"),
    (["export", "run-001", "--format=csv", "--compression=rar"], WRONG_USAGE, "rar"),
    (["export", "run-001", "--format=json", "--excel", "--source", str(SAMPLES)], WRONG_USAGE, "excel"),
    (["export", "run-001", "--format=csv", "--source", "no/such/folder"], FAILED, "no/such/folder"),
    (["export", "run-001", "--format=csv", "--source", "s4://bucket/x"], WRONG_USAGE, "s4://"),
    (["show", "run-01", "--source", str(SAMPLES)], FAILED, "Did you mean 'run-001'"),
    (["show", "--source", str(SAMPLES)], WRONG_USAGE, "RUN_ID"),
    (["list"], WRONG_USAGE, "AUDITKIT_SOURCE"),
    (["find", "sub-001"], WRONG_USAGE, "AUDITKIT_SOURCE"),
    (["find", "--source", str(SAMPLES)], WRONG_USAGE, "ID"),
    (["find", "", "--source", str(SAMPLES)], WRONG_USAGE, "no id to look for"),
    (["find", "sub-001", "sub-002", "--source", str(SAMPLES)], WRONG_USAGE, "sub-002"),
    (["find", "sub-001", "--source", "no/such/folder"], FAILED, "no/such/folder"),
    (["exprot"], WRONG_USAGE, "exprot"),
    (["clean", "--days-old=soon"], WRONG_USAGE, "soon"),
    (["clean", "--days-old=-1"], WRONG_USAGE, "-1"),
    (["clean", "--days-old=nan"], WRONG_USAGE, "nan"),
    (["stats", "--output-dir", str(SAMPLES / "run-001.json")], FAILED, "run-001.json"),
]


def test_a_wrong_call_says_what_is_wrong_in_a_few_lines(tmp_path: Path) -> None:
    results = auditkit_calls(*(arguments for arguments, _, _ in WRONG_CALLS), cwd=tmp_path)
    for done, (arguments, code, said) in zip(results, WRONG_CALLS, strict=True):
        assert (done.returncode, done.stdout) == (code, ""), arguments
        assert said in done.stderr, arguments
        assert len(done.stderr.splitlines()) <= 5, arguments
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_call_leaves_with_its_code(tmp_path: Path) -> None:
    done = auditkit("export", "--format=csv", cwd=tmp_path, source=SAMPLES)
    assert (done.returncode, done.stdout) == (WRONG_USAGE, "")
    assert "run" in done.stderr


def test_help_and_version_are_no_errors(tmp_path: Path) -> None:
    *helps, version = auditkit_calls(
        ["--help"], ["-h"], *([name, "--help"] for name in COMMANDS), ["--version"], cwd=tmp_path
    )
    for done in helps:
        assert (done.returncode, done.stderr) == (DONE, "")
        assert done.stdout.startswith("Usage: auditkit")
    assert all(f"\n  {name} " in helps[0].stdout for name in COMMANDS)
    assert (version.returncode, ak.__version__ in version.stdout) == (DONE, True)


# --- broken input and broken places -----------------------------------------------------------------------


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Good runs beside broken files of several kinds."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    saved(folder / "good.json", dumped(a_run(3, id="good")))
    saved(folder / "truncated.json", dumped(a_run(3, id="truncated"))[:-40])
    saved(folder / "wrong.json", dumped(a_run([a_result(0), a_result(1, userScore="many")], id="wrong")))
    saved(folder / "binary.json", bytes(range(256)))
    saved(folder / "empty.json", b"")
    saved(folder / "damaged.csv.gz", b"\x1f\x8b\x08\x00damaged")
    return folder


def test_broken_files_do_not_hide_the_others(tmp_path: Path, mixed: Path) -> None:
    done = auditkit("list", cwd=tmp_path, source=mixed)
    assert done.returncode == SOME_FAILED
    assert [row[0] for row in table(done.stdout)] == ["run", "good", "wrong"]
    named = [re.search(r"(\w+)\.(?:json|csv)", line) for line in done.stderr.splitlines()]
    assert {match and match[1] for match in named} == {"truncated", "binary", "empty", "damaged"}


def test_a_broken_run_is_an_error_that_names_file_row_and_field(tmp_path: Path, mixed: Path) -> None:
    listed, written, shown = auditkit_calls(
        ["list", "--json"],
        ["export", "good", "wrong", "truncated", "--format=csv"],
        ["show", "wrong"],
        cwd=tmp_path,
        source=mixed,
    )
    assert listed.returncode == SOME_FAILED
    assert [run["id"] for run in json.loads(listed.stdout)] == ["good", "wrong"]
    assert written.returncode == SOME_FAILED
    assert list(exported(tmp_path / "exports")) == [f"audit-run-good-{DAY}.csv"]
    wrong, truncated = written.stderr.splitlines()
    assert all(part in wrong for part in ("wrong.json", "row 1", "userScore", "'many'"))
    assert "truncated.json" in truncated
    assert (shown.returncode, shown.stdout) == (FAILED, "")
    assert "userScore" in shown.stderr


def test_a_folder_of_broken_files_only_is_a_failure_not_a_partial_one(tmp_path: Path, mixed: Path) -> None:
    for name in ("good", "wrong"):
        (mixed / f"{name}.json").unlink()
    for done in auditkit_calls(["list"], ["list", "--json"], cwd=tmp_path, source=mixed):
        assert done.returncode == FAILED


@linux
def test_places_without_permission_are_errors_with_their_path(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    saved(locked / "run.json", dumped(a_run(1)))
    locked.chmod(0)
    try:
        done = auditkit("list", "--source", locked, cwd=tmp_path, humble=True)
    finally:
        locked.chmod(0o700)
    assert (done.returncode, done.stdout) == (FAILED, "")
    assert "Permission denied" in done.stderr
    assert str(locked) in done.stderr
    locked.chmod(0o500)
    done = auditkit(
        "export", "run-001", "--format=csv", "--output-dir", locked, cwd=tmp_path, source=SAMPLES, humble=True
    )
    assert (done.returncode, done.stdout) == (FAILED, "")
    assert "Permission denied" in done.stderr
    assert str(locked / CSV) in done.stderr
    assert os.listdir(locked) == ["run.json"]


@linux
def test_an_unreadable_file_does_not_hide_the_others(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    saved(folder / "a.json", dumped(a_run(1, id="a")))
    saved(folder / "b.json", dumped(a_run(1, id="b"))).chmod(0)
    done = auditkit("list", "--source", folder, cwd=tmp_path, humble=True)
    assert done.returncode == SOME_FAILED
    assert [row[0] for row in table(done.stdout)] == ["run", "a"]
    assert "b.json" in done.stderr


# --- looking --------------------------------------------------------------------------------------------


def test_list_and_show_tell_what_a_source_holds(tmp_path: Path) -> None:
    listed, as_json, shown, shown_json, sound, large = auditkit_calls(
        ["list"],
        ["list", "--json"],
        ["show", "run-003"],
        ["show", "run-003", "--json"],
        ["show", "run-001"],
        ["show", "run-006"],
        cwd=tmp_path,
        source=SAMPLES,
    )
    for done in (listed, as_json, shown, shown_json, sound, large):
        assert (done.returncode, done.stderr) == (DONE, "")
    rows = table(listed.stdout)
    assert rows[1][:5] == ["run-001", "completed", "8", "15.8", "2"]
    assert [row[0] for row in rows[1:]] == [f"run-00{number}" for number in range(1, 7)]
    assert rows[6][2] == "1,500"

    headers = json.loads(as_json.stdout)
    assert headers[0] == {key: value for key, value in RUN_001.items() if key != "results"}
    assert [header["id"] for header in headers] == [f"run-00{number}" for number in range(1, 7)]

    rules = ak.load_run("run-003", source=SAMPLES).findings().rule.to_list()
    assert all(said in shown.stdout for said in ("run-003", "critical", "undecided", *rules))
    printed = json.loads(shown_json.stdout)
    assert [finding["rule"] for finding in printed["findings"]] == rules
    assert sum(printed["counts"]["deviation type"].values()) == 24
    assert sum(printed["counts"]["action taken"].values()) == 24

    assert "No findings" in sound.stdout
    assert len(large.stdout.splitlines()) < 60  # the findings of a large run do not flood the screen


def test_find_tells_in_which_rows_a_submission_or_a_user_stands(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    first = [a_result(0), a_result(1, userId="user-x", actionTaken=None, userScore=1234.5), a_result(2)]
    later = [a_result(number) for number in range(1500)]
    later[1499] |= {"submissionId": "user-x", "userId": "someone", "attempt": 2}
    saved(folder / "1.json", dumped(a_run(first, id="z")))
    saved(folder / "2.json", dumped(a_run(later, id="a")))
    user, submission, as_json, number = auditkit_calls(
        ["find", "user-x"],
        ["find", "sub-1498"],
        ["find", "user-x", "--json"],
        ["find", "1498"],
        cwd=tmp_path,
        source=folder,
    )
    for done in (user, submission, as_json, number):
        assert (done.returncode, done.stderr) == (DONE, "")
    moment = "2024-01-15T10:15:00Z"
    header = [
        "run",
        "row",
        "submission",
        "user",
        "user score",
        "AI score",
        "type",
        "action taken",
        "timestamp",
    ]
    assert table(user.stdout) == [
        header,
        ["z", "1", "sub-001", "user-x", "1,234.5", "78.0", "minor", "-", moment],
        ["a", "1,499", "user-x", "someone", "85.0", "78.0", "minor", "allow", moment],
    ]
    assert table(submission.stdout)[1:] == [
        ["a", "1,498", "sub-1498", "user-1498", "85.0", "78.0", "minor", "allow", moment]
    ]
    rows = json.loads(as_json.stdout)
    assert [(row["run_id"], row["position"], row["submission_id"], row["user_id"]) for row in rows] == [
        ("z", 1, "sub-001", "user-x"),
        ("a", 1499, "user-x", "someone"),
    ]
    assert [(row["user_score"], row["action_taken"], row["notes"]) for row in rows] == [
        (1234.5, None, "Code quality exceeds AI assessment"),
        (85.0, "allow", "Code quality exceeds AI assessment"),
    ]
    assert [row["extra"] for row in rows] == [None, '{"attempt":2}']
    assert number.stdout == f"No submission and no user 1498 in {folder}.\n"


def test_find_that_finds_nothing_says_so_and_is_no_failure(tmp_path: Path) -> None:
    words, as_json, dashed, hostile = auditkit_calls(
        ["find", "sub-00"],
        ["find", "sub-00", "--json"],
        ["find", "--", "--json"],
        ["find", "\x1b[2J\u202esub"],
        cwd=tmp_path,
        source=SAMPLES,
    )
    assert [done.returncode for done in (words, as_json, dashed, hostile)] == [DONE] * 4
    assert words.stdout == f"No submission and no user sub-00 in {SAMPLES}.\n"
    assert json.loads(as_json.stdout) == []
    assert dashed.stdout == f"No submission and no user --json in {SAMPLES}.\n"
    assert hostile.stdout == f"No submission and no user \ufffd[2J\ufffdsub in {SAMPLES}.\n"
    assert (words.stderr, as_json.stderr, dashed.stderr) == ("", "", "")


def test_find_tells_what_it_could_not_look_into(tmp_path: Path, mixed: Path) -> None:
    found, as_json, nothing, nothing_json = auditkit_calls(
        ["find", "sub-001"],
        ["find", "sub-001", "--json"],
        ["find", "nobody"],
        ["find", "nobody", "--json"],
        cwd=tmp_path,
        source=mixed,
    )
    assert [done.returncode for done in (found, as_json)] == [SOME_FAILED] * 2
    assert [row[:3] for row in table(found.stdout)[1:]] == [["good", "1", "sub-001"]]
    assert [row["run_id"] for row in json.loads(as_json.stdout)] == ["good"]
    # whether it stands in what could not be read nobody knows, so nothing is said of that
    assert [(done.returncode, done.stdout) for done in (nothing, nothing_json)] == [
        (FAILED, ""),
        (FAILED, "[]\n"),
    ]
    for done in (found, as_json, nothing, nothing_json):
        lines = done.stderr.splitlines()
        assert all(line.startswith("Error: ") for line in lines)
        named = [re.search(r"(\w+)\.(?:json|csv)", line) for line in lines]
        assert {match and match[1] for match in named} == {"wrong", "truncated", "binary", "empty", "damaged"}


@linux
def test_an_id_that_is_no_text_is_wrong_usage(tmp_path: Path) -> None:
    done = auditkit("find", os.fsdecode(b"sub-\xff"), cwd=tmp_path, source=SAMPLES)
    assert (done.returncode, done.stdout) == (WRONG_USAGE, "")
    assert "no id to look for" in done.stderr


def test_a_hostile_run_leaves_the_terminal_alone(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    rows = [
        a_result(n, submissionId=HOSTILE, notes=HOSTILE, userScore=500, **{HOSTILE: HOSTILE})
        for n in range(2)
    ]
    texts = dict.fromkeys(("reviewer", "taskTitle", "skillArea"), HOSTILE)
    saved(folder / "hostile.json", dumped(a_run(rows, id="a\u202eb", **texts, **{HOSTILE: HOSTILE})))
    broken = dumped(a_run([a_result(0, **{HOSTILE: float("nan")})], id="c\u2066d", **texts))
    saved(folder / f"{HOSTILE.replace('/', '')}.json", broken)
    saved(folder / "category.json", dumped(a_run([a_result(0, deviationType=HOSTILE)], id="e")))
    saved(folder / "title.json", dumped(a_run(1, id="f", status=HOSTILE)))
    calls = [
        ["list"],
        ["show", "a\u202eb"],
        ["show", "e"],
        ["show", "nothing"],
        ["find", HOSTILE],
        ["export", "a\u202eb", "c\u2066d", "e", "f", "--format=csv"],
    ]
    results = auditkit_calls(*calls, cwd=tmp_path, source=folder)
    assert "a\ufffdb" in results[calls.index(["find", HOSTILE])].stdout
    for done in results:
        call, printed = done.args, done.stdout + done.stderr
        assert UNSAFE.findall(printed) == [], call
        assert not any(line.startswith("Error: forged") for line in printed.splitlines()), call


# --- the folder of the exports --------------------------------------------------------------------------


def test_stats_counts_the_exports(tmp_path: Path) -> None:
    saved(tmp_path / "audit-run-a-2024-01-15.csv", b"x" * 12_636)
    saved(tmp_path / "notes.txt", b"x" * 99_999)
    none, some, as_json = auditkit_calls(
        ["stats"],
        ["stats", "--output-dir", str(tmp_path)],
        ["stats", "--json", "--output-dir", "."],
        cwd=tmp_path,
    )
    assert (none.returncode, "0 exports" in none.stdout) == (DONE, True)
    assert "12.34 KB" in some.stdout
    printed = json.loads(as_json.stdout)
    assert printed["total_files"] == 1
    assert printed["files_by_format"] == {"csv": 1}
    assert printed["total_bytes"] == 12_636


def test_clean_only_says_what_it_would_remove_until_it_is_told_to(tmp_path: Path) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    old, young = (saved(folder / f"audit-run-{name}-2024-01-15.csv", b"x") for name in ("old", "young"))
    notes = saved(folder / "notes.txt", b"x")
    for path in (old, notes):
        os.utime(path, (time.time() - 40 * 86_400,) * 2)
    dry, as_json, none = auditkit_calls(
        ["clean"], ["clean", "--json"], ["clean", "--days-old=41", "--yes"], cwd=tmp_path
    )
    assert dry.returncode == DONE
    assert f"would remove exports/{old.name}" in dry.stdout
    assert "--yes" in dry.stdout
    assert json.loads(as_json.stdout) == {"removed": False, "files": [f"exports/{old.name}"]}
    assert none.returncode == DONE
    assert old.exists()
    wet = auditkit("clean", "--yes", cwd=tmp_path)
    assert wet.stdout == f"removed exports/{old.name}\n"
    assert sorted(exported(folder)) == sorted([young.name, notes.name])


# --- the terminal ---------------------------------------------------------------------------------------


def piped(command: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """A line of bash, in which $AUDITKIT is the command; it fails where a part of a pipe fails."""
    variables = environment(AUDITKIT=f"{sys.executable} -m auditkit", AUDITKIT_SOURCE=str(SAMPLES), **env)
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=cwd,
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@linux
@pytest.mark.parametrize(
    "command",
    [
        "$AUDITKIT list --json --source long | head -1",
        "$AUDITKIT export run-001 --format=csv >&-",
        "$AUDITKIT list --source nowhere 2>&-",
        "$AUDITKIT list >/dev/full",
    ],
)
def test_an_output_that_nobody_reads_is_no_drama(tmp_path: Path, command: str) -> None:
    if "long" in command:
        runs = b"".join(dumped(a_run(1, id=f"r{n}", taskTitle="x" * 500), None) + b"\n" for n in range(500))
        saved(tmp_path / "long", runs)
    done = piped(command, tmp_path)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert done.returncode in (DONE, FAILED)


@linux
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_any_encoding_of_the_terminal_will_do(tmp_path: Path, encoding: str) -> None:
    done = piped(
        "$AUDITKIT list && $AUDITKIT show run-004 --json >shown", tmp_path, PYTHONIOENCODING=encoding
    )
    assert (done.returncode, done.stderr) == (DONE, "")
    shown = json.loads((tmp_path / "shown").read_bytes())
    assert shown["run"]["taskTitle"] == ak.load_run("run-004", source=SAMPLES).task_title


@linux
def test_an_output_folder_whose_name_is_not_unicode_can_be_printed(tmp_path: Path) -> None:
    folder = os.fsdecode(b"out-\xff")
    done = auditkit("export", "run-001", "--format=csv", "--output-dir", folder, cwd=tmp_path, source=SAMPLES)
    assert (done.returncode, done.stderr) == (DONE, "")
    assert (tmp_path / folder / CSV).is_file()


@linux
def interrupted(child: subprocess.Popen[str]) -> str:
    """What a child says that is interrupted, again if that is lost in the middle of an import."""
    for _ in range(30):
        child.send_signal(signal.SIGINT)
        try:
            return child.communicate(timeout=1)[1]
        except subprocess.TimeoutExpired:
            continue
    child.kill()
    child.communicate()
    raise AssertionError("the child cannot be interrupted")


def test_control_c_ends_an_export_without_a_file_and_without_a_traceback(tmp_path: Path) -> None:
    pipe = tmp_path / "run.json"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "auditkit", "export", "run-001", "--format=csv", "--source", str(pipe)]
    env = environment(PYTHONWARNINGS=None)  # a file that is being opened just then is told as not closed
    child = subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True)
    with pipe.open("wb"):  # waits until the child reads
        errors = interrupted(child)
    assert "Traceback" not in errors
    assert child.returncode in (130, -signal.SIGINT)
    assert not (tmp_path / "exports").exists()


# --- a quick start --------------------------------------------------------------------------------------


def test_importing_the_package_imports_neither_pandas_nor_arrow_nor_numpy(tmp_path: Path) -> None:
    script = """
        import sys
        import auditkit
        from auditkit import errors
        dir(auditkit), auditkit.__version__, auditkit.__all__, errors.AuditkitError
        heavy = {"pandas", "pyarrow", "numpy", "msgspec", "click", "tqdm", "fsspec"}
        print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
    """
    assert python("-c", textwrap.dedent(script), cwd=tmp_path).stdout == "[]\n"


def test_an_export_by_the_command_imports_no_pandas_and_leaves_it_to_be_imported_later(
    tmp_path: Path,
) -> None:
    script = """
        import sys
        from auditkit.cli import main
        codes = []
        for call in (
            ["export", "run-004", "run-006", "--format=csv"],
            ["export", "run-004", "run-006", "--format=json"],
            ["export", "run-004", "run-006", "--format=jsonl"],
            ["export", "run-004", "run-006", "--format=parquet"],
            ["export", "run-004", "--format=json", "--flatten-results", "--compression=gzip"],
            ["export", "nothing", "--format=csv"],
            ["list"],
            ["show", "run-004"],
            ["find", "user-1286"],
            ["find", "user-1286", "--json"],
            ["find", "nobody"],
            ["stats"],
            ["clean"],
        ):
            try:
                main(call)
            except SystemExit as end:
                codes.append(end.code)
        print(codes, sorted({"pandas", "tqdm", "fsspec"} & set(sys.modules)), file=sys.stderr)
        import auditkit as ak
        run = ak.load_run("run-004")
        assert len(run.results) == len(ak.load_results("run-004")) == 28
        assert len(run.select(run.results.deviation > 10).findings()) >= 0
        assert len(ak.load_runs()) == 6
    """
    done = python("-c", textwrap.dedent(script), cwd=tmp_path, env={"AUDITKIT_SOURCE": str(SAMPLES)})
    assert done.returncode == DONE, done.stderr
    assert done.stderr.splitlines()[-1] == "[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0] []"
