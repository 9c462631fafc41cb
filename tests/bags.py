"""Evidence bags to be looked at, damaged, and put right again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from records import a_result, a_run, dumped, saved

import auditkit as ak

IDENTITY = "auditor@example.org"

# What a spreadsheet, a shell, a CSV reader or a reader of JSON could trip over.
HOSTILE_NOTES = (
    "=1+1", "'=1+1", "-5", "@x\n=2", '"', '""', '",\n"', "a,b;c\td|e", "\r\n", "\r", "\0", "'", "", " ",
    "\ufeff=1", "\u2028", "\x85", "\x1c", "\x1a", "\\", "\\n", "漢字 😀", "},{", "x" * 140_000,
)  # fmt: skip


def source(folder: Path, *runs: Mapping[str, Any]) -> Path:
    """A folder that holds these runs, or three sound ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, run in enumerate(runs or [a_run(id=f"run-{number}") for number in range(3)]):
        saved(folder / f"{number}.json", dumped(run))
    return folder


def hostile_run(**changes: Any) -> dict[str, Any]:
    """A run full of what its readers could trip over; it contradicts itself in every result."""
    results = [
        a_result(number, notes=note, taskTitle=note, userScore=number / 3, aiScore=-0.0, deviation=1e21)
        for number, note in enumerate(HOSTILE_NOTES)
    ]
    return a_run(results, averageDeviation=1e-7) | changes


def signing_key(folder: Path) -> tuple[Path, Path]:
    """A key for signing, and a file of allowed signers with its public part."""
    key = ak.make_key(folder / "sign.key", "sign")
    return key.secret, saved(folder / "allowed_signers", f"{IDENTITY} {key.public_text}\n")


def contents(bag: Path) -> dict[str, bytes]:
    """The files of a bag by their paths in it."""
    return {path.relative_to(bag).as_posix(): path.read_bytes() for path in bag.rglob("*") if path.is_file()}


def info(bag: Path) -> dict[str, str]:
    """What bag-info says, its lines unfolded."""
    lines = (bag / "bag-info.txt").read_text().replace("\n  ", " ").splitlines()
    return dict(line.split(": ", 1) for line in lines)  # type: ignore[misc]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sealed(bag: Path, names: Iterable[str] = ("manifest-sha256.txt", "tagmanifest-sha256.txt")) -> None:
    """Let the manifests fit what stands there now, as a forger would."""
    files = contents(bag)
    for name in names:
        tags = name.startswith("tag")
        listed = [
            path
            for path in sorted(files)
            if path.startswith("data/") != tags and not (tags and path.startswith("tagmanifest"))
        ]
        data = "".join(f"{sha256((bag / path).read_bytes())}  {path}\n" for path in listed).encode()
        (bag / name).write_bytes(data)


def replaced(path: Path, old: bytes | str, new: bytes | str) -> None:
    """Replace the only occurrence of something in a file."""
    before, after = (text.encode() if isinstance(text, str) else text for text in (old, new))
    data = path.read_bytes()
    assert data.count(before) == 1, (path, old)
    path.write_bytes(data.replace(before, after))
