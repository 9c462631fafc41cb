"""Whatever is done to an evidence bag is named, and a stranger's bag leads nobody astray."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from bags import contents, hostile_run, replaced, sealed, sha256, signing_key, source
from children import python, succeed
from records import a_run

import auditkit as ak
from auditkit.errors import InvalidKeyError, Problem, VerificationError
from auditkit.evidence.bag import bag_info
from auditkit.evidence.bagfolder import opened_bag
from auditkit.evidence.check import check_bag, is_bag, looks_like_bag
from auditkit.exportlog.chain import read_line

CSV, JSON = ("data/audit-run-run-0-2024-01-15.csv", "data/audit-run-run-0-2024-01-15.json")
OTHER_CSV = CSV.replace("run-0", "run-1")
SIGNATURE = "tagmanifest-sha256.txt.sig"
BOTH = ("manifest-sha256.txt", "tagmanifest-sha256.txt")
TAGS = BOTH[1:]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bag, unsigned, and one signed of the same runs."""
    folder = tmp_path_factory.mktemp("original")
    runs = source(folder / "source")
    key, _ = signing_key(folder / "keys")
    ids = ["run-0", "run-1"]
    ak.export_evidence(ids, folder / "bags" / "plain", source=runs)
    ak.export_evidence(ids, folder / "bags" / "signed", source=runs, sign=key)
    return folder


@pytest.fixture
def bag(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original / "bags" / "plain", tmp_path / "bag"))


@pytest.fixture
def signed(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original / "bags" / "signed", tmp_path / "signed"))


@pytest.fixture
def signers(original: Path) -> Path:
    return original / "keys" / "allowed_signers"


def found(bag: Path, signers: Any = None) -> set[tuple[str, str]]:
    """Kind and path of every problem; both ways to ask give the same."""
    with pytest.raises(VerificationError) as caught:
        ak.verify_bag(bag, signers)
    assert caught.value.problems == list(check_bag(bag, signers))
    return {(problem.kind, problem.path) for problem in caught.value.problems}


def details(bag: Path, signers: Any = None) -> str:
    return "\n".join(problem.detail for problem in check_bag(bag, signers))


# --- a bag that is what it was ---


def test_a_whole_bag_is_reported_with_what_it_holds(original: Path, signers: Path) -> None:
    signed = original / "bags" / "signed"
    report = ak.verify_bag(signed, signers)
    assert (report.path, report.files, report.rows, report.recounted) == (signed, 4, 6, True)
    files = contents(signed)
    assert report.bytes == sum(len(data) for name, data in files.items() if name.startswith("data/"))
    assert report.sha256 == sha256(files["manifest-sha256.txt"])
    assert report.tagmanifest_sha256 == sha256(files["tagmanifest-sha256.txt"])
    lines = (original / "bags" / "export-log.jsonl").read_bytes().splitlines(keepends=True)
    assert report.log_head == sha256(lines[2]) == bag_info(signed)["Log-Head"]  # the third line began it
    assert read_line(lines[2])["path"] == "signed"
    assert "4 files with 6 results, whole and as described" in report.in_words()
    assert "Signed by auditor@example.org" in report.in_words()


def test_without_allowed_signers_the_key_is_named_and_nobody_trusted(original: Path) -> None:
    report = ak.verify_bag(original / "bags" / "signed")
    assert report.signers == ()
    assert f"Signed with the key {report.signed_by}" in report.in_words()


def test_an_unsigned_bag_says_so(bag: Path) -> None:
    report = ak.verify_bag(bag)
    assert report.signed_by is None
    assert "Nobody signed it" in report.in_words()
    assert sha256((bag / TAGS[0]).read_bytes()) in report.in_words()


def test_what_cannot_be_read_again_is_not_counted_again_and_no_problem(
    original: Path, tmp_path: Path
) -> None:
    """A run that came from CSV lacks what nested JSON needs, so that JSON cannot be loaded."""
    bag = ak.export_evidence("run-0", tmp_path / "bag", "json", source=original / "bags" / "plain" / CSV)
    report = ak.verify_bag(bag)
    assert (report.rows, report.recounted) == (3, False)
    assert "1 file with 3 results" in report.in_words()
    assert "not counted again" in report.in_words()


