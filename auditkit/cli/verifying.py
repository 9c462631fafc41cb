"""`auditkit verify` and `auditkit checkpoint`: whether evidence is what it was."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from auditkit.cli.options import echo_json, json_option, visible
from auditkit.errors import VerificationError
from auditkit.store import Location, StorePath, found_at, location_of

FAILED = 1


@click.command()
@click.argument("path", default="exports")
@click.option("--anchor", metavar="ANCHOR", help="Folder: a head of its log, a bag, a signed checkpoint.")
@click.option("--allowed-signers", metavar="FILE", help="Whose signatures count, as for ssh-keygen.")
@click.option("--sha256", metavar="HEX", help="File: the SHA-256 that it has to have.")
@click.option("--log", metavar="FILE", help="The export log, where it does not stand beside.")
@json_option
@click.pass_context
def verify(context: click.Context, /, path: str, as_json: bool, **given: str | None) -> None:
    """Check a folder of exports, an evidence bag, or one file.

    A folder is checked against its export log, and the log against itself; only an anchor tells whether
    the end of the log was cut off. A file is checked against the hash given, the log beside it, or its
    .sha256.
    """
    try:
        report = _report(path, given)
    except VerificationError as error:
        if as_json:
            echo_json({"verified": False, "problems": [problem._asdict() for problem in error.problems]})
        for problem in error.problems:
            click.echo(f"Error: {visible(problem)}", err=True)
        click.echo(f"{visible(path)} is not as it was: see above.", err=True)
        context.exit(FAILED)
    if as_json:
        echo_json({"verified": True, "report": report})
    else:
        click.echo(report.in_words())


def _report(path: str, given: dict[str, str | None]) -> Any:
    from auditkit import verify_bag
    from auditkit.evidence.check import looks_like_bag
    from auditkit.protect.signers import read_allowed_signers
    from auditkit.verification import verify_exports, verify_file

    if given["allowed_signers"] is not None:
        read_allowed_signers(given["allowed_signers"])  # though nothing may need it: it was given to be used
    place = location_of(path)
    if isinstance(place, Path) and looks_like_bag(place):
        _refuse("an evidence bag", given, "anchor", "log", "sha256")
        return verify_bag(path, given["allowed_signers"])
    if _is_folder(place, given):
        _refuse("a folder", given, "sha256")
        return verify_exports(
            path, given["anchor"], allowed_signers=given["allowed_signers"], log=given["log"]
        )
    _refuse("a file", given, "anchor", "allowed_signers")
    return verify_file(path, given["sha256"], log=given["log"])


def _is_folder(place: Location, given: dict[str, str | None]) -> bool:
    """Whether a folder is meant: what is not there is a file, unless all that is said of it fits a folder."""
    if isinstance(place, StorePath):
        found = found_at(place)
        if found is not None:
            return found.is_folder
    elif os.path.lexists(place):
        return os.path.isdir(place)
    of_a_folder = given["anchor"] is not None or given["allowed_signers"] is not None
    return (of_a_folder or isinstance(place, StorePath)) and given["sha256"] is None and not place.suffix


def _refuse(what: str, given: dict[str, str | None], *names: str) -> None:
    for name in names:
        if given[name] is not None:
            option = "--" + name.replace("_", "-")
            raise click.UsageError(f"{option} means nothing for {what}. Leave it out.")


@click.command()
@click.argument("output_dir", default="exports")
@click.option("--sign", required=True, metavar="KEY", help="An Ed25519 key, as `auditkit keygen` makes it.")
@click.option("--output", metavar="FILE", help="Where to put it [default: beside the log].")
@json_option
def checkpoint(output_dir: str, sign: str, output: str | None, as_json: bool) -> None:
    """Sign the head of an export log, as an anchor to be kept elsewhere."""
    from auditkit.evidence.checkpoint import export_checkpoint

    path = export_checkpoint(output_dir, output, sign=sign)
    if as_json:
        echo_json({"checkpoint": path, "signature": f"{path}.sig"})
    else:
        click.echo(f"{path} and {path}.sig: keep both where nobody can change them with the log.")
