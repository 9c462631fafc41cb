"""What every source has to keep, whatever its runs stand in: they come out as they stand in the JSON.

A source is registered in MAKERS: from a folder of run files, and a folder of its own, it makes the source.
"""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from buckets import bucket_of, s3_server_fixture  # noqa: F401 - a fixture
from children import python, succeed
from records import OTHERS, Record, a_result, a_run, dumped, exported, found, meaning, saved, without, written
from servers import mariadb, new_database, postgres  # noqa: F401 - fixtures
from strategies import DOUBLES, FRAGMENTS, LOOKALIKES

import auditkit as ak
from auditkit.errors import RunNotFoundError
from auditkit.run import AuditRun
from auditkit.scan import Scan, count_results, scan
from auditkit.sources.sql.loading import init_database, load_into_database

SAMPLES = sorted(Path("sample_data/runs").glob("*.json"))


@dataclasses.dataclass(frozen=True)
class Maker:
    """How a source is made of a folder of run files.

    `nul`: whether it holds NUL characters in texts; `far`: whether every look costs it a request.
    """

    make: Callable[[Path, Path, pytest.FixtureRequest], Any]
    nul: bool = True
    far: bool = False
    secret: bool = False


def _files(runs: Path, folder: Path, request: pytest.FixtureRequest) -> Any:
    return runs


def _in_database(url: str, runs: Path) -> str:
    init_database(url)
    report = load_into_database(runs, url)
    assert not report.failed
    return url


def _sqlite(runs: Path, folder: Path, request: pytest.FixtureRequest) -> Any:
    return _in_database(f"sqlite:///{folder}/audit.sqlite", runs)


def _duckdb(runs: Path, folder: Path, request: pytest.FixtureRequest) -> Any:
    return _in_database(f"duckdb:///{folder}/audit.duckdb", runs)


def _postgres(runs: Path, folder: Path, request: pytest.FixtureRequest) -> Any:
    assert find_spec("adbc_driver_postgresql")
    return _in_database(new_database(request.getfixturevalue("postgres")), runs)


def _postgres_by_rows(runs: Path, folder: Path, request: pytest.FixtureRequest) -> Any:
    """An option that is not left to ADBC."""
    url = new_database(request.getfixturevalue("postgres")) + "?gssencmode=disable"
    return _in_database(url, runs)


def _mariadb(runs: Path, folder: Path, request: pytest.FixtureRequest) -> Any:
    return _in_database(new_database(request.getfixturevalue("mariadb")), runs)


def _s3(runs: Path, folder: Path, request: pytest.FixtureRequest) -> Any:
    return bucket_of(runs, request)


def _dataset(runs: Path, folder: Path, request: pytest.FixtureRequest) -> Any:
    """Each run in a file of its own, in an order that no name tells."""
    (folder / "audits").mkdir()
    for at, run in enumerate(ak.open_source(runs).load()):
        assert isinstance(run, AuditRun)
        saved(folder / "audits" / f"{at:03}.parquet", written(run, "parquet"))
    return f"parquet:{folder / 'audits'}"


MAKERS: dict[str, Any] = {
    "files": Maker(_files),
    "s3": Maker(_s3, far=True),
    "parquet": Maker(_dataset),
    "sqlite": Maker(_sqlite),
    "duckdb": Maker(_duckdb),
    "postgresql-adbc": Maker(_postgres, nul=False, secret=True),
    "postgresql-rows": Maker(_postgres_by_rows, nul=False, secret=True),
}
"""By name. Others add theirs here, with marks as `pytest.param` gives them where they need any."""


