"""Every test, doctest and notebook runs on one fixed day, from the root, with no source of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
FIXED_DAY = "1705312800"  # 2024-01-15T10:00:00Z

os.environ["SOURCE_DATE_EPOCH"] = FIXED_DAY
os.environ.pop("AUDITKIT_SOURCE", None)


@pytest.fixture(autouse=True)
def _fixed_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", FIXED_DAY)
    monkeypatch.delenv("AUDITKIT_SOURCE", raising=False)


@pytest.fixture(autouse=True)
def _doctest_folder(
    doctest_namespace: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    doctest_namespace["folder"] = tmp_path / "exports"
    monkeypatch.chdir(ROOT)
