"""Everything in a bag that disagrees: its files, manifests, bag-info, description, signature, log entry."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from auditkit.destination import SEALED_SUFFIX
from auditkit.errors import Problem, VerificationError
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
    SIGNATURE,
    TAGMANIFEST,
    read_info,
    read_manifest,
    shown,
)
from auditkit.evidence.bagfolder import BagFolder
from auditkit.evidence.description import Described, read_description
from auditkit.evidence.onceread import Judged, OnceRead
from auditkit.evidence.recount import Recount, unguarded_files
from auditkit.sources.logged import PACKAGE

if TYPE_CHECKING:
    from auditkit.protect.signatures import Signer

_WHOLE = (DECLARATION, INFO, MANIFEST, TAGMANIFEST, PACKAGE, SIGNATURE)
_ARMOR = re.compile(
    rb"-----BEGIN SSH SIGNATURE-----\n(?:[A-Za-z0-9+/]{70}\n)*[A-Za-z0-9+/]{1,70}={0,2}\n"
    rb"-----END SSH SIGNATURE-----\n"
)
_TAGS = {
    AGENT: ".+",
    DATE: "[0-9]{4}-[0-9]{2}-[0-9]{2}",
    CONTROL_ROWS: "[0-9]{1,18}",
    LOG_HEAD: "(?:[0-9a-f]{64})?",
}


class Examination:
    """One look at an opened bag.

    Attributes
    ----------
    payload : dict of str to int
        The files below `data/`, as they were found, with their sizes.
    info : dict of str to str
        What bag-info says.
    encrypted : bool
    recounted : bool
        Whether the control totals were added up again.
    not_compared : list of str
        What nothing in the bag could be compared with, in words.
    signer : Signer or None
    """

    def __init__(self, bag: BagFolder, allowed_signers: Any):
        self._bag = bag
        self._files = OnceRead(bag, _WHOLE)
        self._allowed_signers = allowed_signers
        self.payload = {name: size for name, size in bag.sizes.items() if name.startswith(PAYLOAD)}
        self.info: dict[str, str] = {}
        self.encrypted = FINDINGS + SEALED_SUFFIX in bag.sizes
        self.recounted = False
        self.not_compared: list[str] = []
        self._named: set[str] = set()  # what a manifest and the folder disagree about
        self.signer: Signer | None = None
        self._findings = FINDINGS + SEALED_SUFFIX if self.encrypted else FINDINGS

    def problems(self, record: Mapping[str, Any] | None) -> Iterator[Problem]:
        """Everything that is wrong, as it is found; `record` is the log's entry of the bag."""
        yield from self._of_folder()
        yield from self._of_declaration()
        sound = yield from self._of_payload()
        yield from self._of_tag_files()
        yield from self._of_info()
        described = yield from self._files.parsed(PACKAGE, read_description)
        if described is not None:
            yield from self._of_description(described)
            if sound and not self.encrypted:
                yield from self._of_totals(described)
        yield from self._of_signature()
        yield from self._of_record(record or {})

    def sha256(self, name: str) -> str | None:
        """The SHA-256 of a file."""
        return self._files.sha256(name)

    def _of_folder(self) -> Iterator[Problem]:
        """What has no business in a bag, whatever its manifests say."""
        for name, what in sorted(self._bag.strangers.items()):
            yield Problem("unexpected", shown(name), f"is {what}")
        if self._bag.data is None:
            yield Problem("missing", PAYLOAD, "there is no such folder")
        folded: dict[str, str] = {}
        for name in sorted(self._bag.sizes):
            other = folded.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
            if other != name:
                yield Problem("unexpected", shown(name), f"differs from {shown(other)} in case only")

    def _of_declaration(self) -> Iterator[Problem]:
        data = yield from self._files.parsed(DECLARATION, bytes)
        if data is not None and data != DECLARED:
            yield Problem("changed", DECLARATION, "does not say that this is a bag of version 1.0 in UTF-8")

    def _of_payload(self) -> Judged[bool]:
        """Whether the payload is what the manifest says, all of it and nothing else."""
        listed = yield from self._files.parsed(MANIFEST, read_manifest)
        yield from self._compared(MANIFEST, listed or {}, set(self.payload))
        return not self._named

    def _of_tag_files(self) -> Iterator[Problem]:
        present = self._bag.sizes.keys() - self.payload.keys() - {TAGMANIFEST, SIGNATURE}
        needed = {DECLARATION, INFO, MANIFEST, PACKAGE, INSTRUCTIONS, self._findings}
        listed = yield from self._files.parsed(TAGMANIFEST, read_manifest)
        if listed is None:
            return
        yield from self._compared(TAGMANIFEST, listed, present)
        for name in sorted(needed - listed.keys() - present):
            yield Problem("missing", name, "every evidence bag has one")
        for name in sorted((present & listed.keys()) - needed):
            yield Problem("unexpected", shown(name), "is no part of an evidence bag")

    def _compared(self, manifest: str, listed: Mapping[str, str], present: set[str]) -> Iterator[Problem]:
        """Manifest and folder, in both directions. What a manifest names is looked up, never opened."""
        for name in sorted(present | listed.keys()):
            expected, own = listed.get(name), self.sha256(name) if name in present else None
            if expected is not None and own == expected:
                continue
            self._named.add(name)
            if expected is None:
                yield Problem("unexpected", shown(name), f"is not in {manifest}")
            elif name not in present:
                yield Problem("missing", shown(name), f"is in {manifest}, and not in the bag")
            elif own is None:
                yield Problem("changed", shown(name), "cannot be read")
            else:
                yield Problem("changed", shown(name), f"has the SHA-256 {own[:16]}…, not {expected[:16]}…")

    def _of_info(self) -> Iterator[Problem]:
        info = yield from self._files.parsed(INFO, read_info)
        if info is None:
            return
        self.info = info
        for label, pattern in _TAGS.items():
            if not re.fullmatch(pattern, info.get(label, "")):
                yield Problem("changed", INFO, f"says {_said(info, label)} for {label}")
        oxum = f"{sum(self.payload.values())}.{len(self.payload)}"
        if info.get(OXUM) != oxum:
            yield Problem("changed", INFO, f"says {_said(info, OXUM)} for {OXUM}, not {oxum}")

    def _of_description(self, described: Mapping[str, Described]) -> Iterator[Problem]:
        """What it says that is not so, but for files of which the manifests said so already."""
        expected = {*self.payload, self._findings}
        for name in sorted((expected | described.keys()) - self._named):
            said = described.get(name)
            if said is None:
                yield Problem("changed", PACKAGE, f"does not describe {shown(name)}")
            elif name not in expected:
                yield Problem("changed", PACKAGE, f"describes {shown(name)}, which is no part of the bag")
            elif said.bytes != self._bag.sizes.get(name) or said.sha256 != self.sha256(name):
                yield Problem("changed", PACKAGE, f"gives another size or hash for {shown(name)}")

    def _of_totals(self, described: Mapping[str, Described]) -> Iterator[Problem]:
        rows = {name: said.rows for name, said in described.items()}
        recount = Recount(self._bag, self.payload, rows, unguarded_files(self._files.data(PACKAGE)))
        yield from recount.problems(self.info)
        if FINDINGS not in self._named:
            yield from recount.of_findings(self.info)
        self.recounted, self.not_compared = recount.whole, recount.not_compared

    def _of_signature(self) -> Iterator[Problem]:
        if SIGNATURE not in self._bag.sizes:
            if self._allowed_signers is not None:
                yield Problem("signature", SIGNATURE, "there is none: nobody vouches for this bag")
            return
        signature = yield from self._files.parsed(SIGNATURE, _armored)
        message = self._files.data(TAGMANIFEST)
        if signature is None or message is None:
            return
        from auditkit.protect import signatures

        try:
            self.signer = signatures.check(message, signature, self._allowed_signers, name=SIGNATURE)
        except VerificationError as error:
            yield from error.problems

    def _of_record(self, record: Mapping[str, Any]) -> Iterator[Problem]:
        for name, key in ((MANIFEST, "sha256"), (TAGMANIFEST, "tagmanifest_sha256")):
            if key in record and self.sha256(name) not in (None, record[key]):
                yield Problem("changed", name, "is another one than its export left")
        data = self._files.data(MANIFEST)
        if data is not None and record.get("bytes", len(data)) != len(data):
            yield Problem("changed", MANIFEST, "has another size than its export left")


def _armored(data: bytes) -> bytes:
    """A signature as ssh-keygen writes it; any other spelling is refused, so that no byte may change."""
    if not _ARMOR.fullmatch(data):
        raise ValueError("it is no signature as ssh-keygen writes it")
    return data


def _said(info: Mapping[str, str], label: str) -> str:
    return repr(shown(info[label])) if label in info else "nothing"