def nasty_runs() -> list[Record]:
    """Runs as nasty as the table of fields allows."""
    texts = [*FRAGMENTS, *LOOKALIKES, "trailing ", " leading", "x" * 70_000, "a\n\\.\nb", "\\N", "it''s"]
    rows = [
        a_result(number, id=text, submissionId=f"{text} ", userId=text, notes=text, taskTitle=text)
        for number, text in enumerate(texts)
    ]
    scores = [a_result(n, userScore=x, aiScore=-x, deviation=abs(x)) for n, x in enumerate(DOUBLES)]
    stamps = ("2024-01-15T10:15:00+05:30", "2024-02-29T23:59:59.123456789Z", "2024-01-15T10:15:00.500-08:00")
    timed = [a_result(n, timestamp=stamp) for n, stamp in enumerate(stamps)]
    bare = [without(a_result(n), "actionTaken", "reviewer", "notes") for n in range(3)]
    more = [a_result(1, weight=1e21, nested={"a": [1, None, "é\u2028"]}, big=12345678901234567890)]
    return [
        a_run(rows, id="007", reviewer="", taskTitle="a 'quoted' \\ title %s %% :x ?"),
        a_run(scores, id="1e5", averageDeviation=1e-320, totalSubmissions=2**62),
        a_run(timed, id="NA", startedAt=stamps[1], completedAt=stamps[0]),
        a_run(bare + more + bare, id=" x ", appendix={"n": [1, 2.5, "x"]}, note="\u00a0"),
        without(a_run(0, id="null"), "completedAt", "averageDeviation"),
        a_run(2, id="Null"),
        a_run(2, id="é'; DROP TABLE audit_runs; --"),
        a_run(2, id="e\u0301"),
        a_run(2, id=" x"),
        a_run(1, id="x" * 1024),
        a_run(8300, id="long"),
    ]


@dataclasses.dataclass(frozen=True)
class Kept:
    """A source, the documents it was made of, and the folder of files that hold them."""

    source: Any
    maker: Maker
    documents: list[Record]
    folder: Path

    @property
    def ids(self) -> list[str]:
        return [document["id"] for document in self.documents]


@pytest.fixture(scope="module", params=[*MAKERS, pytest.param("mariadb", marks=pytest.mark.mariadb)])
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    import json

    maker = MAKERS.get(request.param) or Maker(_mariadb, secret=True)
    documents = [json.loads(path.read_bytes()) for path in SAMPLES] + nasty_runs()
    runs = tmp_path_factory.mktemp("runs")
    for number, document in enumerate(documents):
        text = dumped(document)
        if not maker.nul:
            text = text.replace(b"\\u0000", b"\\u2400")
            documents[number] = json.loads(text)
        saved(runs / f"{number:03}.json", text)
    location = maker.make(runs, tmp_path_factory.mktemp("own"), request)
    return Kept(ak.open_source(location), maker, documents, runs)


def runs_of(kept: Kept) -> list[AuditRun]:
    opened = kept.source.open()
    assert all(isinstance(run, AuditRun) for run in opened), opened
    return list(opened)


class TestContract:
    def test_it_lists_the_same_ids_in_the_same_order(self, kept: Kept) -> None:
        assert ak.list_available_runs(source=kept.source) == kept.ids

    def test_it_lists_the_headers_as_the_json_has_them(self, kept: Kept) -> None:
        headers = kept.source.listing().headers
        listed = [found(AuditRun(**vars(header), batches=lambda: iter(()))) for header in headers]
        assert listed == [{**meaning(document), "results": []} for document in kept.documents]

    def test_each_run_holds_what_the_json_holds(self, kept: Kept) -> None:
        for run, document in zip(runs_of(kept), kept.documents, strict=True):
            assert found(run) == meaning(document)

    def test_loaded_runs_are_the_opened_ones(self, kept: Kept) -> None:
        wanted = kept.ids[::-2]
        for run, run_id in zip(kept.source.load(wanted), wanted, strict=True):
            assert run.in_memory
            assert found(run) == meaning(kept.documents[kept.ids.index(run_id)])

    def test_it_counts_the_results(self, kept: Kept) -> None:
        assert [count_results(run) for run in runs_of(kept)] == [len(d["results"]) for d in kept.documents]

    def test_an_unknown_id_is_named_with_the_nearest_beside_those_that_are_there(self, kept: Kept) -> None:
        there, lost, odd = kept.source.open(["run-003", "lon", "a\0b"])
        assert there.id == "run-003"
        assert isinstance(lost, RunNotFoundError)
        assert "'long'" in str(lost)
        assert isinstance(odd, RunNotFoundError)

    @pytest.mark.parametrize("format", ["csv", "json"])
    def test_exports_have_the_bytes_of_those_from_the_json(
        self, kept: Kept, format: str, tmp_path: Path
    ) -> None:
        for name, source in (("own", kept.source), ("json", kept.folder)):
            ak.export_multiple_runs(kept.ids, format, source=source, output_dir=tmp_path / name)
        own = exported(tmp_path / "own")
        assert len(own) == len(kept.ids)
        assert own == exported(tmp_path / "json")

    def test_a_scan_gives_what_the_filter_gives_on_all_results(self, kept: Kept) -> None:
        smaller = 0
        ids = ["run-004", "007", "1e5", "NA", " x ", "long"]
        opened = zip(kept.source.open(ids), ak.open_source(kept.folder).open(ids), strict=True)
        for run, plain in opened:
            assert isinstance(plain, AuditRun)
            for wanted in scans()[:: 9 if kept.maker.far else 1 if run.id == "007" else 4]:
                got = all_of(run, wanted)
                assert got == reference(plain, wanted, kept.maker.nul), (run.id, wanted)
                smaller += 0 < len(got[0]) < count_results(run)
        assert smaller > (3 if kept.maker.far else 12)

    def test_source_and_runs_can_be_sent_to_another_process(self, kept: Kept, tmp_path: Path) -> None:
        runs = kept.source.open(["run-001", "long"])
        saved(tmp_path / "sent", pickle.dumps((kept.source, runs)))
        script = (
            "import pickle; source, runs = pickle.load(open('sent', 'rb')); "
            "print([sum(map(len, run.batches())) for run in runs], len(source.listing().headers))"
        )
        assert succeed(python("-c", script, cwd=tmp_path)).strip() == f"[8, 8300] {len(kept.ids)}"

    def test_no_password_is_shown(self, kept: Kept) -> None:
        if not kept.maker.secret:
            assert "***" not in kept.source.location
            return
        password = kept.source.address.parsed.password
        (lost,) = kept.source.open(["nowhere"])
        run = runs_of(kept)[0]
        for shown in (kept.source.location, repr(kept.source), repr(run), repr(run.batches), str(lost)):
            assert password not in shown


