"""The same run and options give the same bytes: under any hash seed, time zone and locale, on any day."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from children import python, succeed
from records import a_result, a_run, dumped, saved
from tools import require

SEEDS = ("0", "1", "4711")
ZONES = ("UTC0", "LINT-14", "NST3:30")  # POSIX: west is positive
LOCALES = ("C.UTF-8", "de_DE.UTF-8", "tr_TR.UTF-8")  # a comma in decimals; a dotless i
DAYS = {"1705312800": "2024-01-15", "1735689599": "2024-12-31"}

# the naive writers vary with one thing each: they show that it really varied
NAIVE = ("hash seed", "time zone", "locale", "day")

CHILD = """
import hashlib, json, locale, os, sys, time
from pathlib import Path
import auditkit as ak

locale.setlocale(locale.LC_ALL, "")
source, days = sys.argv[1], json.loads(sys.argv[2])
orders = {
    "csv": ("csv", {}),
    "csv for excel": ("csv", {"excel": True}),
    "csv without guard": ("csv", {"formula_guard": False}),
    "csv without metadata": ("csv", {"include_metadata": False}),
    "csv.gz": ("csv", {"compression": "gzip"}),
    "csv.zst": ("csv", {"compression": "zstd"}),
    "json": ("json", {}),
    "json.gz": ("json", {"compression": "gzip"}),
    "flat json": ("json", {"flatten_results": True}),
    "jsonl": ("jsonl", {}),
    "parquet": ("parquet", {}),
    "parquet of zstd": ("parquet", {"compression": "zstd"}),
    "xlsx": ("xlsx", {}),
}
found = {}
for day in days:
    os.environ["SOURCE_DATE_EPOCH"] = day
    for label, (format, options) in orders.items():
        out = Path(day, label)
        receipt = ak.export_audit_run("nasty", format, source=source, output_dir=out, **options)
        sha256 = hashlib.sha256(receipt.path.read_bytes()).hexdigest()
        assert sha256 == receipt.sha256
        found.setdefault(label, []).append(sha256)
        found.setdefault("names", []).append(receipt.path.name)
    naive = {
        "hash seed": ",".join({f"user-{n}" for n in range(50)}),
        "time zone": time.strftime("%H:%M", time.localtime(0)),
        "locale": time.strftime("%B", time.gmtime(0)) + locale.format_string("%.1f", 15.8),
        "day": receipt.path.name,
    }
    for label, text in naive.items():
        found.setdefault(label, []).append(hashlib.sha256(text.encode()).hexdigest())
print(json.dumps(found))
"""

TEXTS = (
    "İstanbul ILICA ıiIİ",
    "=1+1",
    "a,'b;\n\t|",
    "Straße",
    "😀 漢字 e\u0301",
    "",
    "1,5",
    "_x0041_",
    "007",
)
SCORES = (0.1 + 0.2, 85, -0.0, 1e-7, 1e21, 100 / 3, 15.8, -5, 1e300)


@pytest.fixture(scope="module")
def locales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the locales, made from their sources: few machines have them."""
    require("locale-gen")  # comes with the sources, as localedef does not
    folder = tmp_path_factory.mktemp("locales")
    for name in LOCALES[1:]:
        language, _, charset = name.partition(".")
        command = [require("localedef"), "-i", language, "-f", charset, str(folder / name)]
        subprocess.run(command, check=True, capture_output=True)
    return folder


def exported(folder: Path, source: Path, locales: Path, seed: str, zone: str, locale: str) -> Any:
    folder.mkdir()
    env: dict[str, str | None] = {"PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": locale, "LANG": locale}
    if locale != LOCALES[0]:  # glibc has C.UTF-8 built in
        env["LOCPATH"] = str(locales)
    done = python("-c", CHILD, str(source), json.dumps(list(DAYS)), cwd=folder, env=env)
    return json.loads(succeed(done))


@pytest.fixture(scope="module")
def found(locales: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What each child made on both days: hashes by label, and names."""
    folder = tmp_path_factory.mktemp("exports")
    results = [
        a_result(n, notes=text, taskTitle=text, userScore=score, zeta=1, alpha={"z": 1, "a": [score]})
        for n, (text, score) in enumerate(zip(TEXTS, SCORES, strict=True))
    ]
    run = a_run(results, id="nasty", reviewer="Iıİi", omega=[1, 2], beta="ß")
    source = saved(folder / "nasty.json", dumped(run))
    places = [folder / str(number) for number in range(27)]
    with ThreadPoolExecutor(2) as pool:
        settings = product(SEEDS, ZONES, LOCALES)
        waiting = [
            pool.submit(exported, place, source, locales, *setting)
            for place, setting in zip(places, settings, strict=True)
        ]
        return [future.result() for future in waiting]


def hashes(found: list[Any], label: str) -> set[str]:
    return {sha256 for child in found for sha256 in child[label]}


def test_every_format_has_one_hash_in_54_surroundings(found: list[Any]) -> None:
    labels = found[0].keys() - {"names", *NAIVE}
    assert len(labels) == 13
    assert {label: len(hashes(found, label)) for label in labels} == dict.fromkeys(labels, 1)
    assert len({next(iter(hashes(found, label))) for label in labels}) == 13


@pytest.mark.parametrize(("label", "ways"), [("hash seed", 3), ("time zone", 3), ("locale", 3), ("day", 2)])
def test_a_writer_that_heeds_its_surroundings_is_caught(found: list[Any], label: str, ways: int) -> None:
    assert len(hashes(found, label)) == ways


def test_only_the_name_of_a_file_tells_the_day(found: list[Any]) -> None:
    days = {name[len("audit-run-nasty-") :][:10] for child in found for name in child["names"]}
    assert days == set(DAYS.values())
