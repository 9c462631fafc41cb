"""Tools that others made accept our evidence bags, and each tampering is caught by one of them."""

from __future__ import annotations

import gc
import logging
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bagit
import pytest
from bags import IDENTITY, contents, hostile_run, replaced, sealed, sha256, signing_key, source
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records import a_result, a_run
from strategies import runs as any_run
from tools import require

import auditkit as ak
from auditkit.errors import VerificationError

SIGNATURE = "tagmanifest-sha256.txt.sig"
IDS = ("run-001", "=hostile", "empty", "../up")


def hostile_source(folder: Path) -> Path:
    """Runs whose texts, ids and numbers every tool has to cope with."""
    return source(
        folder,
        a_run(),
        hostile_run(id="=hostile", reviewer="=cmd|'/C calc'!A0"),
        a_run(0, id="empty", totalSubmissions=0, averageDeviation=None, completedAt=None, status="running"),
        a_run([a_result(0, reviewer=None, notes=None, actionTaken=None)], id="../up"),
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a signed bag of hostile runs, its key, and its log."""
    folder = tmp_path_factory.mktemp("home")
    runs = hostile_source(folder / "source")
    key, _ = signing_key(folder / "keys")
    ak.export_evidence(IDS, folder / "bags" / "bag", ["csv", "json", "jsonl"], source=runs, sign=key)
    return folder


@pytest.fixture
def bag(home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(home / "bags" / "bag", tmp_path / "bag"))


def run_in(folder: Path, *command: str, stdin: Path | None = None) -> subprocess.CompletedProcess[str]:
    with (stdin or Path("/dev/null")).open("rb") as given:
        return subprocess.run(
            command, cwd=folder, stdin=given, capture_output=True, text=True, timeout=60, check=False
        )


# --- the tools: each says whether a bag is right ---


def checksums(bag: Path, _: Path) -> bool:
    tool = require("sha256sum")
    done = [run_in(bag, tool, "--strict", "-c", f"{name}manifest-sha256.txt") for name in ("", "tag")]
    return all(one.returncode == 0 for one in done)


def bagit_validator(bag: Path, _: Path) -> bool:
    logging.disable()
    try:
        return bool(bagit.Bag(str(bag)).validate())
    except bagit.BagError:
        return False
    finally:
        logging.disable(logging.NOTSET)


def frictionless_validator(bag: Path, _: Path) -> bool:
    return not frictionless_errors(bag)


def ssh_keygen(bag: Path, signers: Path) -> bool:
    tool = require("ssh-keygen")
    command = [tool, "-Y", "verify", "-f", str(signers), "-I", IDENTITY, "-n", "auditkit", "-s", SIGNATURE]
    done = run_in(bag, *command, stdin=bag / "tagmanifest-sha256.txt")
    return done.returncode == 0


def frictionless_errors(bag: Path) -> list[str]:
    from frictionless import FrictionlessException, Package

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves packed files open
        try:
            report = Package(str(bag / "datapackage.json")).validate()
        except FrictionlessException as error:
            return [str(error)]
        finally:
            if any(bag.rglob("*.gz")):
                gc.collect()
    return [str(error) for task in report.tasks for error in task.errors] + [str(e) for e in report.errors]


TOOLS = (checksums, bagit_validator, frictionless_validator, ssh_keygen)


@pytest.fixture
def signers(home: Path) -> Path:
    return home / "keys" / "allowed_signers"


# --- they accept ours ---


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.__name__)
def test_a_bag_of_hostile_texts_is_accepted(bag: Path, signers: Path, tool: Any) -> None:
    assert tool(bag, signers)


def test_the_command_of_frictionless_accepts_it_too(bag: Path) -> None:
    done = run_in(bag, str(Path(sys.executable).with_name("frictionless")), "validate", "datapackage.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "INVALID" not in done.stdout


def test_frictionless_reads_the_tables_as_they_are_described(bag: Path) -> None:
    """A control: with the wrong separator, guard or type it would not find what stands there."""
    from frictionless import Package

    package = Package(str(bag / "datapackage.json"))
    tables = [resource for resource in package.resources if resource.type == "table"]
    assert [table.path for table in tables if table.path and "empty" in table.path]
    rows = next(table for table in tables if table.path and "hostile" in table.path).read_rows()
    assert [row["Audit Run ID"] for row in rows] == ["'=hostile"] * len(rows)
    assert {str(row["Deviation"]) for row in rows} == {"1E+21"}
    assert all(row["Critical Flags"] == 0 for row in rows)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "gzip"},
        {"compression": "zstd"},
        {"excel": True},
        {"include_metadata": False},
        {"formula_guard": False},
        {"formats": ["csv", "json", "jsonl", "parquet"], "flatten_results": True},
    ],
    ids=str,
)
def test_a_bag_with_any_option_is_accepted(home: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    bag = ak.export_evidence(IDS, tmp_path / "bag", source=home / "source", **options)
    assert checksums(bag.path, home)
    assert bagit_validator(bag.path, home)
    assert frictionless_errors(bag.path) == []
    assert ak.verify_bag(bag).rows == bag.rows


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(run=any_run(), excel=st.booleans(), guard=st.booleans())
def test_a_bag_of_any_run_is_accepted(tmp_path: Path, run: Any, excel: bool, guard: bool) -> None:
    shutil.rmtree(tmp_path / "trial", ignore_errors=True)
    runs = source(tmp_path / "trial" / "source", run)
    bag = ak.export_evidence(
        run["id"], tmp_path / "trial" / "bag", "csv", source=runs, excel=excel, formula_guard=guard
    )
    assert bagit_validator(bag.path, runs)
    assert frictionless_errors(bag.path) == []
    assert ak.verify_bag(bag).recounted


def test_an_encrypted_bag_is_accepted_and_opened_by_age(home: Path, tmp_path: Path) -> None:
    age = require("age")
    pytest.importorskip("pyrage")
    key = ak.make_key(tmp_path / "age.key", "encrypt")
    bag = ak.export_evidence(IDS, tmp_path / "bag", source=home / "source", encrypt_to=key.public)
    plain = ak.export_evidence(IDS, tmp_path / "plain", source=home / "source")
    assert checksums(bag.path, home)
    assert bagit_validator(bag.path, home)
    assert frictionless_errors(bag.path) == []
    for name in [*(f"data/{name}" for name in plain.files), "findings.csv"]:
        done = run_in(
            bag.path, age, "-d", "-i", str(key.secret), "-o", str(tmp_path / "opened"), f"{name}.age"
        )
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "opened").read_bytes() == (plain.path / name).read_bytes()


# --- and catch each tampering ---

CSV = "data/audit-run-run-001-2024-01-15.csv"
JSON = CSV.replace("csv", "json")


def edit_and_seal(bag: Path, name: str, old: str, new: str, *manifests: str) -> None:
    replaced(bag / name, old, new)
    sealed(bag, manifests)


def swap(bag: Path) -> None:
    first, second = (bag / CSV).read_bytes(), (bag / JSON).read_bytes()
    (bag / CSV).write_bytes(second)
    (bag / JSON).write_bytes(first)


def flip_a_bit(bag: Path) -> None:
    data = bytearray((bag / JSON).read_bytes())
    data[len(data) // 2] ^= 1
    (bag / JSON).write_bytes(data)


def sign_again(bag: Path) -> None:
    from auditkit.protect import signatures

    key = ak.make_key(bag.parent / "other.key", "sign")
    (bag / SIGNATURE).write_bytes(signatures.sign((bag / "tagmanifest-sha256.txt").read_bytes(), key.secret))


MANIFESTS = ("manifest-sha256.txt", "tagmanifest-sha256.txt")
TAMPERINGS: dict[str, Callable[[Path], object]] = {
    "payload edited": lambda bag: replaced(bag / CSV, "sub-001", "sub-999"),
    "payload deleted": lambda bag: (bag / CSV).unlink(),
    "payload added": lambda bag: (bag / "data" / "new.csv").write_text(""),
    "payload swapped": swap,
    "payload and manifest edited": lambda bag: edit_and_seal(bag, CSV, "sub-001", "sub-999", MANIFESTS[0]),
    "payload and both manifests edited": lambda bag: edit_and_seal(
        bag, CSV, "sub-001", "sub-999", *MANIFESTS
    ),
    "bag-info edited": lambda bag: replaced(bag / "bag-info.txt", "Control-Rows: ", "Control-Rows: 1"),
    "bag-info edited and sealed": lambda bag: edit_and_seal(
        bag, "bag-info.txt", "Control-Rows: ", "Control-Rows: 1", MANIFESTS[1]
    ),
    "data package edited": lambda bag: replaced(bag / "datapackage.json", '"title"', '"name"'),
    "findings edited": lambda bag: (bag / "findings.csv").write_text("run_id\n"),
    "signature replaced": sign_again,
    "signature deleted": lambda bag: (bag / SIGNATURE).unlink(),
    "payload truncated": lambda bag: (bag / CSV).write_bytes((bag / CSV).read_bytes()[:-1]),
    "tag manifest truncated": lambda bag: (bag / MANIFESTS[1]).write_bytes(
        (bag / MANIFESTS[1]).read_bytes()[:-70]
    ),
    "a bit flipped": flip_a_bit,
    "a tag file deleted": lambda bag: (bag / "VERIFY.txt").unlink(),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_each_tampering_is_caught_by_a_stock_tool_and_by_us(bag: Path, signers: Path, name: str) -> None:
    assert all(tool(bag, signers) for tool in TOOLS)
    TAMPERINGS[name](bag)
    assert not all(tool(bag, signers) for tool in TOOLS)
    with pytest.raises(VerificationError):
        ak.verify_bag(bag, signers)


def test_one_tool_alone_does_not_catch_everything(home: Path, signers: Path, tmp_path: Path) -> None:
    """So each has its section on the page that comes with a bag."""
    missed: dict[str, set[str]] = {tool.__name__: set() for tool in TOOLS}
    for name, tamper in TAMPERINGS.items():
        bag = Path(shutil.copytree(home / "bags" / "bag", tmp_path / name))
        tamper(bag)
        for tool in TOOLS:
            if tool(bag, signers):
                missed[tool.__name__].add(name)
    assert all(missed.values())
    assert missed["checksums"] & missed["bagit_validator"] >= {"bag-info edited and sealed"}


# --- the page that comes with a bag ---


def commands(bag: Path, **names: object) -> list[str]:
    """The commands of the page, with names put in for its capitals."""
    text = (bag / "VERIFY.txt").read_text().replace("\\\n        ", "")
    found = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    for capital, name in names.items():
        found = [re.sub(rf"\b{capital}\b", str(name), line) for line in found]
    return found


def shell(bag: Path, *lines: str) -> str:
    done = run_in(bag, require("bash"), "-euc", "\n".join(lines))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_commands_on_the_page_say_what_it_says(home: Path, signers: Path) -> None:
    bag = home / "bags" / "bag"
    payload, tags, found, listed, others, count, verify, *logged = commands(
        bag, FILE=signers, IDENTITY=IDENTITY
    )
    for check in (payload, tags):
        assert all(line.endswith(": OK") for line in shell(bag, check).splitlines())
    assert int(shell(bag, found)) == int(shell(bag, listed)) == 12
    assert shell(bag, others) == ""
    assert int(shell(bag, count)) == 9
    assert f'Good "auditkit" signature for {IDENTITY}' in shell(bag, verify)
    first, second, third = (
        line.replace("export-log.jsonl", str(home / "bags" / "export-log.jsonl")) for line in logged
    )
    number = shell(bag, first, second).strip()
    head = shell(bag, third.replace("Np", f"{number}p")).split()[0]
    assert f"Log-Head: {head}\n" in (bag / "bag-info.txt").read_text()


def test_the_command_that_decrypts_gives_the_plain_file(home: Path, tmp_path: Path) -> None:
    require("age")
    pytest.importorskip("pyrage")
    key = ak.make_key(tmp_path / "age.key", "encrypt")
    bag = ak.export_evidence("run-001", tmp_path / "bag", source=home / "source", encrypt_to=key.public)
    name = bag.files[0].removesuffix(".age")
    decrypt = next(
        line
        for line in commands(bag.path, KEY=key.secret, OUTPUT=tmp_path / "opened", NAME=name)
        if line.startswith("age")
    )
    shell(bag.path, decrypt)
    assert (tmp_path / "opened").read_bytes() == contents(home / "bags" / "bag")[f"data/{name}"]


def test_who_got_the_hash_another_way_needs_no_signature(home: Path, tmp_path: Path) -> None:
    bag = ak.export_evidence("run-001", tmp_path / "bag", source=home / "source")
    compare = next(line for line in commands(bag.path) if line.startswith("sha256sum tag"))
    assert shell(bag.path, compare).split()[0] == bag.tagmanifest_sha256
    assert sha256((bag.path / "tagmanifest-sha256.txt").read_bytes()) == bag.tagmanifest_sha256