_references: dict[Any, Any] = {}


def reference(run: AuditRun, wanted: Scan, nul: bool) -> Any:
    """What a scan gives that reads all of a run, once for all sources."""
    key = (run.id, wanted, nul)
    if key not in _references:
        _references[key] = all_of(dataclasses.replace(run, batches=partial(_all, run)), wanted)
    return _references[key]


def _all(run: AuditRun) -> Any:
    """The batches alone, so that nothing knows how to read a part of them."""
    return run.batches()


@cache
def scans() -> list[Scan]:
    """Parts that are asked for, by every kind of condition."""
    filters = [
        {},
        {"deviation": (5, None)},
        {"user_score": (None, 0.1 + 0.2)},
        {"user_score": (5e-324, 1e300)},
        {"difference": (7, 7)},
        {"action_taken": [None]},
        {"action_taken": ["allow", None], "deviation_type": ["minor", "none"]},
        {"notes": ("trailing ", "a\n\\.\nb", "it''s", "\\", "'", "é")},
        {"notes": (None, "")},
        {"notes": "ESS"},
        {"reviewer": ()},
        {"position": (1, 2.5)},
        {"run_id": ("1e5", " x ")},
        {"timestamp": ("2024-01-15T04:45:00Z", "2024-01-15")},
    ]
    columns: list[tuple[str, ...] | None] = [None, ("notes",), ("user_score", "timestamp"), ()]
    parts = [{}, {"start": 1}, {"start": 2, "stop": 5}, {"stop": 0}]
    made = []
    for number, asked in enumerate(filters):
        part: Any = parts[number % len(parts)]
        made.append(Scan(filter=ak.Filter(**asked), columns=columns[number % len(columns)]))
        made.append(Scan(filter=ak.Filter(**asked), columns=columns[(number + 1) % len(columns)], **part))
    return [*made, Scan(start=3), Scan(start=8_190, stop=8_200, columns=("result_id",)), Scan(columns=())]


def all_of(run: AuditRun, wanted: Scan) -> tuple[list[int], list[str], list[Any]]:
    """Positions, column names and values of what a scan gives."""
    parts = list(scan(run, wanted))
    positions = [int(position) for part in parts for position in part.positions]
    if not parts:
        return [], [], []
    table = pa.Table.from_batches([part.batch for part in parts])
    return positions, table.schema.names, [column.combine_chunks() for column in table.columns]


def test_the_nasty_runs_are_nasty() -> None:
    nasty = {document["id"]: meaning(document) for document in nasty_runs()}
    assert OTHERS in nasty[" x "]
    assert any("\0" in row["notes"] for row in nasty["007"]["results"])
