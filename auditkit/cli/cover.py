"""Under which cover files are written: the options for encryption, pseudonyms and permissions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--encrypt-to",
        multiple=True,
        metavar="RECIPIENT",
        help="Who alone can read the files: age1…, an SSH public key, or a file of them. Repeatable.",
    ),
    click.option("--pseudonyms", metavar="KEY", help="Write pseudonyms for ids, made with this secret key."),
    click.option("--purpose", metavar="TEXT", help="Pseudonyms of another purpose differ.  [default: audit]"),
    click.option(
        "--keep-extra", multiple=True, metavar="FIELD", help="With pseudonyms: keep this unknown field."
    ),
    click.option("--drop-notes", is_flag=True, help="With pseudonyms: leave out the notes."),
    click.option(
        "--coarsen-timestamps",
        type=click.Choice(["hour", "day", "month"]),
        help="With pseudonyms: cut timestamps to this.",
    ),
    click.option(
        "--known-ids", metavar="FILE", help="With pseudonyms: replace these ids, too; UTF-8, one a line."
    ),
    click.option(
        "--log",
        metavar="FILE",
        help="The export log, or the URL of a database to log there, too [default: export-log.jsonl in the "
        "folder].",
    ),
    click.option("--group-readable", is_flag=True, help="Let the group read the files."),
)
_NEED_A_KEY = ("purpose", "keep_extra", "drop_notes", "coarsen_timestamps", "known_ids")


def cover_options(command: Command) -> Command:
    """A command with these options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def cover(given: dict[str, Any]) -> dict[str, Any]:
    """The options as the exporting functions take them.

    Raises
    ------
    UsageError
        If something is asked of pseudonyms, and there are none.
    """
    changed = {name: given[name] for name in _NEED_A_KEY if given[name]}
    pseudonymizer = None
    if given["pseudonyms"] is not None:
        from auditkit.protect.pseudonyms import Pseudonymizer

        pseudonymizer = Pseudonymizer(given["pseudonyms"], **changed)
    elif changed:
        option = "--" + next(iter(changed)).replace("_", "-")
        raise click.UsageError(f"{option} needs pseudonyms. Give their key: --pseudonyms KEY.")
    return {
        "encrypt_to": list(given["encrypt_to"]) or None,
        "pseudonymizer": pseudonymizer,
        "log": given["log"],
        "group_readable": given["group_readable"],
    }
