"""Names of files: no id leaves the folder, collides with another, or is refused for its letters."""

from __future__ import annotations

import hashlib
import operator
import posixpath
import sys
import time
import unicodedata
from datetime import UTC, datetime

import pytest
from children import DAY
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import run_ids

from auditkit.errors import AuditkitError, InvalidOptionError, InvalidRunIdError
from auditkit.naming import (
    check_run_id,
    export_date,
    export_format,
    run_file_name,
    selection_file_name,
    stem,
    version_name,
)

BASE_32 = "abcdefghijklmnopqrstuvwxyz234567"  # RFC 4648, section 6
PLAIN_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
ALLOWED_IN_NAMES = PLAIN_LETTERS | frozenset(".-_~")
CONTROLS = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) == "Cc"]
DEVICES = ["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))]

PLAIN_IDS = (
    "run-001", "RUN-001", "007", "1e5", "NA", "a.b", "A_b-c.D", "a-", "a_", "0", "null", "x" * 96,
    "console", "com10", "lpt", "con-1", "conx.txt", "xcon", "auxiliary.txt", "com", "nul1",
)  # fmt: skip
UNSAFE_IDS = (
    "../../etc/x", "..", ".", "/", "/etc/passwd", "\\\\server\\share", "C:\\x", "C:x", "a/b", "a\\b", "a=b",
    "", " ", "a b", " a", "a ", "-rf", "_a", "~", "~root", "a~b", "$HOME", "`id`", "%2e%2e", "*", "?", "a:b",
    "a\u202eb", "a\u2028b", "a\u200bb", "x" * 97, "ab" * 150, "-" * 300, "é" * 300, "漢" * 1024, "😀",
    "😀" * 1024, "é", "e\u0301", "\ufb01", "\u212aelvin", "\uff21", "\u0663", ".hidden", "...", "a.", "a..",
    "a..b", "a...b", "run-001.", "=1+1", "@me", "'a", '"', "a,b", "a;b", "audit/run", "x.\u0301", "a|b",
    "<a>", "CON", "con.txt", "Con.tar.gz", "AUX", "lpt9", "LPT1.csv", "com0.", "nul..",
)  # fmt: skip
BAD_EPOCHS = (
    "today", "2024-01-15", "-1", "+1", "1.5", "1e9", "1_000", " 1", "1 ", "0x10", "\u0663", "\u00b2",
    "253402300800", "9" * 30, "9" * 5000,
)  # fmt: skip
OTHER_NAMES = (
    "", ".", "notes.txt", "export-log.jsonl", ".auditkit-0011223344556677.tmp", "audit-run-a.csv",
    "audit-run--2024-01-15.csv", "audit-run-2024-01-15.csv", "audit-run-a-2024-01-15",
    "audit-run-a-2024-01-15.", "audit-run-a-2024-01-15-0.csv", "audit-run-a-2024-01-15-01.csv",
    "audit-run-a-2024-01-15-x.csv", "audit-run-a-2024-1-5.csv", "audit-run-a-20240115.csv",
    "Audit-run-a-2024-01-15.csv", "audit-run-a-\u0662\u0660\u0662\u0664-01-15.csv",
    "audit-run-a-2024-01-15.csv.bak", "audit-run-a-2024-01-15.csv~", "audit-run-a-2024-01-15.csv.gz.gz",
    "audit-run-a-2024-01-15.csv\n", "\naudit-run-a-2024-01-15.csv", "x-audit-run-a-2024-01-15.csv",
    "audit-run-a b-2024-01-15.csv", "audit-run-a/b-2024-01-15.csv", "audit-run-é-2024-01-15.csv",
    "audit-run-.a-2024-01-15.csv", "audit-bag-a-2024-01-15.csv", "audit-run-a-2024-01-15.CSV",
)  # fmt: skip


def fingerprint(run_id: str) -> str:
    """The first 80 bits of the SHA-256 as 16 digits to the base of 32, by arithmetic."""
    bits = int(hashlib.sha256(run_id.encode("utf-8")).hexdigest()[:20], 16)
    digits = []
    for _ in range(16):
        bits, digit = divmod(bits, 32)
        digits.append(BASE_32[digit])
    return "".join(reversed(digits))


def slug(run_id: str) -> str:
    spaced = "".join(character if character in PLAIN_LETTERS else " " for character in run_id)
    return "-".join(spaced.split()).lower()[:40] or "run"


def test_the_name_of_a_hostile_id_is_what_the_coreutils_say() -> None:
    # printf '../../etc/x' | sha256sum | cut -c1-20 | xxd -r -p | base32
    assert stem("../../etc/x") == "etc-x~k3nbulxs36stw35t"


@pytest.mark.parametrize("run_id", PLAIN_IDS)
def test_a_plainly_safe_id_stands_in_the_name_as_it_is(run_id: str) -> None:
    assert stem(run_id) == run_id
    assert run_file_name(run_id, ".csv") == f"audit-run-{run_id}-{DAY}.csv"


@pytest.mark.parametrize("run_id", UNSAFE_IDS)
def test_any_other_id_becomes_its_slug_and_its_fingerprint(run_id: str) -> None:
    assert stem(run_id) == f"{slug(run_id)}~{fingerprint(run_id)}"


@pytest.mark.parametrize("device", DEVICES)
def test_a_windows_device_is_never_a_name_in_any_case_with_any_suffix(device: str) -> None:
    for run_id in (device, device.upper(), device.title(), f"{device}.txt", f"{device.upper()}.a.b"):
        assert stem(run_id) == f"{slug(run_id)}~{fingerprint(run_id)}"


def test_a_long_slug_is_cut_at_40_characters() -> None:
    assert stem("x" * 300) == "x" * 40 + "~" + fingerprint("x" * 300)
    assert stem("ab/" * 100).partition("~")[0] == "ab-" * 13 + "a"
    # the 40th character would be a hyphen, which then joins nothing
    assert stem("abc/" * 100).partition("~")[0] == "abc-" * 9 + "abc"


def near_each_other() -> st.SearchStrategy[str]:
    """Ids that differ only in what a slug, a case-blind disk or a normalisation takes away."""
    return st.text("aA.-_~/\\= :eéE\u0301İıſsK\u212a1", max_size=12)


def texts_of_any_length() -> st.SearchStrategy[str]:
    characters = st.characters(exclude_categories=("Cc", "Cs"))
    return st.builds(operator.mul, st.text(characters, max_size=8), st.sampled_from((1, 5, 12, 128)))


def any_ids() -> st.SearchStrategy[str]:
    return near_each_other() | run_ids() | texts_of_any_length()


def escapes(name: str) -> bool:
    """Whether a name leads out of its folder, or could on some system."""
    inside = posixpath.normpath(f"/exports/{name}") == f"/exports/{name}"
    return not (inside and ".." not in name and ALLOWED_IN_NAMES.issuperset(name))


seen: dict[str, str] = {}
seen_blind: dict[str, str] = {}


@settings(max_examples=20_000, deadline=None)
@given(any_ids())
@example("../../etc/x")
@example("x" * 1024)
@example("\U0010ffff" * 1024)
def test_no_id_leaves_the_folder_or_collides_and_every_name_is_known_as_ours(run_id: str) -> None:
    name = run_file_name(run_id, ".csv.gz")
    assert not escapes(name)
    assert len(name) <= 143  # the shortest limit in use: eCryptfs; ours with room for a version
    assert export_format(name) == "csv"
    assert export_format(selection_file_name(run_id, ".json")) == "json"
    assert export_format(version_name(name, 12)) == "csv"
    short = stem(run_id)
    assert seen.setdefault(short, run_id) == run_id
    if "~" in short:
        assert short == short.lower()
        assert seen_blind.setdefault(short, run_id) == run_id


def naively(run_id: str) -> str:
    return f"audit-run-{run_id.replace('/', '_')}-{DAY}.csv.gz"


def test_names_that_only_lose_their_slashes_escape_and_collide() -> None:
    made: dict[str, str] = {}

    @settings(max_examples=2000, deadline=None, database=None)
    @given(any_ids())
    def make(run_id: str) -> None:
        made[run_id] = naively(run_id)

    make()
    assert any(map(escapes, made.values()))
    assert any(escapes(f"audit-run-{run_id}") for run_id in made if "/" in run_id)
    assert len(set(made.values())) < len(made)
    assert any(len(name) > 143 for name in made.values())


@settings(max_examples=300, deadline=None)
@given(near_each_other(), near_each_other())
def test_two_ids_never_share_a_name_in_any_version(one: str, other: str) -> None:
    if one != other:
        names = {version_name(run_file_name(one, ".csv"), n) for n in (1, 2, 3)}
        assert not names & {version_name(run_file_name(other, ".csv"), n) for n in (1, 2, 3)}


@settings(max_examples=300, deadline=None)
@given(st.text("aA/.= \u0301éE", min_size=1, max_size=8))
def test_hashed_names_differ_for_ids_that_differ_in_case_or_normal_form(run_id: str) -> None:
    variants = {run_id, run_id.swapcase(), run_id.upper(), run_id.casefold()}
    variants |= {unicodedata.normalize(form, run_id) for form in ("NFC", "NFD", "NFKC", "NFKD")}
    hashed = [stem(variant) for variant in variants if "~" in stem(variant)]
    assert len({name.casefold() for name in hashed}) == len(hashed)


def test_every_control_character_is_refused_wherever_it_stands() -> None:
    assert len(CONTROLS) == 65  # C0, DEL and C1
    for control in CONTROLS:
        for run_id in (control, f"a{control}", f"{control}a", f"a{control}b"):
            with pytest.raises(InvalidRunIdError, match="control character") as caught:
                check_run_id(run_id)
            assert control not in str(caught.value)


@pytest.mark.parametrize("function", [check_run_id, stem])
@pytest.mark.parametrize(
    "run_id", ["a\nb", "\0", "a\x7f", "\x85", "\ud800", "a\udfff", "x" * 1025, "😀" * 1025]
)
def test_what_cannot_be_a_run_id_is_refused_in_few_words(function: object, run_id: str) -> None:
    with pytest.raises(InvalidRunIdError) as caught:
        function(run_id)  # type: ignore[operator]
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, AuditkitError)
    assert len(str(caught.value)) < 250
    str(caught.value).encode()  # can be printed: no lone surrogate in it


