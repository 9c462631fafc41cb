"""Programs outside Python that some tests compare with."""

from __future__ import annotations

import os
import re
import shutil

import pytest


def require(name: str) -> str:
    """The path of program `name`. Without it the test is skipped, or fails if AUDITKIT_REQUIRE lists it."""
    path = shutil.which(name)
    if path is not None:
        return path
    if name in re.split(r"[,\s]+", os.environ.get("AUDITKIT_REQUIRE", "")):
        pytest.fail(f"{name} is not on PATH, and AUDITKIT_REQUIRE asks for it. Install {name}.")
    pytest.skip(f"{name} is not on PATH")


def torture() -> bool:
    """Whether the long trials are asked for, as `make torture` does."""
    return bool(os.environ.get("AUDITKIT_TORTURE"))