def test_a_workbook_alone_cannot_be_read_again(original: Path, tmp_path: Path) -> None:
    pytest.importorskip("xlsxwriter")
    bag = ak.export_evidence("run-0", tmp_path / "bag", "xlsx", source=original / "source")
    assert not ak.verify_bag(bag).recounted


@pytest.mark.parametrize("format", ["csv", "json", "jsonl", "parquet"])
@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
def test_each_format_is_counted_again_packed_or_not(tmp_path: Path, format: str, compression: Any) -> None:
    runs = source(tmp_path / "source", hostile_run(), a_run(0, id="empty", totalSubmissions=0))
    ids = ["run-001", "empty"]
    bag = ak.export_evidence(ids, tmp_path / "bag", format, source=runs, compression=compression)
    assert ak.verify_bag(bag).recounted


# --- what is no bag ---


def test_nothing_at_all_is_no_bag(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ak.verify_bag(tmp_path / "nothing")


def test_a_file_and_an_empty_folder_are_no_bags(bag: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("bagit.txt")
    (tmp_path / "empty").mkdir()
    for name in ("file", "empty"):
        assert not is_bag(tmp_path / name)
        assert not looks_like_bag(tmp_path / name)
        with pytest.raises(VerificationError, match="no folder of a bag"):
            ak.verify_bag(tmp_path / name)
    assert is_bag(bag)
    assert looks_like_bag(bag)
    for look in (is_bag, looks_like_bag):
        assert not look(Path("\0"))
        assert not look(tmp_path / "nothing")


def test_a_bag_is_verified_through_links_to_it(bag: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("bag")
    (tmp_path / "further").symlink_to(tmp_path / "link")
    for name in ("link", "further"):
        assert looks_like_bag(tmp_path / name)
        assert not is_bag(tmp_path / name)
        report = ak.verify_bag(tmp_path / name)
        assert (report.path, report.rows) == (tmp_path / name, 6)
    edit(bag)
    with pytest.raises(VerificationError, match=r"1 problem in .*/further \(1 changed\)"):
        ak.verify_bag(tmp_path / "further")


def test_a_link_that_leads_nowhere_is_no_bag(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nothing")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("link", "loop"):
        assert not looks_like_bag(tmp_path / name)
        with pytest.raises(OSError, match=name):
            ak.verify_bag(tmp_path / name)


def test_of_a_bag_without_its_declaration_everything_is_named(bag: Path) -> None:
    (bag / "bagit.txt").unlink()
    assert looks_like_bag(bag)
    assert not is_bag(bag)
    assert found(bag) == {("missing", "bagit.txt")}
    edit(bag)
    assert found(bag) == {("missing", "bagit.txt"), ("changed", CSV)}


def test_bag_info_of_a_bag_without_any_is_an_error(bag: Path, tmp_path: Path) -> None:
    (bag / "bag-info.txt").write_text("no colon\n")
    with pytest.raises(VerificationError, match="no label and value"):
        bag_info(bag)
    (bag / "bag-info.txt").unlink()
    with pytest.raises(VerificationError, match="No such file"):
        bag_info(bag)
    with pytest.raises(VerificationError, match="No such file"):
        bag_info(tmp_path / "nothing")


# --- what is changed, missing or unexpected ---


def edit(bag: Path, name: str = CSV) -> None:
    replaced(bag / name, b"sub-001", b"sub-999")


def swap(bag: Path, one: str = CSV, other: str = OTHER_CSV) -> None:
    first, second = bag / one, bag / other
    first.rename(bag / "third")
    second.rename(first)
    (bag / "third").rename(second)


def a_fifo(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


Damage = Callable[[Path], object]
PLAIN: dict[str, tuple[Damage, set[tuple[str, str]]]] = {
    "payload edited": (edit, {("changed", CSV)}),
    "payload emptied": (
        lambda bag: (bag / CSV).write_bytes(b""),
        {("changed", CSV), ("changed", "bag-info.txt")},
    ),
    "payload deleted": (
        lambda bag: (bag / CSV).unlink(),
        {("missing", CSV), ("changed", "bag-info.txt")},
    ),
    "payload added": (
        lambda bag: (bag / "data" / "new").write_text(""),
        {("unexpected", "data/new"), ("changed", "bag-info.txt")},
    ),
    "hidden payload added": (
        lambda bag: (bag / "data" / ".new").write_text(""),
        {("unexpected", "data/.new"), ("changed", "bag-info.txt")},
    ),
    "payload swapped": (
        swap, {("changed", CSV), ("changed", OTHER_CSV)},
    ),
    "payload renamed": (
        lambda bag: (bag / CSV).rename(bag / "data" / "x.csv"),
        {("missing", CSV), ("unexpected", "data/x.csv")},
    ),
    "folder added": (lambda bag: (bag / "data" / "sub").mkdir(), {("unexpected", "data/sub")}),
    "folder added outside of data": (lambda bag: (bag / "sub").mkdir(), {("unexpected", "sub")}),
    "pipe added": (lambda bag: a_fifo(bag / "data" / "pipe"), {("unexpected", "data/pipe")}),
    "socket added": (lambda bag: a_socket(bag / "s"), {("unexpected", "s")}),
    "tag file added": (lambda bag: (bag / ".new").write_text(""), {("unexpected", ".new")}),
    "tag file deleted": (lambda bag: (bag / "VERIFY.txt").unlink(), {("missing", "VERIFY.txt")}),
    "tag file edited": (
        lambda bag: replaced(bag / "VERIFY.txt", "AUDIT", "audit"), {("changed", "VERIFY.txt")},
    ),
    "findings deleted": (
        lambda bag: (bag / "findings.csv").unlink(),
        {("missing", "findings.csv")},
    ),
    "a line taken out of the tag manifest": (
        lambda bag: replaced(
            bag / TAGS[0], f"{sha256((bag / 'VERIFY.txt').read_bytes())}  VERIFY.txt\n", ""
        ),
        {("unexpected", "VERIFY.txt")},
    ),
    "manifest deleted": (
        lambda bag: (bag / BOTH[0]).unlink(),
        {("missing", BOTH[0])}
        | {("unexpected", name) for name in (CSV, JSON, OTHER_CSV, OTHER_CSV.replace("csv", "json"))},
    ),
    "tag manifest deleted": (lambda bag: (bag / TAGS[0]).unlink(), {("missing", TAGS[0])}),
    "tag manifest cut": (
        lambda bag: (bag / TAGS[0]).write_bytes((bag / TAGS[0]).read_bytes()[:-1]), {("changed", TAGS[0])},
    ),
    "declaration edited": (
        lambda bag: replaced(bag / "bagit.txt", "1.0", "0.97"), {("changed", "bagit.txt")},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_damage_is_named_with_everything_that_it_touches(bag: Path, name: str) -> None:
    damage, expected = PLAIN[name]
    damage(bag)
    assert found(bag) == expected


def test_everything_that_is_wrong_is_named_at_once(bag: Path) -> None:
    edit(bag)
    (bag / OTHER_CSV).unlink()
    (bag / "data" / "new").write_text("new")
    (bag / "VERIFY.txt").write_text("Do not verify.\n")
    with pytest.raises(VerificationError) as caught:
        ak.verify_bag(bag)
    kinds = Counter(problem.kind for problem in caught.value.problems)
    assert kinds == {"changed": 2 + 1, "missing": 1, "unexpected": 1}
    assert str(caught.value).startswith(f"5 problems in {bag} (")


# What a forger does who makes the manifests fit again, but has no key.
FORGED: dict[str, tuple[Damage, tuple[str, ...], set[tuple[str, str]]]] = {
    "payload edited": (edit, BOTH, {("changed", CSV), ("changed", "datapackage.json")}),
    "payload swapped": (
        swap, BOTH, {("changed", CSV), ("changed", OTHER_CSV), ("changed", "datapackage.json")},
    ),
    "payload added": (
        lambda bag: (bag / "data" / "new").write_text(""),
        BOTH,
        {("changed", "bag-info.txt"), ("changed", "datapackage.json")},
    ),
    "payload that differs in case": (
        lambda bag: shutil.copy(bag / CSV, bag / CSV.replace("audit", "Audit")),
        BOTH,
        {("unexpected", CSV), ("changed", "bag-info.txt"), ("changed", "datapackage.json")},
    ),
    "tag file added": (lambda bag: (bag / "fetch.txt").write_text(""), TAGS, {("unexpected", "fetch.txt")}),
    "tag file deleted": (lambda bag: (bag / "VERIFY.txt").unlink(), TAGS, {("missing", "VERIFY.txt")}),
    "declaration edited": (
        lambda bag: replaced(bag / "bagit.txt", "1.0", "1.1"), TAGS, {("changed", "bagit.txt")},
    ),
    "declaration emptied": (
        lambda bag: (bag / "bagit.txt").write_bytes(b""), TAGS, {("changed", "bagit.txt")},
    ),
    **{
        f"bag-info says another {label}": (
            lambda bag, label=label: replaced(bag / "bag-info.txt", f"{label}: ", f"{label}: 1"),
            TAGS,
            {("changed", "bag-info.txt")},
        )
        for label in (
            "Bagging-Date", "Payload-Oxum", "Control-Rows", "Control-Sum-User-Score", "Control-Sum-AI-Score",
            "Control-Sum-Deviation", "Log-Head",
        )
    },
    **{
        f"bag-info lacks {label}": (
            lambda bag, label=label: replaced(bag / "bag-info.txt", f"{label}:", "Note:"),
            TAGS,
            {("changed", "bag-info.txt")},
        )
        for label in (
            "Bag-Software-Agent", "Bagging-Date", "Payload-Oxum", "Control-Rows", "Control-Sum-AI-Score",
        )
    },
    "bag-info says a label twice": (
        lambda bag: replaced(bag / "bag-info.txt", "Control-Rows: 6\n", "Control-Rows: 6\n" * 2),
        TAGS,
        {("changed", "bag-info.txt")},
    ),
    "bag-info is binary": (
        lambda bag: (bag / "bag-info.txt").write_bytes(bytes(range(256))),
        TAGS,
        {("changed", "bag-info.txt")},
    ),
    "data package is binary": (
        lambda bag: (bag / "datapackage.json").write_bytes(bytes(range(256))),
        TAGS,
        {("changed", "datapackage.json")},
    ),
    "data package is deep": (
        lambda bag: (bag / "datapackage.json").write_bytes(b'{"resources":' + b"[" * 1_000_000),
        TAGS,
        {("changed", "datapackage.json")},
    ),
    "findings edited": (
        lambda bag: (bag / "findings.csv").write_text("run_id\n"),
        TAGS,
        {("changed", "findings.csv"), ("changed", "datapackage.json")},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_a_forgery_is_betrayed_by_what_says_the_same_elsewhere(bag: Path, name: str) -> None:
    damage, manifests, expected = FORGED[name]
    damage(bag)
    sealed(bag, manifests)
    assert found(bag) == expected


def described(bag: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """The data package with its resources changed, and everything sealed."""
    path = bag / "datapackage.json"
    package = json.loads(path.read_bytes())
    change(package["resources"])
    path.write_text(json.dumps(package))
    sealed(bag)


@pytest.mark.parametrize(
    "change",
    [
        lambda files: files.pop(),
        lambda files: files.append({**files[0], "path": "data/new"}),
        lambda files: files.append(files[0]),
        lambda files: files[0].update(bytes=1),
        lambda files: files[0].update(bytes="1"),
        lambda files: files[0].update(hash="sha256:" + "0" * 64),
        lambda files: files[0].update(hash=files[0]["hash"].removeprefix("sha256:")),
        lambda files: files[0].update(rows=4),
        lambda files: files[0].pop("rows"),
        lambda files: files[1].update({"auditkit:rows": 4}),
        lambda files: files[-1].update(rows=1),
        lambda files: files[0].pop("path"),
    ],
)
def test_a_data_package_that_says_something_else_is_named(bag: Path, change: Any) -> None:
    described(bag, change)
    assert found(bag) == {("changed", "datapackage.json")}


def redescribed(bag: Path) -> None:
    """Let the data package fit what stands there now, but for the rows."""
    sizes = contents(bag)

    def fit(files: list[dict[str, Any]]) -> None:
        for file in files:
            data = sizes[file["path"]]
            file.update(bytes=len(data), hash=f"sha256:{sha256(data)}")

    described(bag, fit)


def test_a_score_that_is_forged_everywhere_else_is_betrayed_by_the_control_totals(bag: Path) -> None:
    for name, old, new in ((CSV, b",85,", b",84,"), (JSON, b'"userScore": 85', b'"userScore": 84')):
        data = (bag / name).read_bytes()
        (bag / name).write_bytes(data.replace(old, new, 1))
    redescribed(bag)
    assert found(bag) == {("changed", "bag-info.txt"), ("changed", "findings.csv")}
    assert "says 510 for Control-Sum-User-Score, where the files have 509" in details(bag)


@pytest.mark.parametrize("data", [b"not a CSV\n", b"\x1f\x8bnot packed", b"\x00" * 10, b""])
def test_a_forged_csv_that_cannot_be_loaded_is_named(bag: Path, data: bytes) -> None:
    (bag / CSV).write_bytes(data)
    replaced(bag / "bag-info.txt", bag_info(bag)["Payload-Oxum"], oxum(bag))
    redescribed(bag)
    kinds = found(bag)
    assert kinds & {("changed", CSV), ("changed", "datapackage.json")}
    assert kinds <= {("changed", CSV), ("changed", "datapackage.json"), ("changed", "bag-info.txt")}


def oxum(bag: Path) -> str:
    payload = [data for name, data in contents(bag).items() if name.startswith("data/")]
    return f"{sum(map(len, payload))}.{len(payload)}"


# --- the signature ---


def other_key(bag: Path, folder: Path) -> None:
    from auditkit.protect import signatures

    key = ak.make_key(folder / "other.key", "sign")
    (bag / SIGNATURE).write_bytes(signatures.sign((bag / TAGS[0]).read_bytes(), key.secret))


def test_a_bag_signed_by_somebody_else_is_sound_but_not_trusted(
    signed: Path, signers: Path, tmp_path: Path
) -> None:
    other_key(signed, tmp_path)
    assert ak.verify_bag(signed).signers == ()
    assert found(signed, signers) == {("signature", SIGNATURE)}


def test_with_allowed_signers_a_bag_has_to_be_signed(bag: Path, signers: Path) -> None:
    ak.verify_bag(bag)
    assert found(bag, signers) == {("signature", SIGNATURE)}


def test_a_forgery_of_a_signed_bag_needs_the_key(signed: Path, signers: Path) -> None:
    replaced(signed / "VERIFY.txt", "AUDIT", "audit")
    sealed(signed, TAGS)
    for trusted in (None, signers):
        assert found(signed, trusted) == {("signature", SIGNATURE)}


@pytest.mark.parametrize(
    "change", [lambda s: b"", lambda s: s[:-1], lambda s: s.replace(b"\n", b"\r\n"), lambda s: s + b"\n"]
)
def test_a_signature_that_is_written_otherwise_is_refused(signed: Path, change: Any) -> None:
    path = signed / SIGNATURE
    path.write_bytes(change(path.read_bytes()))
    assert found(signed) == {("changed", SIGNATURE)}


def test_a_signature_without_what_it_signs_is_not_looked_at(signed: Path) -> None:
    (signed / TAGS[0]).unlink()
    assert found(signed) == {("missing", TAGS[0])}


def test_a_file_of_allowed_signers_that_is_none_is_the_callers_mistake(signed: Path, tmp_path: Path) -> None:
    (tmp_path / "signers").write_text("???\n")
    with pytest.raises(InvalidKeyError):
        ak.verify_bag(signed, tmp_path / "signers")
    with pytest.raises(FileNotFoundError):
        ak.verify_bag(signed, tmp_path / "nothing")


# --- the log ---


def test_a_bag_that_is_another_one_than_the_log_entered_is_named(original: Path, bag: Path) -> None:
    lines = (original / "bags" / "export-log.jsonl").read_bytes().splitlines(keepends=True)
    plain, other = read_line(lines[1]), read_line(lines[3])
    assert list(check_bag(bag, None, plain)) == []
    assert [p.path for p in check_bag(bag, None, other)] == [TAGS[0]]  # the same payload
    assert [p.path for p in check_bag(bag, None, {**plain, "sha256": "0" * 64})] == [BOTH[0]]
    assert [p.path for p in check_bag(bag, None, {**plain, "bytes": 1})] == [BOTH[0]]
    (bag / BOTH[0]).unlink()
    assert next(iter(check_bag(bag, None, plain))).kind == "missing"


def test_a_folder_of_exports_is_verified_with_its_bags(original: Path, tmp_path: Path) -> None:
    bags = Path(shutil.copytree(original / "bags", tmp_path / "bags"))
    assert ak.verify_exports(bags).files == 2
    sealed_again = bags / "plain"
    replaced(sealed_again / "VERIFY.txt", "AUDIT", "audit")
    sealed(sealed_again, TAGS)  # without a signature, only the log can tell
    ak.verify_bag(sealed_again)
    with pytest.raises(VerificationError, match=r"plain/tagmanifest-sha256\.txt: changed"):
        ak.verify_exports(bags)


# --- hostile bags ---

OUTSIDE = (
    "../outside", "/etc/passwd", "data/../../outside", "data/../outside", "data/sub/../../outside", "data",
    "data/", "data/.", "data/..", ".", "..", "~root", "data/~", "C:\\outside", "\\\\host\\x", "data/%2e%2e/x",
    "data/%0A", "%0Adata/x", "data/\0", "data/" + "x" * 5000, "data/\u202e", "data/\x1b[2J", "data//x",
    "./data/x", "\ufeffdata/x", "data/a/b/c",
)  # fmt: skip


@pytest.mark.parametrize("manifest", BOTH)
def test_a_name_that_leaves_the_bag_is_only_looked_up(bag: Path, manifest: str) -> None:
    (bag.parent / "outside").write_text("secret")
    before = contents(bag)
    for name in OUTSIDE:
        with opened_manifest(bag, manifest) as hashes:
            hashes[name] = sha256(b"secret")
        text = "".join(map(str, check_bag(bag)))
        assert "missing" in text or "order" in text, name
        assert text.isprintable(), name
        assert len(text) < 2000
        written(bag, contents(bag), before)


@contextmanager
def opened_manifest(bag: Path, manifest: str) -> Iterator[dict[str, str]]:
    """The names and hashes of a manifest, written back as they are then."""
    lines = (bag / manifest).read_text().splitlines()
    hashes = {line[66:]: line[:64] for line in lines}
    yield hashes
    text = "".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes))
    (bag / manifest).write_bytes(text.encode())
    if manifest == BOTH[0]:
        sealed(bag, TAGS)


@pytest.mark.parametrize("name", [CSV, "bag-info.txt", "VERIFY.txt", "bagit.txt", *BOTH, "findings.csv"])
@pytest.mark.parametrize("target", ["a copy", "/dev/zero", "nowhere", "."])
def test_a_link_is_never_followed(bag: Path, name: str, target: str) -> None:
    copy = bag.parent / "copy"
    (bag / name).rename(copy)
    (bag / name).symlink_to(copy if target == "a copy" else target)
    assert ("unexpected", name) in found(bag)


def test_a_data_folder_that_is_a_link_is_not_entered(bag: Path) -> None:
    (bag / "data").rename(bag.parent / "data")
    (bag / "data").symlink_to(bag.parent / "data")
    kinds = found(bag)
    assert {("unexpected", "data"), ("missing", "data/"), ("missing", CSV)} <= kinds


@pytest.mark.parametrize("make", [lambda path: None, a_fifo, lambda path: path.write_text("")])
def test_without_a_data_folder_everything_in_it_is_missing(bag: Path, make: Any) -> None:
    shutil.rmtree(bag / "data")
    make(bag / "data")
    assert {("missing", "data/"), ("missing", CSV)} <= found(bag)


@pytest.mark.parametrize("name", ["bag-info.txt", "bagit.txt", "datapackage.json", *BOTH, SIGNATURE])
@pytest.mark.parametrize("size", [(64 << 20) + 1, 1 << 36])
def test_a_huge_tag_file_is_not_read(signed: Path, name: str, size: int) -> None:
    os.truncate(signed / name, size)  # it takes no room on disk
    assert ("changed", name) in found(signed)


JUNK = (b"\n", b"\0", b": ", b"  ", b"\xff", b"1" * 5000, b"[", b'"', b"\\u0000", b"\r", b"%0A")


@pytest.mark.parametrize(
    "name", ["bag-info.txt", "bagit.txt", "datapackage.json", *BOTH, SIGNATURE, CSV, JSON]
)
def test_garbled_files_are_named_whatever_stands_in_them(signed: Path, name: str) -> None:
    before = contents(signed)
    for seed in range(40):
        dice = random.Random(f"{name} {seed}")
        data = bytearray(before[name])
        for _ in range(dice.randint(1, 30)):
            at = dice.randrange(len(data) + 1)
            data[at : at + dice.randrange(4)] = dice.choice([*JUNK, dice.randbytes(3)])
        (signed / name).write_bytes(data)
        sealed(signed, [one for one in BOTH if one != name and name != SIGNATURE])
        with pytest.raises(VerificationError):
            ak.verify_bag(signed)
        written(signed, contents(signed), before)


WATCHED = """
import os, sys
from pathlib import Path
import auditkit as ak
from auditkit.errors import VerificationError

place, opened = sys.argv[1], []
try:
    ak.verify_bag(place)  # whatever has to be imported is imported now
except VerificationError:
    pass

def hook(event, arguments):
    if event in ("open", "os.listdir", "os.scandir"):
        opened.append(arguments[0])

sys.addaudithook(hook)
try:
    ak.verify_bag(place)
except VerificationError as error:
    print(len(error.problems))
names = {name for name in opened if isinstance(name, (str, os.PathLike))}
print(sorted(map(str, names - {Path(place)})))
"""


def test_nothing_outside_of_a_bag_is_opened(bag: Path) -> None:
    """Names are opened in the folder that was opened before, so none of them has a slash."""
    outside = bag.parent / "outside"
    outside.write_text("secret")
    with opened_manifest(bag, BOTH[0]) as hashes:
        hashes.update({name: sha256(b"secret") for name in ("../outside", "data/../../outside", "data/link")})
    (bag / "data" / "link").symlink_to(outside)
    (bag / "linked.txt").symlink_to(outside)
    count, names = succeed(python("-c", WATCHED, bag, cwd=Path.cwd())).splitlines()
    assert int(count) >= 5
    opened = json.loads(names.replace("'", '"'))
    assert "data" in opened
    assert not {name for name in opened if "/" in name} - {str(bag)}
    assert not {"link", "linked.txt", "outside"} & set(opened)


def test_what_is_exchanged_while_it_is_read_is_not_read(bag: Path) -> None:
    with opened_bag(bag) as opened:
        (bag / CSV).unlink()
        (bag / CSV).symlink_to("/etc/passwd")
        with pytest.raises(OSError, match="symbolic"):
            opened.sha256(CSV)
        (bag / CSV).unlink()
        os.mkfifo(bag / CSV)
        with pytest.raises(OSError, match="no regular file any more"):
            opened.read(CSV)
        with pytest.raises(FileNotFoundError):
            opened.open("elsewhere/x")


UNREADABLE = """
import os, sys
import auditkit as ak
from auditkit.errors import VerificationError
for name in sys.argv[2:]:
    path = os.path.join(sys.argv[1], name)
    mode = os.stat(path).st_mode
    os.chmod(path, 0)
    try:
        ak.verify_bag(sys.argv[1])
    except VerificationError as error:
        print(*sorted({f"{p.kind} {p.path}" for p in error.problems}), sep=", ")
    os.chmod(path, mode)
"""


def test_what_may_not_be_read_is_named(bag: Path) -> None:
    names = [CSV, "VERIFY.txt", "bag-info.txt", "findings.csv", "data"]
    done = python("-c", UNREADABLE, bag, *names, cwd=Path.cwd(), humble=True)
    payload, page, info, findings, data = succeed(done).splitlines()
    assert f"changed {CSV}" in payload
    assert page == "changed VERIFY.txt"
    assert info == "changed bag-info.txt"
    assert "changed findings.csv" in findings
    assert "missing data/" in data


def test_a_folder_that_cannot_be_opened_is_named(bag: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        problems = list(check_bag(bag))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert problems == [Problem("changed", "bagit.txt", "the bag cannot be read: Too many open files")]


# --- tamperings at random ---

TRIALS = 200


class Tampering:
    """One change of a bag in memory, at random."""

    def __init__(self, files: dict[str, bytes], seed: str):
        self.files = dict(files)
        self._dice = random.Random(seed)

    def edit(self) -> None:
        name, data = self._any()
        at = self._dice.randrange(len(data))
        piece = data[at : at + self._dice.randint(1, 20)]
        self.files[name] = data[:at] + self._dice.randbytes(len(piece)) + data[at + len(piece) :]

    def delete(self) -> None:
        name, data = self._any()
        if self._dice.random() < 0.3:
            del self.files[name]
            return
        at = self._dice.randrange(len(data))
        self.files[name] = data[:at] + data[at + self._dice.randint(1, 50) :]

    def swap(self) -> None:
        if self._dice.random() < 0.5:
            (one, first), (other, second) = self._any(), self._any()
            self.files |= {one: second, other: first}
            return
        name, data = self._any()
        lines = data.splitlines(keepends=True)
        one, other = (self._dice.randrange(len(lines)) for _ in range(2))
        lines[one], lines[other] = lines[other], lines[one]
        self.files[name] = b"".join(lines)

    def duplicate(self) -> None:
        name, data = self._any()
        if self._dice.random() < 0.5:
            folder = self._dice.choice(["", "data/", "data/.", "."])
            self.files[f"{folder}{self._dice.randrange(10**6)}{name.rpartition('/')[2]}"] = data
            return
        lines = data.splitlines(keepends=True)
        at = self._dice.randrange(len(lines))
        self.files[name] = b"".join([*lines[:at], lines[at], *lines[at:]])

    def insert(self) -> None:
        name, data = self._any()
        at = self._dice.randrange(len(data) + 1)
        junk = self._dice.choice([b"\n", b" ", b"0", b",", self._dice.randbytes(self._dice.randint(1, 20))])
        self.files[name] = data[:at] + junk + data[at:]

    def truncate(self) -> None:
        name, data = self._any()
        self.files[name] = data[: self._dice.randrange(len(data))]

    def flip(self) -> None:
        name, data = self._any()
        at = self._dice.randrange(len(data))
        self.files[name] = data[:at] + bytes([data[at] ^ (1 << self._dice.randrange(8))]) + data[at + 1 :]

    def _any(self) -> tuple[str, bytes]:
        return self._dice.choice(sorted(self.files.items()))


def naive(bag: Path) -> bool:
    """Whether every file of both manifests is there, and the payload has its size."""
    listed = [line[66:] for name in BOTH for line in (bag / name).read_text().splitlines()]
    return all((bag / name).is_file() for name in listed) and bag_info(bag).get("Payload-Oxum") == oxum(bag)


@pytest.mark.parametrize("kind", ["edit", "delete", "swap", "duplicate", "insert", "truncate", "flip"])
def test_every_tampering_with_a_signed_bag_is_caught(signed: Path, signers: Path, kind: str) -> None:
    files = contents(signed)
    caught, missed_by_naive, trial = 0, 0, 0
    while caught < TRIALS:
        tampering = Tampering(files, f"{kind} {trial}")
        trial += 1
        getattr(tampering, kind)()
        if tampering.files == files:  # it changed nothing
            continue
        written(signed, files, tampering.files)
        with pytest.raises(VerificationError):
            ak.verify_bag(signed, signers)
        caught += 1
        with suppress(OSError, ValueError, VerificationError):
            missed_by_naive += naive(signed)
        written(signed, tampering.files, files)
    ak.verify_bag(signed, signers)
    assert missed_by_naive > 10


def written(bag: Path, before: dict[str, bytes], after: dict[str, bytes]) -> None:
    """A bag whose files were these, made to be those."""
    for name in before.keys() - after.keys():
        (bag / name).unlink()
    for name, data in after.items():
        if before.get(name) != data:
            (bag / name).write_bytes(data)
