"""Python in a process of its own: another environment, fewer rights, less room."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

EPOCH = "1705312800"  # 2024-01-15T10:00:00Z
DAY = "2024-01-15"
TOO_SLOW = 60

_NO_RIGHTS = 77
# root stays root, but permissions bind it: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH leave the bounding set
_HUMBLE = f"""\
import ctypes, os, sys
dropped = [ctypes.CDLL(None).prctl(24, capability, 0, 0, 0) for capability in (1, 2)]
if any(dropped):
    sys.exit({_NO_RIGHTS})
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def environment(**changes: str | None) -> dict[str, str]:
    """The environment of a child: a fixed day, no default source; None takes a variable out."""
    wanted: dict[str, str | None] = {
        **os.environ,
        "SOURCE_DATE_EPOCH": EPOCH,
        "PYTHONWARNINGS": "error",
        "AUDITKIT_SOURCE": None,
        "COVERAGE_PROCESS_START": None,
        **changes,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def python(
    *arguments: str | os.PathLike[str],
    cwd: Path,
    env: Mapping[str, str | None] | None = None,
    humble: bool = False,
    timeout: float = TOO_SLOW,
) -> subprocess.CompletedProcess[str]:
    """Run Python; `humble` binds it by the permissions of files even where the tests run as root."""
    command = [sys.executable, *map(os.fspath, arguments)]
    as_root = humble and hasattr(os, "geteuid") and os.geteuid() == 0
    if as_root:
        command = [sys.executable, "-c", _HUMBLE, *command[1:]]
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment(**(env or {})),
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=timeout,
        check=False,
    )
    if as_root and done.returncode == _NO_RIGHTS:
        pytest.skip("root cannot lay down its rights here")
    return done


def succeed(done: subprocess.CompletedProcess[str]) -> str:
    """What a child printed, which ended well."""
    assert done.returncode == 0, done.stderr
    return done.stdout


ONE_BY_ONE = """\
import contextlib, io, json, sys, traceback
from auditkit.cli import main
done = []
for call in json.loads(sys.argv[1]):
    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace") for _ in range(2)]
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        try:
            main(call)
        except SystemExit as end:
            code = end.code
        except BaseException:
            code = traceback.format_exc()
    for stream in streams:
        stream.flush()
    done.append([code, *(stream.buffer.getvalue().decode() for stream in streams)])
print(json.dumps(done))
"""


def auditkit_calls(*calls: list[str], cwd: Path, source: Any = None) -> list[Any]:
    """Many calls in one process, which saves its start: for each its exit code, output and errors."""
    env = {"AUDITKIT_SOURCE": str(source) if source else None}
    done = python("-c", ONE_BY_ONE, json.dumps(calls), cwd=cwd, env=env)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    for code, _, _ in results:
        assert isinstance(code, int), code
    return [subprocess.CompletedProcess(call, *result) for call, result in zip(calls, results, strict=True)]
