"""A log of somebody who means no good is refused or read, and never a crash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import judge
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from judge import LOG, START, sha256
from logs import (
    DTYPES,
    begun,
    dtypes,
    put,
)

import auditkit as ak
from auditkit.errors import VerificationError


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


FIELDS = [*DTYPES, "open", "digest", "prev", "reason", "torn_bytes"]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63, -(2**63) - 1, 10**400, 2**62])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["2024-01-15T10:00:00.000Z", "9999-99-99", "0000-01-01T00:00:00Z", "\ud800", "\0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


def outcome(log: Path) -> pd.DataFrame | VerificationError:
    """What reading a log comes to; any other exception is a crash."""
    try:
        frame = ak.read_export_log(log)
    except VerificationError as error:
        return error
    assert dtypes(frame) == DTYPES
    return frame


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=5),
    st.sampled_from(["begin", "commit", "held", "recovered", "no such event"]),
)
@example({"bytes": 2**63}, "commit")
@example({"bytes": -1}, "commit")
@example({"seconds": 10**400}, "commit")
@example({"time": "9999-99-99"}, "commit")
@example({"path": "\ud800"}, "commit")
@example({"actor": {"a": 1}}, "held")
@example({"run_ids": "run-001"}, "begin")
@example({"reused": 1}, "commit")
def test_a_forged_line_is_refused_or_read_and_never_a_crash(
    tmp_path: Path, values: dict[str, Any], event: str
) -> None:
    """The digest of a forged line is right: it is no secret. What it says is of any type all the same."""
    record = {**begun(), "event": event, **values}
    for name in ("seq", "prev", "digest"):
        record.pop(name, None)
    log = tmp_path / LOG
    log.write_bytes(judge.line(record, 1, START))
    outcome(log)
    put(tmp_path, b"next\n")  # whoever writes next is not held up either
    outcome(log)


def test_a_plain_reader_crashes_on_some_of_these(tmp_path: Path) -> None:
    """So that the test above is known to ask for something."""
    crashes = 0
    for value in (2**63, "text", {"a": 1}, [1]):
        line = judge.line({**begun(), "bytes": value, "reused": value, "seconds": value}, 1, START)
        columns = {name: pd.Series([json.loads(line).get(name)], dtype=object) for name in DTYPES}
        try:
            pd.DataFrame(columns).astype(DTYPES)
        except (TypeError, ValueError, OverflowError):
            crashes += 1
    assert crashes == 4


DEEP = b'{"a":' * 100_000
MEAN = [
    b"NaN\n",
    b'{"bytes":NaN,"event":"held"}\n',
    b'{"bytes":Infinity}\n',
    b'{"bytes":1e999}\n',
    b'{"bytes":' + b"9" * 10_000 + b"}\n",
    DEEP + b"\n",
    b"[" * 990 + b"]" * 990 + b"\n",
    b"null\n",
    b"17\n",
    b'"text"\n',
    b"{}\n",
    b"\xef\xbb\xbf{}\n",
    "{}\n".encode("utf-16"),
    b'{"event":"held","event":"commit"}\n',
    b"\0\n",
]


@pytest.mark.parametrize("line", MEAN, ids=range(len(MEAN)))
def test_a_line_that_is_no_json_of_ours_is_damage(out: Path, line: bytes) -> None:
    (out / LOG).write_bytes(line)
    assert isinstance(outcome(out / LOG), VerificationError)
    put(out)
    assert isinstance(outcome(out / LOG), VerificationError)


def test_a_key_that_stands_twice_is_damage_though_its_digest_is_right(out: Path) -> None:
    whole = judge.line({"event": "held", "path": "x"}, 1, START)
    (out / LOG).write_bytes(whole.replace(b'"path":"x"', b'"path":"y","path":"x"'))
    assert isinstance(outcome(out / LOG), VerificationError)


@pytest.mark.parametrize("depth", [10, 500, 900, 950, 980, 990, 1000, 5000])
def test_nesting_as_deep_as_it_goes_is_read_or_refused(out: Path, depth: int) -> None:
    value: Any = 1
    for _ in range(min(depth, 900)):
        value = [value]
    text = b"[" * (depth - min(depth, 900)) + json.dumps(value).encode() + b"]" * (depth - min(depth, 900))
    line = b'{"event":"held","filter":' + text + b',"prev":"' + START.encode() + b'","seq":1}'
    bare = line.decode()
    line = line.replace(b'{"event"', b'{"digest":"' + sha256(bare.encode()).encode() + b'","event"') + b"\n"
    (out / LOG).write_bytes(line)
    assert isinstance(outcome(out / LOG), VerificationError if depth > 2000 else object)
    put(out)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=80), st.booleans())
def test_any_bytes_are_refused_or_read_and_written_on(tmp_path: Path, data: bytes, ended: bool) -> None:
    log = tmp_path / LOG
    log.write_bytes(data + b"\n" * ended)
    outcome(log)
    put(tmp_path, b"next\n")
    assert log.read_bytes().endswith(b"}\n")