@pytest.mark.parametrize("name_of", [run_file_name, selection_file_name])
def test_file_names_refuse_the_same(name_of: object) -> None:
    with pytest.raises(InvalidRunIdError):
        name_of("a\nb", ".csv")  # type: ignore[operator]


def test_1024_characters_are_allowed_whatever_their_bytes() -> None:
    assert check_run_id("😀" * 1024) == "😀" * 1024
    assert check_run_id("x" * 1024) == "x" * 1024


@pytest.mark.parametrize(
    ("epoch", "day"),
    [
        ("0", "1970-01-01"),
        ("86399", "1970-01-01"),
        ("86400", "1970-01-02"),
        ("1705312800", "2024-01-15"),
        ("1705363199", "2024-01-15"),  # 23:59:59Z
        ("1705363200", "2024-01-16"),
        ("951782400", "2000-02-29"),
        ("0001705312800", "2024-01-15"),
        ("253402300799", "9999-12-31"),
    ],
)
def test_the_day_is_the_utc_day_of_the_epoch(monkeypatch: pytest.MonkeyPatch, epoch: str, day: str) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    try:
        for zone in ("UTC", "Pacific/Kiritimati", "Pacific/Niue"):  # UTC+14 and UTC-11
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            assert export_date() == day
            assert run_file_name("a", ".csv") == f"audit-run-a-{day}.csv"
            assert selection_file_name("a", ".csv") == f"audit-results-a-{day}.csv"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("epoch", [None, ""])
