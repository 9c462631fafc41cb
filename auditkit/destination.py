"""Where exports go and under which cover: folder, log, permissions, encryption, pseudonyms, checksums."""

from __future__ import annotations

import errno
import os
import stat
import warnings
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditkit.beside import checksum_line, checksum_of, checksum_path, stands
from auditkit.disk import OWNER_AND_GROUP, OWNER_ONLY
from auditkit.errors import AuditkitError, ExportExistsError, InvalidOptionError, VerificationError
from auditkit.exportlog import ExportLog
from auditkit.exportlog.logfile import LOG_NAME
from auditkit.exportlog.reading import default_log, local_log, log_path
from auditkit.filters import Filter
from auditkit.formats.base import Sink
from auditkit.holds import held_by, whole_lines
from auditkit.publish import Draft, IfExists, Published, PublishLog, publish
from auditkit.receipts import ExportReceipt
from auditkit.run import AuditRun
from auditkit.sources.base import is_database
from auditkit.store import Location, location_of
from auditkit.store.upload import require_writable

if TYPE_CHECKING:
    from auditkit.protect.pseudonyms import Pseudonymizer, Pseudonyms
    from auditkit.writer import Seal

EncryptTo = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
SEALED_SUFFIX = ".age"


@dataclass(frozen=True, kw_only=True)
class Destination:
    """The folder of some exports, and what is done to every file on its way there."""

    folder: Location
    if_exists: IfExists
    log: PublishLog
    mode: int
    checksum: bool
    recipients: tuple[str, ...]
    pseudonymizer: Pseudonymizer | None
    holding: ExportLog | None = None
    """The log whose holds count, where `log` is none in a file, or is more than that."""
    pseudonyms: Pseudonyms | None = None
    source_location: str | None = None

    def of(self, runs: Iterable[AuditRun], source: str | None) -> Destination:
        """The same for runs of a source; with pseudonyms, their ids are learnt."""
        known = None if self.pseudonymizer is None else self.pseudonymizer.learn(runs, on_error="skip")
        return replace(self, source_location=source, pseudonyms=known)

    @property
    def suffix(self) -> str:
        """What encryption adds to a name."""
        return SEALED_SUFFIX if self.recipients else ""

    @property
    def seal(self) -> Seal | None:
        """What makes the encrypted form of a file."""
        if not self.recipients:
            return None
        from auditkit.protect.encryption import Sealer

        return partial(Sealer, recipients=self.recipients)

    def disguised(self, run: AuditRun) -> AuditRun:
        """A run as it is written: with pseudonyms, if there are any."""
        return run if self.pseudonyms is None else self.pseudonyms.applied(run)

    def disguised_text(self, text: str) -> str:
        """A text as it may be seen."""
        return text if self.pseudonyms is None else self.pseudonyms.text(text)

    def disguised_filter(self, filter: Filter) -> Filter | str:
        """A filter as it may be seen: with pseudonyms its fields alone, for its values may be ids."""
        return filter if self.pseudonyms is None else f"Filter of {', '.join(sorted(filter.to_dict()))}"

    @property
    def source(self) -> str | None:
        """Where the runs come from, as it may be seen."""
        return None if self.source_location is None else self.disguised_text(self.source_location)

    def changed(self) -> dict[str, Any]:
        """What is done to the files, for the receipt and the log."""
        done: dict[str, Any] = {"encrypt_to": list(self.recipients)} if self.recipients else {}
        return done if self.pseudonymizer is None else done | {"pseudonymizer": self.pseudonymizer.changed}

    def refusal(self, name: str) -> Exception | None:
        """Why a file of that name is not to be replaced: it is held, or that cannot be told; else None."""
        if self.if_exists != "replace" or self.holding is None:
            return None
        try:
            return self._refusal(name)
        except OSError as error:  # a store that does not answer
            return error

    def _refusal(self, name: str) -> AuditkitError | None:
        if self.holding is None:
            return None
        path = self.folder / name
        for place in (path, checksum_path(path)):
            if not stands(place):
                continue
            if isinstance(self._held, VerificationError):
                return self._held
            if self.holding.located(place) in self._held:
                why = "It is held, and was not replaced (release it first, or leave out if_exists='replace')"
                return ExportExistsError(errno.EEXIST, why, str(place))
        return None

    @cached_property
    def _held(self) -> Collection[str] | VerificationError:
        """What the log holds, read once: a batch would read it again and again, ever longer."""
        if self.holding is None:
            return ()
        try:
            return held_by(self.holding.path, whole_lines(self.holding.path), "the file was not replaced")
        except VerificationError as error:
            return error

    def with_checksums(self, outcomes: Sequence[Any]) -> list[Any]:
        """The outcomes, once the files among them have their `.sha256` beside them.

        A file has one if that is wanted, or if it took the place of another one that had.
        """
        result, drafts = list(outcomes), {}
        for index, outcome in enumerate(outcomes):
            if not isinstance(outcome, ExportReceipt):
                continue
            try:
                if self._wants_checksum(outcome):
                    drafts[index] = self._checksum_draft(outcome)
            except OSError as error:  # it stands in the place, or a store does not answer
                result[index] = error
        published = publish(list(drafts.values()), if_exists="replace", log=self.log)
        for index, written in zip(drafts, published, strict=True):
            result[index] = _followed(result[index], written)
        return result

    def _wants_checksum(self, receipt: ExportReceipt) -> bool:
        replaced = self.if_exists == "replace" and not receipt.reused
        return self.checksum or (replaced and checksum_of(receipt.path) is not None)

    def _checksum_draft(self, receipt: ExportReceipt) -> Draft:
        if stands(checksum_path(receipt.path)) and checksum_of(receipt.path) is None:
            raise _no_checksum(receipt.path)
        line = checksum_line(receipt.sha256, receipt.path.name)

        def write(sink: Sink) -> None:
            sink.write(line)

        return Draft(
            folder=self.folder,
            name=checksum_path(receipt.path).name,
            write=write,
            mode=self.mode,
            about=lambda: {"format": "sha256"},
        )


