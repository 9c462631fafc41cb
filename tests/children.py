"""Python in a process of its own: another environment, fewer rights, less room."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

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
