"""Pseudonyms for the people in a run: the same for one key and purpose, and never without the key."""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterable
from functools import partial
from typing import Any, Literal

from auditkit.errors import InvalidKeyError, InvalidOptionError, InvalidRunError
from auditkit.protect.coarsening import STEPS, Step
from auditkit.protect.disguise import ID_COLUMNS, TEXT_COLUMNS, Pseudonyms
from auditkit.protect.keys import read_secret
from auditkit.run import AuditRun, HeaderChanged
from auditkit.schema import EXTRA, RESULT_FIELDS, RUN_FIELDS

__all__ = ["Pseudonymizer", "Pseudonyms"]

SHORTEST_KEY = 32
_RUN_IDS = ("run_reviewer",)
_RUN_TEXTS = ("run_id", "run_task_title", "run_skill_area")
_LETTERS = str.maketrans("0123456789abcdef", "bcdfghjklmnpqrst")
_NAME_BYTES = 10


class Pseudonymizer:
    """Makes pseudonyms for users, submissions and reviewers, and says what else is left out of an export.

    A pseudonym is `id-` and 20 letters. For one key and purpose the same id has the same pseudonym in all
    exports, so that they can be joined; for another purpose it has another one. Users, submissions and
    reviewers share one space of names: a reviewer who is also a user stays the same person. The letters
    are consonants, so that no number and no word turns up in a pseudonym by chance.

    Whoever has the key can find out whom a pseudonym means, by trying ids. And scores, times and titles
    stay what they were: such an export is pseudonymised, not anonymous.

    Parameters
    ----------
    key_file : path
        A secret file of 32 bytes or more, all of which are the key, line ends too. Nobody but its owner
        may be able to read it.
    purpose : str
        What the pseudonyms are for; exports for different purposes cannot be joined.
    keep_extra : iterable of str
        Names of unknown fields that are kept, with the ids in them replaced; the others are left out.
    drop_notes : bool
        Leave out the notes of the results.
    coarsen_timestamps : {"hour", "day", "month"}, optional
        Write timestamps as the beginning of their hour, day or month in UTC.
    known_ids : iterable of str or path
        Further ids that are replaced wherever they occur: those of people in runs that are not exported
        now, for example. A path is that of a file of UTF-8 text with one id a line; white space around
        an id is no part of it, and blank lines are ignored.

    Raises
    ------
    InvalidKeyError
        If the key is too short, or others may read it.
    InvalidOptionError
        If one of the options is none.
    OSError
        If the key or the file of known ids cannot be read.

    Notes
    -----
    Inside texts those ids are found that are known: the ids of the runs that are exported together, in one
    call or one bag, and `known_ids`. The ids of other runs of the source are not known.

    Examples
    --------
    >>> import auditkit as ak
    >>> folder.mkdir()
    >>> key = folder / "pseudonyms.key"
    >>> key.touch(mode=0o600)  # a real one holds random bytes: auditkit keygen makes it
    >>> _ = key.write_bytes(bytes(range(32)))
    >>> maker = ak.Pseudonymizer(key, purpose="review")
    >>> maker.of("sub-001")
    'id-gmmgqmsddhfndfjcrnpl'
    >>> run = ak.load_run("run-001", source="sample_data/runs")
    >>> maker.learn([run]).text("See SUB-001.")
    'See id-gmmgqmsddhfndfjcrnpl.'
    >>> maker = ak.Pseudonymizer(key, purpose="review", known_ids=["sub-777"])
    >>> maker.learn([run]).text("Like sub-777.") == f"Like {maker.of('sub-777')}."
    True
    """

    def __init__(
        self,
        key_file: str | os.PathLike[str],
        *,
        purpose: str = "audit",
        keep_extra: Iterable[str] = (),
        drop_notes: bool = False,
        coarsen_timestamps: Step | None = None,
        known_ids: Iterable[str] | str | os.PathLike[str] = (),
    ):
        self._key_file = os.path.abspath(key_file)
        self._key = _key_in(self._key_file)
        self.purpose = _checked_purpose(purpose)
        self._prefix = b"auditkit pseudonym\0" + self.purpose.encode() + b"\0"
        self.keep_extra = _checked_names(keep_extra)
        self.drop_notes = bool(drop_notes)
        self.coarsen_timestamps = _checked_step(coarsen_timestamps)
        self._known_ids = _checked_ids(known_ids)

    def __repr__(self) -> str:
        return f"Pseudonymizer(purpose={self.purpose!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """The way to the key file instead of the key."""
        again = partial(
            Pseudonymizer,
            purpose=self.purpose,
            keep_extra=self.keep_extra,
            drop_notes=self.drop_notes,
            coarsen_timestamps=self.coarsen_timestamps,
            known_ids=self._known_ids,
        )
        return again, (self._key_file,)

    def of(self, id: str) -> str:
        """The pseudonym of an id; of the empty text, which is no id, the empty text."""
        if not isinstance(id, str):
            raise InvalidOptionError(f"{id!r} is no id. Ids are text.")
        if not id:
            return id
        digest = hmac.digest(self._key, self._prefix + id.encode(), "sha256")
        return "id-" + digest[:_NAME_BYTES].hex().translate(_LETTERS)

    def learn(self, runs: Iterable[AuditRun], *, on_error: Literal["raise", "skip"] = "raise") -> Pseudonyms:
        """The pseudonyms of all ids in some runs, each of which is read once; only its ids are kept.

        Ids of other runs are unknown, but for `known_ids`. Learn from all runs that are exported together,
        and from whole ones, also where a selection of their rows is exported: their notes may name others.
        `on_error="skip"` leaves out runs that cannot be read, and so cannot be exported.

        Raises
        ------
        InvalidOptionError
            If two runs would have the same id.
        InvalidRunError
            If the input of a run breaks the table of fields.
        """
        ids = set(self._known_ids)
        run_ids = []
        for run in runs:
            try:
                run_ids.append(_collect(run, ids))
            except (InvalidRunError, OSError):
                if on_error == "raise":
                    raise
        found = Pseudonyms(self, ids - {""})
        _refuse_equal_ids(run_ids, found)
        return found

    @property
    def changed(self) -> dict[str, Any]:
        """What is changed in an export, as plain values for JSON; nothing in it tells of the key or an id.

        `key_check` is the same wherever the key is the same. `known_ids` is how many there are, if any.
        """
        check = hmac.digest(self._key, b"auditkit key check", "sha256")
        dropped = {EXTRA} | ({"notes"} if self.drop_notes else set())
        known = {"known_ids": len(self._known_ids)} if self._known_ids else {}
        return {
            "purpose": self.purpose,
            "key_check": check.hex()[:16],
            "pseudonymised": _in_order({*ID_COLUMNS, *_RUN_IDS}),
            "ids_replaced_in": _in_order({*TEXT_COLUMNS, *_RUN_TEXTS} - dropped),
            "dropped": _in_order(dropped),
            "kept_extra": list(self.keep_extra),
            "timestamps": self.coarsen_timestamps,
            **known,
        }


def _collect(run: AuditRun, ids: set[str]) -> str:
    """The id of a run, once its ids are among the others."""
    import pyarrow.compute as pc

    if run.reviewer is not None:
        ids.add(run.reviewer)
    try:
        for batch in run.batches():
            for name in ID_COLUMNS:
                ids.update(pc.unique(batch.column(name).drop_null()).to_pylist())
    except HeaderChanged as change:
        return _collect(change.run, ids)
    return run.id


def _refuse_equal_ids(run_ids: Iterable[str], pseudonyms: Pseudonyms) -> None:
    named: dict[str, str] = {}
    for run_id in run_ids:
        other = named.setdefault(pseudonyms.text(run_id), run_id)
        if other != run_id:
            raise InvalidOptionError(
                f"With pseudonyms the runs {other!r} and {run_id!r} would have the same id. "
                "Export one of them elsewhere."
            )


def _in_order(columns: set[str]) -> list[str]:
    """Frame columns in the order of the table."""
    ordered = [field.column for field in (*RUN_FIELDS, *RESULT_FIELDS)]
    return [name for name in (*ordered, EXTRA) if name in columns]


def _key_in(path: str) -> bytes:
    key = read_secret(path)
    if len(key) < SHORTEST_KEY:
        raise InvalidKeyError(
            f"The key in {path} has {len(key)} bytes, and {SHORTEST_KEY} are the least. Make one of random "
            "bytes, for this alone."
        )
    return key


def _checked_purpose(purpose: str) -> str:
    if not isinstance(purpose, str) or not purpose or not purpose.isprintable():
        raise InvalidOptionError(f"purpose={purpose!r} is no purpose. Give a word, such as 'audit'.")
    return purpose


def _checked_names(names: Iterable[str]) -> tuple[str, ...]:
    listed = () if isinstance(names, str | bytes) else tuple(names)
    if isinstance(names, str | bytes) or not all(isinstance(name, str) for name in listed):
        raise InvalidOptionError(f"keep_extra={names!r} is no list of names. Give a tuple of texts.")
    return tuple(sorted(set(listed)))


def _checked_step(step: Step | None) -> Step | None:
    if step is not None and step not in STEPS:
        raise InvalidOptionError(
            f"coarsen_timestamps={step!r} is none of {', '.join(STEPS)}. Give one of them, or leave it out."
        )
    return step


def _checked_ids(ids: Iterable[str] | str | os.PathLike[str]) -> tuple[str, ...]:
    """Each id once, in order; an error shows none of them."""
    if isinstance(ids, str | os.PathLike):
        return _ids_in(os.fspath(ids))
    listed = () if isinstance(ids, bytes) or not isinstance(ids, Iterable) else tuple(ids)
    if isinstance(ids, bytes) or not isinstance(ids, Iterable) or not all(map(_is_id, listed)):
        raise InvalidOptionError(
            "known_ids is no list of ids, which are texts in Unicode. Give a list of them, or the path of a "
            "file with one id a line."
        )
    return tuple(sorted(set(listed) - {""}))


def _is_id(one: object) -> bool:
    return isinstance(one, str) and not any("\ud800" <= character <= "\udfff" for character in one)


def _ids_in(path: str) -> tuple[str, ...]:
    try:
        with open(path, encoding="utf-8-sig") as lines:
            return tuple(sorted({line.strip() for line in lines} - {""}))
    except UnicodeDecodeError as error:
        raise InvalidOptionError(
            f"The file of known ids {path} is not UTF-8. Save it as UTF-8, with one id a line."
        ) from error