def test_without_an_epoch_the_day_is_today_in_utc(monkeypatch: pytest.MonkeyPatch, epoch: str | None) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    if epoch is not None:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    before = datetime.now(UTC).date().isoformat()
    day = export_date()
    assert before <= day <= datetime.now(UTC).date().isoformat()


@pytest.mark.parametrize("epoch", BAD_EPOCHS)
def test_an_epoch_that_is_no_number_of_seconds_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, epoch: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    with pytest.raises(InvalidOptionError, match="SOURCE_DATE_EPOCH"):
        run_file_name("a", ".csv")


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        ("audit-run-a-2024-01-15.csv", 1, "audit-run-a-2024-01-15.csv"),
        ("audit-run-a-2024-01-15.csv", 2, "audit-run-a-2024-01-15-2.csv"),
        ("audit-run-a-2024-01-15.csv.gz", 10, "audit-run-a-2024-01-15-10.csv.gz"),
        ("audit-run-a-2024-01-15.json.zst", 3, "audit-run-a-2024-01-15-3.json.zst"),
        ("audit-results-large-2024-01-15.jsonl", 2, "audit-results-large-2024-01-15-2.jsonl"),
        ("audit-run-a.csv-2024-01-15.csv", 2, "audit-run-a.csv-2024-01-15-2.csv"),
        ("audit-run-2023-01-01-2024-01-15.csv", 2, "audit-run-2023-01-01-2024-01-15-2.csv"),
        ("audit-run-a-2023-01-01-2-2024-01-15.csv", 2, "audit-run-a-2023-01-01-2-2024-01-15-2.csv"),
        ("audit-run-a-2023-01-01.csv-2024-01-15.csv", 2, "audit-run-a-2023-01-01.csv-2024-01-15-2.csv"),
        ("audit-run-2024-01-15-2024-01-15.csv", 2, "audit-run-2024-01-15-2024-01-15-2.csv"),
    ],
)
def test_a_version_stands_between_the_day_and_the_suffix(name: str, version: int, expected: str) -> None:
    assert version_name(name, version) == expected


