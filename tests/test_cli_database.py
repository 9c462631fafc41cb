"""`auditkit db`: tables made and runs loaded from the command line."""

from __future__ import annotations

import json
from pathlib import Path

from children import auditkit_calls
from records import a_result, a_run, dumped, saved

SECRET = "hunter2"


def test_runs_are_loaded_and_listed(tmp_path: Path) -> None:
    runs = saved(tmp_path / "runs.json", dumped([a_run(id="a"), a_run(0, id="b")]))
    url = "sqlite:///audit.sqlite"
    made, loaded, again, listed = auditkit_calls(
        ["db", "init", url],
        ["db", "load", str(runs), "--into", url],
        ["db", "load", str(runs), "--into", url, "--json"],
        ["list", "--source", url, "--json"],
        cwd=tmp_path,
    )
    assert made.stdout == "sqlite:///audit.sqlite has the tables audit_runs and audit_results\n"
    assert loaded.stdout == "2 runs loaded, 0 unchanged, 0 failed: sqlite:///audit.sqlite\n"
    assert json.loads(again.stdout) == {
        "location": url,
        "loaded": [],
        "unchanged": ["a", "b"],
        "failed": [],
    }
    assert "b" in listed.stdout
    assert [call.returncode for call in (made, loaded, again, listed)] == [0, 0, 0, 0]


def test_exit_codes_tell_all_failed_some_failed_and_wrong_usage(tmp_path: Path) -> None:
    broken = a_run([a_result(0, deviationType="odd")], id="b")
    folder = tmp_path / "runs"
    folder.mkdir()
    saved(folder / "b.json", dumped(broken))
    url = "sqlite:///audit.sqlite"
    first, _, none, *rest = auditkit_calls(
        ["db", "load", "runs", "--into", url],
        ["db", "init", url],
        ["db", "load", "runs", "--into", url],
        ["db", "init", f"oracle://me:{SECRET}@host/db"],
        cwd=tmp_path,
    )
    assert (first.returncode, none.returncode, rest[0].returncode) == (1, 1, 2)
    assert "auditkit db init" in first.stderr
    assert "deviationType" in none.stderr
    assert SECRET not in rest[0].stderr
    saved(folder / "a.json", dumped(a_run(id="a")))
    (some,) = auditkit_calls(["db", "load", "runs", "--into", url], cwd=tmp_path)
    assert some.returncode == 3
    assert some.stdout.startswith("1 runs loaded, 0 unchanged, 1 failed")


def test_a_password_is_never_echoed(tmp_path: Path) -> None:
    url = f"postgresql://me:{SECRET}@127.0.0.1:1/audits?sslpassword={SECRET}"
    calls = auditkit_calls(
        ["db", "init", url],
        ["db", "load", "runs", "--into", url],
        ["list", "--source", url],
        cwd=tmp_path,
    )
    for call in calls:
        assert call.returncode == 1
        assert "postgresql+psycopg://me@127.0.0.1:1/audits cannot be reached" in call.stderr
        assert SECRET not in call.stderr + call.stdout
