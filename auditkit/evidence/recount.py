"""The runs of a bag once more, from its files: totals, agreement of the formats, findings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from auditkit import __version__
from auditkit.errors import Problem
from auditkit.evidence.agreement import disagreements, untold
from auditkit.evidence.bag import AGENT, CONTROL_ROWS, FINDINGS, INFO, shown
from auditkit.evidence.bagfolder import BagFolder
from auditkit.evidence.refound import NEEDED, Refound, differences, found, refound
from auditkit.evidence.reread import Reader, Reread, Unreadable
from auditkit.evidence.totals import ControlTotals
from auditkit.formats.base import COMPRESSION_SUFFIXES
from auditkit.sources.logged import GUARD, PACKAGE

_IN_TURN = ("parquet", "json", "jsonl", "csv")
"""What loses least comes first: the others are compared with it, and findings recomputed from it."""
_AGENT = f"auditkit {__version__}"
_CHUNK_BYTES = 1 << 20


class Recount:
    """What the sound files of a bag in the clear say and add up to.

    Parameters
    ----------
    names : iterable of str
        The files of the payload.
    rows : mapping
        How many rows the data package gives each file of the bag.
    unguarded : set of str
        The files that were written without the formula guard.

    Attributes
    ----------
    whole : bool
        Whether every run could be read again.
    not_compared : list of str
        What nothing could be compared with, in words.
    """

    def __init__(
        self,
        bag: BagFolder,
        names: Iterable[str],
        rows: Mapping[str, int | None],
        unguarded: frozenset[str] = frozenset(),
    ):
        self._bag = bag
        self._runs = _by_run(names)
        self._declared = rows
        self._reader = Reader(bag=bag, unguarded=unguarded)
        self._guard = FINDINGS not in unguarded
        self._rows = 0
        self._totals = ControlTotals()
        self._refound: list[Refound] = []
        self.whole = True
        self.not_compared: list[str] = []

    def problems(self, info: Mapping[str, str]) -> Iterator[Problem]:
        """Where the files disagree with each other, or with what bag-info, data package and findings say."""
        for files in self._runs:
            yield from self._of_run(files)
        counted = {CONTROL_ROWS: str(self._rows)} | (self._totals.sums() if self.whole else {})
        for label, value in counted.items():
            if info.get(label) != value:
                said = shown(info.get(label, "nothing"))
                yield Problem("changed", INFO, f"says {said} for {label}, where the files have {value}")

    def of_findings(self, info: Mapping[str, str]) -> Iterator[Problem]:
        """What is wrong with a `findings.csv` that is as its manifest says, once the runs were looked at."""
        with suppress(OSError):  # it was read before, and went away
            if self._declared.get(FINDINGS) != csv_rows(self._bag, FINDINGS):
                yield Problem("changed", PACKAGE, f"gives another number of rows than {FINDINGS} has")
            wrong = self._wrong_findings()
            if wrong and info.get(AGENT) != _AGENT:  # which may have had other rules
                maker = shown(info.get(AGENT, "nobody"))
                self.not_compared.append(
                    f"{FINDINGS}: it comes from {maker}, and {_AGENT} finds something else"
                )
                return
            yield from (Problem("changed", FINDINGS, detail) for detail in wrong)

    def _of_run(self, files: Mapping[str, str]) -> Iterator[Problem]:
        rows = {self._declared.get(name) for name in files.values()}
        first: Reread | None = None
        lacking: dict[str, Unreadable] = {}
        for suffix in sorted(files, key=_turn):
            try:
                file = self._read(files, suffix, first)
            except Unreadable as error:
                lacking[files[suffix]] = error
                continue
            if file is None:
                continue
            rows.add(file.totals.rows)
            if first is None:
                first = file
                yield from self._counted(file)
            else:
                yield from self._compared(first, file)
        yield from self._unread(lacking, first)
        if first is None:
            self.whole = False
            self._rows += max((count for count in rows if count is not None), default=0)
        if len(rows) > 1:
            names = ", ".join(map(shown, files.values()))
            yield Problem("changed", PACKAGE, f"gives another number of rows than there are in {names}")

    def _read(self, files: Mapping[str, str], suffix: str, first: Reread | None) -> Reread | None:
        name = files[suffix]
        if suffix not in _IN_TURN:
            self.not_compared.append(f"{shown(name)}: files of this kind cannot be loaded")
            return None
        return self._reader.read(
            name,
            suffix,
            self._declared.get(name),
            beside_csv=suffix != "csv" and "csv" in files,
            keep=NEEDED if first is None else (),
        )

    def _unread(self, files: Mapping[str, Unreadable], first: Reread | None) -> Iterator[Problem]:
        """What is wrong with files that could not be loaded; nothing, if their run lacked required fields."""
        filled = set() if first is None else first.filled
        for name, error in files.items():
            if not error.lacking or error.lacking & filled:
                yield Problem("changed", shown(name), f"cannot be loaded: {shown(str(error))}")
            else:
                self.not_compared.append(
                    f"{shown(name)}: without the fields that its run lacks it cannot be loaded"
                )

    def _counted(self, file: Reread) -> Iterator[Problem]:
        self._totals.include(file.totals)
        self._rows += file.totals.rows
        if file.header is None:
            return
        try:
            self._refound.append(refound(file, file.header, self._guard))
        except Exception as error:  # a stranger may have written it
            yield Problem("changed", shown(file.name), f"no rule can be applied: {shown(str(error))}")

    def _compared(self, first: Reread, file: Reread) -> Iterator[Problem]:
        columns = disagreements(first, file)
        if columns:
            detail = f"contradicts {shown(first.name)} in {', '.join(columns)}"
            yield Problem("changed", shown(file.name), detail)
        for column in untold(first, file):
            self.not_compared.append(f"{shown(file.name)}: the column {column} shows the reviewer of the run")

    def _wrong_findings(self) -> list[str]:
        """What does not follow from the files as they are."""
        with self._bag.open(FINDINGS) as file:
            seen = found(file, (run.run for run in self._refound))
        all_known = len(self._refound) == len(self._runs)
        untold = sorted({rule for run in self._refound for rule in run.untold})
        if untold:
            self.not_compared.append(f"{FINDINGS}: {', '.join(untold)}: not every file can tell")
        if not all_known:
            self.not_compared.append(f"{FINDINGS}: a run that no file here tells of")
        return list(differences(seen, self._refound, all_known))


def unguarded_files(package: bytes | None) -> frozenset[str]:
    """The files of which a data package says that they were written without the formula guard."""
    resources = msgspec.json.decode(package or b"{}", type=_Package).resources
    return frozenset(one.path for one in resources if one.guard is False)


class _Resource(msgspec.Struct):
    path: str
    guard: Any = msgspec.field(name=GUARD, default=None)


class _Package(msgspec.Struct):
    resources: list[_Resource] = []


def csv_rows(bag: BagFolder, name: str) -> int:
    """How many lines a CSV has below its header; line ends inside of quotes do not count.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    lines, quoted = 0, False
    with bag.open(name) as file:
        while chunk := file.read(_CHUNK_BYTES):
            for number, piece in enumerate(chunk.split(b'"')):
                quoted ^= number > 0
                lines += 0 if quoted else piece.count(b"\n")
    return lines - 1


def _turn(suffix: str) -> tuple[int, str]:
    return (_IN_TURN.index(suffix) if suffix in _IN_TURN else len(_IN_TURN)), suffix


def _by_run(names: Iterable[str]) -> list[dict[str, str]]:
    """For each run of a bag its files, by the suffix of their format."""
    runs: dict[str, dict[str, str]] = defaultdict(dict)
    for name in sorted(names):
        plain = name
        for packed in COMPRESSION_SUFFIXES.values():
            plain = plain.removesuffix(packed)
        base, _, suffix = plain.rpartition(".")
        runs[base][suffix] = name
    return list(runs.values())
