"""`auditkit keygen`: what it makes, what it says, and that what it says to do works."""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from children import DAY, auditkit_calls
from tools import require

SAMPLES = Path(__file__).parents[1] / "sample_data" / "runs"
DONE, FAILED, WRONG_USAGE = 0, 1, 2

posix = pytest.mark.skipif(os.name != "posix", reason="needs the permissions of POSIX")


def calls(place: Path, *lines: str) -> list[Any]:
    return auditkit_calls(*map(shlex.split, lines), cwd=place, source=SAMPLES)


def run(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(list(map(os.fspath, command)), capture_output=True, check=False, **options)


def test_left_alone_it_makes_a_key_for_signing_and_shows_its_public_half(tmp_path: Path) -> None:
    ssh_keygen = require("ssh-keygen")
    (made,) = calls(tmp_path, "keygen 'my key'")
    assert (made.returncode, made.stderr) == (DONE, "")
    secret, public, fingerprint, then = made.stdout.splitlines()
    assert secret == "my key: the secret key. Nobody else may have it."
    text = (tmp_path / "my key.pub").read_text().strip()
    assert public == f"my key.pub: the public key, to be given away: {text}"
    shown = run(ssh_keygen, "-l", "-f", tmp_path / "my key.pub").stdout.decode()
    assert fingerprint == f"Fingerprint: {shown.split()[1]}"
    line = f"YOU@example.org {text.removesuffix(' auditkit')}"
    assert then == (
        f"Sign with `--sign 'my key'`. Whoever checks needs the line `{line}` "
        "in the file that --allowed-signers names."
    )


def test_the_line_for_allowed_signers_is_one_that_ssh_keygen_accepts(tmp_path: Path) -> None:
    ssh_keygen = require("ssh-keygen")
    (made,) = calls(tmp_path, "keygen key")
    line = re.search(r"`YOU(.*)`", made.stdout)
    assert line is not None
    (tmp_path / "allowed").write_text(f"anna{line[1]}\n")
    signature = run(
        ssh_keygen, "-Y", "sign", "-f", "key", "-n", "auditkit", input=b"24 results", cwd=tmp_path
    )
    (tmp_path / "signature").write_bytes(signature.stdout)
    place = ["-f", "allowed", "-I", "anna@example.org", "-n", "auditkit", "-s", "signature"]
    assert run(ssh_keygen, "-Y", "verify", *place, input=b"24 results", cwd=tmp_path).returncode == 0
    assert run(ssh_keygen, "-Y", "verify", *place, input=b"25 results", cwd=tmp_path).returncode != 0


def test_what_is_said_of_a_key_for_encryption_can_be_done(tmp_path: Path) -> None:
    pytest.importorskip("pyrage")
    (made,) = calls(tmp_path, "keygen keys/mine --for encrypt")
    assert (made.returncode, made.stderr) == (DONE, "")
    secret, public, then = made.stdout.splitlines()
    assert secret.startswith(f"{Path('keys/mine')}: ")
    recipient = (tmp_path / "keys" / "mine.pub").read_text().strip()
    assert public.endswith(f": {recipient}")
    encrypting = re.search(r"`(--encrypt-to \S+)`", then)
    reading = re.search(r"`auditkit (decrypt FILE --identity \S+)`", then)
    assert encrypting is not None
    assert reading is not None
    name = f"exports/audit-run-run-001-{DAY}.csv"
    plain, sealed = calls(
        tmp_path,
        "export run-001 --format csv --output-dir plain",
        f"export run-001 --format csv {encrypting[1]}",
    )
    assert (plain.returncode, sealed.returncode) == (DONE, DONE)
    (opened,) = calls(tmp_path, reading[1].replace("FILE", f"{name}.age"))
    assert opened.returncode == DONE, opened.stderr
    assert (tmp_path / name).read_bytes() == (tmp_path / "plain" / Path(name).name).read_bytes()
    assert b"sub-001" not in (tmp_path / f"{name}.age").read_bytes()


def test_what_is_said_of_a_key_for_pseudonyms_can_be_done(tmp_path: Path) -> None:
    (made,) = calls(tmp_path, "keygen key --for pseudonyms")
    assert (made.returncode, made.stderr) == (DONE, "")
    secret, then = made.stdout.splitlines()
    assert secret == "key: the secret key. Nobody else may have it."
    assert not (tmp_path / "key.pub").exists()
    option = re.search(r"`(--pseudonyms \S+)`", then)
    assert option is not None
    (exported,) = calls(tmp_path, f"export run-001 --format csv {option[1]}")
    assert exported.returncode == DONE, exported.stderr
    (path,) = (tmp_path / "exports").glob("*.csv")
    assert b"sub-001" not in path.read_bytes()


@pytest.mark.parametrize("purpose", ["sign", "encrypt", "pseudonyms"])
def test_json_has_the_paths_and_the_public_half_and_no_secret(tmp_path: Path, purpose: str) -> None:
    (made,) = calls(tmp_path, f"keygen key --for {purpose} --json")
    assert (made.returncode, made.stderr) == (DONE, "")
    told = json.loads(made.stdout)
    assert list(told) == ["purpose", "secret", "public", "public_text", "fingerprint"]
    assert (told["purpose"], told["secret"]) == (purpose, "key")
    if purpose == "pseudonyms":
        assert (told["public"], told["public_text"]) == (None, None)
    else:
        assert told["public"] == "key.pub"
        assert told["public_text"] == (tmp_path / "key.pub").read_text().strip()
    assert (told["fingerprint"] is not None) == (purpose == "sign")


@pytest.mark.parametrize("purpose", ["sign", "encrypt", "pseudonyms"])
def test_no_line_of_a_secret_is_ever_printed(tmp_path: Path, purpose: str) -> None:
    made = calls(
        tmp_path,
        f"keygen key --for {purpose}",
        f"keygen other --for {purpose} --json",
        f"keygen key --for {purpose}",
    )
    for name in ("key", "other"):
        lines = (tmp_path / name).read_text().splitlines()
        body = [line for line in lines if not line.startswith(("#", "-----"))]
        # a last line of a few letters stands in many a text; with those before it, in none
        secrets = [line[:30] for line in body if len(line) >= 30] + ["".join(body)[-30:]]
        assert len(secrets) > 1
        for call in made:
            assert not any(part in call.stdout + call.stderr for part in secrets)


@posix
def test_the_secret_is_for_its_owner_alone(tmp_path: Path) -> None:
    calls(tmp_path, "keygen a", "keygen b --for encrypt", "keygen c --for pseudonyms")
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "abc"] == [0o600] * 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a.pub", "b", "b.pub", "c"]