def test_a_version_changes_the_name_whatever_suffix_an_installed_format_has() -> None:
    # a name that stays the same would be tried for ever
    for suffix in (".report.txt", ".XML", ".f_1", ".a-b", ".csv.gz.gpg", ".7z~", ""):
        names = {version_name(run_file_name("a", suffix), version) for version in range(1, 6)}
        assert len(names) == 5, suffix


def test_ids_that_look_like_days_and_versions_share_no_name() -> None:
    ids = [
        "a",
        "a-2",
        "a-2024-01-15",
        "a-2024-01-15-2",
        "a-2024-01-15-2.csv",
        "a-2024-01-15.csv",
        "2024-01-15",
    ]
    ids += ["2024-01-15-2", "a-2024-01-15-2024-01-15", "a-2024-01-15-2-2024-01-15-2"]
    names = [
        version_name(name_of(run_id, suffix), version)
        for run_id in ids
        for name_of in (run_file_name, selection_file_name)
        for suffix in (".csv", ".csv.gz")
        for version in (1, 2, 3, 15, 2024)
    ]
    assert len(set(names)) == len(names) == len(ids) * 2 * 2 * 5
    assert {export_format(name) for name in names} == {"csv"}


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("audit-run-a-2024-01-15.csv", "csv"),
        ("audit-run-a-2024-01-15-2.json", "json"),
        ("audit-results-a-2024-01-15.jsonl.zst", "jsonl"),
        ("audit-run-etc-x~k3nbulxs36stw35t-2024-01-15.parquet", "parquet"),
        ("audit-run-audit-run-a-2024-01-15.csv-2024-01-15.json", "json"),
        ("audit-run-a-2024-01-15-2-2024-01-15-2.csv.gz", "csv"),
    ],
)
def test_the_format_of_a_file_of_ours_is_read_from_its_name(name: str, format: str) -> None:
    assert export_format(name) == format


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_a_file_with_any_other_name_is_not_ours(name: str) -> None:
    assert export_format(name) is None
