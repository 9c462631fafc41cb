"""export_evidence: runs as a bag that anybody can check, and the receipt for it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditkit.destination import Destination, open_destination
from auditkit.errors import InvalidOptionError
from auditkit.evidence.bag import PAYLOAD
from auditkit.evidence.contents import Contents, options_by_format
from auditkit.evidence.gathering import filled
from auditkit.evidence.tagfiles import TagFiles, check_key
from auditkit.folders import new_folder, refuse_existing
from auditkit.formats.base import Compression, WriteOptions
from auditkit.leftovers import is_temporary
from auditkit.publish import NoLog, PublishLog
from auditkit.run import AuditRun
from auditkit.sources import open_source
from auditkit.sources.base import opened_each
from auditkit.store import local_place

if TYPE_CHECKING:
    from auditkit.destination import EncryptTo
    from auditkit.protect.pseudonyms import Pseudonymizer


@dataclass(frozen=True, kw_only=True)
class BagReceipt(os.PathLike[str]):
    """An evidence bag that was made: the path of its folder, and the facts about it.

    Attributes
    ----------
    path : Path
    run_ids : tuple of str
        As they stand in the bag: with pseudonyms, if there are any.
    formats : tuple of str
    files : tuple of str
        The names in `data/`.
    rows : int
        How many results the runs have, each run counted once.
    bytes : int
        The size of the payload: of all files in `data/`.
    sha256 : str
        Of `manifest-sha256.txt`, which holds the SHA-256 of every file in `data/`.
    tagmanifest_sha256 : str
        Of `tagmanifest-sha256.txt`, which holds that of every other file: who knows it can check the bag.
    log_head : str or None
        The head of the export log after this export: an anchor for `verify_exports`.
    signed_by : str or None
        The fingerprint of the key that signed: `SHA256:…`.
    seconds : float
        How long it took.
    """

    path: Path
    run_ids: tuple[str, ...]
    formats: tuple[str, ...]
    files: tuple[str, ...]
    rows: int
    bytes: int
    sha256: str
    tagmanifest_sha256: str = field(repr=False, compare=False)
    log_head: str | None = field(default=None, repr=False, compare=False)
    signed_by: str | None = None
    seconds: float = field(repr=False, compare=False)

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def _repr_html_(self) -> str:
        from auditkit.html import bag_html

        return bag_html(self)


def export_evidence(
    run_ids: Iterable[str] | str,
    path: str | os.PathLike[str],
    formats: Iterable[str] | str = ("csv", "json"),
    *,
    source: Any = None,
    include_metadata: bool = True,
    flatten_results: bool = False,
    formula_guard: bool = True,
    excel: bool = False,
    compression: Compression | None = None,
    encrypt_to: EncryptTo | None = None,
    pseudonymizer: Pseudonymizer | None = None,
    sign: str | os.PathLike[str] | None = None,
    log: str | os.PathLike[str] | PublishLog | None = None,
    group_readable: bool = False,
) -> BagReceipt:
    """Export runs as an evidence bag: a folder that anybody can check, without Python too.

    It is a BagIt bag (RFC 8493): `data/` with every run in every format, manifests with the SHA-256 of
    every file, `bag-info.txt` with control totals and the head of the export log, `datapackage.json` with
    the columns of every table, `findings.csv` with every place where a run, as it is written there,
    contradicts itself, and `VERIFY.txt`, a page that tells which commands check all of it. It appears
    whole or not at all, and never replaces anything.

    Parameters
    ----------
    run_ids : iterable of str, or str
        Runs of the source, each once. Each is held in memory while it is written, as its findings need it.
    path : path
        The folder to be made; nothing may stand there.
    formats : iterable of str, or str
        As for `export_audit_run`. Each takes those of the options below that mean something to it; an
        option that means nothing to any of them is refused.
    encrypt_to : str, path, or several, optional
        Encrypts every file in `data/`, and the findings. In the clear stay names, sizes, hashes and the
        number of results; sums of scores and the columns of tables are left out.
    pseudonymizer : Pseudonymizer, optional
        Writes pseudonyms for the ids of users, submissions and reviewers, those of all runs of the bag
        together; `datapackage.json` states what was changed.
    sign : path, optional
        An Ed25519 key, as `auditkit keygen` makes it: signs `tagmanifest-sha256.txt`, and so all of the bag.
    log : path or PublishLog, optional
        The export log; left out: `export-log.jsonl` beside the bag.

    The other parameters are those of `export_audit_run`.

    Returns
    -------
    BagReceipt
        Path, files, rows and hashes of the bag.

    Raises
    ------
    ExportExistsError
        If anything stands at `path`.
    BatchError
        If several runs could not be exported; of one, its own error is raised. No bag is made then.
    InvalidOptionError, UnknownFormatError, NoSourceError, InvalidKeyError, OSError
        In each case nothing is left behind.

    Examples
    --------
    >>> import auditkit as ak
    >>> bag = ak.export_evidence(["run-001", "run-003"], folder / "case-17", source="sample_data/runs")
    >>> bag.rows, len(bag.files)
    (32, 4)
    >>> ak.verify_bag(bag).rows
    32
    """
    options = WriteOptions(
        include_metadata=include_metadata,
        flatten_results=flatten_results,
        formula_guard=formula_guard,
        excel=excel,
        compression=compression,
    )
    ids, names = _listed(run_ids), _listed(formats)
    _check_ids(ids)
    by_format = options_by_format(names, options)
    place = local_place(path, "an evidence bag")
    _check_name(place)
    refuse_existing(place)
    to = open_destination(
        place.parent,
        encrypt_to=encrypt_to,
        pseudonymizer=pseudonymizer,
        log=log,
        group_readable=group_readable,
    )
    if sign is not None:
        check_key(sign)
    origin = open_source(source)
    runs = opened_each(ids, origin)
    to = to.of([run for run in runs if isinstance(run, AuditRun)], origin.location)
    with new_folder(place, to.mode) as folder:
        inside = replace(to, folder=folder.subfolder(PAYLOAD), if_exists="error", log=NoLog())
        contents = filled(Contents(by_format, inside), ids, runs, folder.seen)
        tags = TagFiles(folder, contents, inside, sign)
        about = partial(_about, contents, tags, options.changed() | {"formats": names}, inside)
        published = folder.publish(to.log, tags.write(), about, tags.finish)
    return BagReceipt(
        path=place,
        run_ids=tuple(contents.run_ids),
        formats=tuple(names),
        files=tuple(sorted(file.name for file in contents.files)),
        rows=contents.totals.rows,
        bytes=sum(file.bytes for file in contents.files),
        sha256=published.sha256,
        tagmanifest_sha256=tags.tagmanifest_sha256,
        log_head=published.log_head,
        signed_by=tags.signed_by,
        seconds=time.perf_counter() - folder.started,
    )


def _listed(names: Iterable[str] | str) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _check_ids(ids: Sequence[str]) -> None:
    if not ids:
        raise InvalidOptionError("run_ids names no run. Give at least one.")
    texts = [run_id for run_id in ids if isinstance(run_id, str)]
    if len(set(texts)) < len(texts):
        raise InvalidOptionError("A run id stands twice in run_ids. Name each run once.")


def _check_name(place: Path) -> None:
    if is_temporary(place.name):
        raise InvalidOptionError(
            f"{place.name!r} is a name that killed exports leave behind, and would be swept away as such. "
            "Give the bag another name."
        )


def _about(contents: Contents, tags: TagFiles, options: dict[str, Any], to: Destination) -> dict[str, Any]:
    """What is known of the bag, for the log, which asks before and after the bag is whole."""
    about = {
        "format": "bag",
        "run_ids": contents.run_ids,
        "rows": f"{contents.totals.rows} of {contents.totals.rows}",
        "options": options | to.changed(),
        "source": to.source,
        "tagmanifest_sha256": tags.tagmanifest_sha256,
        "signed_by": tags.signed_by,
    }
    return {name: value for name, value in about.items() if value}