def open_destination(
    output_dir: str | os.PathLike[str],
    *,
    if_exists: IfExists = "version",
    encrypt_to: EncryptTo | None = None,
    pseudonymizer: Pseudonymizer | None = None,
    checksum: bool = False,
    log: Any = None,
    group_readable: bool = False,
) -> Destination:
    """The destination that an exporting function is told of by its options.

    Raises
    ------
    InvalidOptionError
        If one of them makes no sense; nothing has been read or written by then.
    """
    folder = location_of(output_dir)
    if isinstance(folder, Path):
        _warn_if_loose(folder)
    else:
        require_writable(folder)
    mode = OWNER_AND_GROUP if group_readable else OWNER_ONLY
    recipients: tuple[str, ...] = ()
    if encrypt_to is not None:
        from auditkit.protect.encryption import recipients_of

        recipients = recipients_of(encrypt_to)
    if pseudonymizer is not None and not hasattr(pseudonymizer, "learn"):
        raise InvalidOptionError(
            f"pseudonymizer={pseudonymizer!r} is none. Make one: ak.Pseudonymizer(key_file)."
        )
    publish_log, holding = _logs(log, folder, mode)
    return Destination(
        folder=folder,
        if_exists=if_exists,
        log=publish_log,
        holding=holding,
        mode=mode,
        checksum=checksum,
        recipients=recipients,
        pseudonymizer=pseudonymizer,
    )


def _logs(log: Any, folder: Location, mode: int) -> tuple[PublishLog, ExportLog | None]:
    """The log that every file is entered in, that of the folder unless one is given; whose holds count."""
    if isinstance(log, str) and is_database(log):
        from auditkit.sources.sql.exportlog import SqlExportLog

        log = SqlExportLog(log)
    own = ExportLog(path=default_log(folder), mode=mode)
    if hasattr(log, "beside"):
        return log.beside(own), own
    if isinstance(log, PublishLog):
        return log, log if isinstance(log, ExportLog) else None
    try:
        given = own if log is None else ExportLog(path=log_path(local_log(log)), mode=mode)
    except TypeError:
        raise InvalidOptionError(
            f"log={log!r} is neither a path nor an export log. Leave it out for {LOG_NAME} in the folder "
            "of the exports."
        ) from None
    return given, given


def _warn_if_loose(folder: Path) -> None:
    try:
        loose = os.stat(folder).st_mode & stat.S_IWOTH
    except OSError:  # there is none yet, or the export will say what is wrong
        return
    if loose:
        warnings.warn(
            f"Everybody on this machine may write to the folder {folder}. "
            "Take that right away (chmod o-w) before you rely on what stands in it.",
            stacklevel=5,
        )


def _followed(receipt: ExportReceipt, checksum: Published | Exception) -> ExportReceipt | Exception:
    return checksum if isinstance(checksum, Exception) else replace(receipt, log_head=checksum.log_head)


def _no_checksum(path: Location) -> ExportExistsError:
    return ExportExistsError(
        errno.EEXIST,
        f"It is no checksum of {path.name}, which was exported, and was left alone (move it away)",
        str(checksum_path(path)),
    )