def test_a_file_that_is_there_is_kept_and_named(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"mine")
    (tmp_path / "half.pub").write_bytes(b"mine")
    taken, half = calls(tmp_path, "keygen key", "keygen half --for encrypt")
    assert (taken.returncode, taken.stdout) == (FAILED, "")
    assert taken.stderr == "Error: File exists: key\n"
    assert (half.returncode, half.stderr) == (FAILED, "Error: File exists: half.pub\n")
    assert (tmp_path / "key").read_bytes() == (tmp_path / "half.pub").read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["half.pub", "key"]


def test_wrong_usage_is_told_apart(tmp_path: Path) -> None:
    nothing, unknown, folder = calls(tmp_path, "keygen", "keygen key --for ssh", "keygen .")
    for call in (nothing, unknown, folder):
        assert (call.returncode, call.stdout) == (WRONG_USAGE, "")
    assert "Missing argument 'FILE'" in nothing.stderr
    assert "'sign', 'encrypt', 'pseudonyms'" in unknown.stderr
    assert "'.' names no file" in folder.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_hostile_name_leaves_the_terminal_as_it_is(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("no such names there")
    (made,) = auditkit_calls(["keygen", "k\x1b[2J\u202e\x9b"], cwd=tmp_path)
    assert made.returncode == DONE
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", made.stdout)
