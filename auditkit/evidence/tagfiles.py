"""The files of a bag beside its payload: those that are written first, and those that need the log's head."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial

from auditkit.destination import Destination
from auditkit.errors import InvalidOptionError
from auditkit.evidence.bag import (
    AGENT,
    CONTROL_ROWS,
    DATE,
    DECLARATION,
    DECLARED,
    FINDINGS,
    INFO,
    INSTRUCTIONS,
    LOG_HEAD,
    MANIFEST,
    OXUM,
    PAYLOAD,
    PSEUDONYMISED,
    SIGNATURE,
    TAGMANIFEST,
    info_text,
    manifest_text,
)
from auditkit.evidence.bagfolder import LARGEST_TAG_FILE
from auditkit.evidence.contents import Contents
from auditkit.evidence.description import Described, description
from auditkit.evidence.instructions import instructions
from auditkit.folders import Mark, NewFolder
from auditkit.formats.base import Sink
from auditkit.naming import export_date
from auditkit.publish import Draft, Published, publish
from auditkit.sources.logged import PACKAGE

_CHANGED = f"pseudonymised, not anonymised; {PACKAGE} states what was changed"


class TagFiles:
    """Writes them into the folder of a bag that holds its payload already.

    Attributes
    ----------
    tagmanifest_sha256 : str
        Empty until it is written.
    signed_by : str or None
        The fingerprint of the key, once it has signed.
    """

    def __init__(
        self, folder: NewFolder, contents: Contents, to: Destination, key: str | os.PathLike[str] | None
    ):
        self._folder = folder
        self._contents = contents
        self._to = to
        self._key = key
        self._hashes: dict[str, str] = {}
        self.tagmanifest_sha256 = ""
        self.signed_by: str | None = None

    def write(self) -> Mark:
        """Write what can be written before the bag is in the log; the manifest, by which it is known."""
        contents = self._contents
        sealed = FINDINGS + self._to.suffix
        (findings,) = self._publish({sealed: contents.findings}, seal=True)
        changed = None if self._to.pseudonymizer is None else self._to.pseudonymizer.changed
        package = description(
            contents.files,
            (
                sealed,
                Described(bytes=findings.bytes, sha256=findings.sha256, rows=contents.finding_count),
            ),
            guard=contents.guard,
            encrypted=self._encrypted,
            changed=changed,
        )
        manifest = manifest_text({PAYLOAD + file.name: file.sha256 for file in contents.files})
        for name, data in ((MANIFEST, manifest), (PACKAGE, package)):
            _check_size(name, data)
        self._publish({DECLARATION: [DECLARED], MANIFEST: [manifest], PACKAGE: [package]})
        return Mark(bytes=len(manifest), sha256=self._hashes[MANIFEST])

    def finish(self, head: str | None) -> None:
        """Write what depends on the head of the log: bag-info, page, tag manifest, signature."""
        page = instructions(
            runs=len(self._contents.run_ids),
            files=len(self._hashes) + 4 + (self._key is not None),
            signed=self._key is not None,
            encrypted=self._encrypted,
            logged=head is not None,
            pseudonymised=self._to.pseudonymizer is not None,
        )
        self._publish({INFO: [self._info(head)], INSTRUCTIONS: [page]})
        tagmanifest = manifest_text(self._hashes)
        last = {TAGMANIFEST: [tagmanifest]}
        if self._key is not None:
            last[SIGNATURE] = [self._signed(tagmanifest)]
        self._publish(last)
        self.tagmanifest_sha256 = self._hashes[TAGMANIFEST]

    @property
    def _encrypted(self) -> bool:
        return bool(self._to.recipients)

    def _info(self, head: str | None) -> bytes:
        from auditkit import __version__

        files, totals = self._contents.files, self._contents.totals
        tags = [
            (AGENT, f"auditkit {__version__}"),
            (DATE, export_date()),
            (OXUM, f"{sum(file.bytes for file in files)}.{len(files)}"),
            (CONTROL_ROWS, str(totals.rows)),
        ]
        tags += [] if self._encrypted else totals.sums().items()
        tags += [] if self._to.pseudonymizer is None else [(PSEUDONYMISED, _CHANGED)]
        tags += [] if head is None else [(LOG_HEAD, head)]
        return info_text(tags)

    def _signed(self, message: bytes) -> bytes:
        from auditkit.protect import signatures

        assert self._key is not None
        signature = signatures.sign(message, self._key)
        self.signed_by = signatures.check(message, signature, None).fingerprint
        return signature

    def _publish(self, files: Mapping[str, list[bytes]], *, seal: bool = False) -> list[Published]:
        """Write and sync some files as a group."""
        drafts = [self._draft(name, chunks, seal) for name, chunks in files.items()]
        written = []
        for draft, outcome in zip(drafts, publish(drafts, if_exists="error"), strict=True):
            if not isinstance(outcome, Published):
                raise outcome
            self._hashes[draft.name] = outcome.sha256
            written.append(outcome)
        return written

    def _draft(self, name: str, chunks: list[bytes], seal: bool) -> Draft:
        return Draft(
            folder=self._folder.path,
            name=name,
            write=partial(_write, chunks),
            seal=self._to.seal if seal else None,
            mode=self._to.mode,
        )


def check_key(key: str | os.PathLike[str]) -> None:
    """Nothing, if the key can sign.

    Raises
    ------
    InvalidKeyError, MissingExtraError, OSError
        If it cannot.
    """
    from auditkit.protect import signatures

    signatures.sign(b"", key)


def _check_size(name: str, data: bytes) -> None:
    if len(data) > LARGEST_TAG_FILE:
        raise InvalidOptionError(
            f"{name} would be larger than {LARGEST_TAG_FILE >> 20} MiB, and nobody would read it: too many "
            "runs for one bag. Put them into several."
        )


def _write(chunks: list[bytes], sink: Sink) -> None:
    for chunk in chunks:
        sink.write(chunk)
