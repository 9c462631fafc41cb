"""`auditkit keygen`: a new key for signatures, encryption or pseudonyms."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from auditkit.cli.options import echo_json, json_option, visible

if TYPE_CHECKING:
    from auditkit.protect.keys import KeyFiles, Purpose

_NEXT = {
    "sign": (
        "Sign with `--sign {secret}`. Whoever checks needs the line `YOU@example.org {public}` "
        "in the file that --allowed-signers names."
    ),
    "encrypt": (
        "Export with `--encrypt-to {public}`. "
        "`auditkit decrypt FILE --identity {secret}` makes the export readable again."
    ),
    "pseudonyms": (
        "Export with `--pseudonyms {secret}`. Keep it apart from the exports: the same ids get the same "
        "pseudonyms with it, and whoever has it can find out whose they are."
    ),
}


@click.command()
@click.argument("file")
@click.option(
    "--for",
    "purpose",
    type=click.Choice(list(_NEXT)),
    default="sign",
    show_default=True,
    help="What the key is for.",
)
@json_option
def keygen(file: str, purpose: Purpose, as_json: bool) -> None:
    """Make a key: the secret in FILE, and what may be given away in FILE.pub.

    Nothing is replaced, and nobody but you can read FILE. It has no passphrase.
    """
    from auditkit.protect.keys import make_key

    key = make_key(file, purpose)
    if as_json:
        echo_json(
            {
                "purpose": purpose,
                "secret": key.secret,
                "public": key.public,
                "public_text": key.public_text,
                "fingerprint": key.fingerprint,
            }
        )
    else:
        _echo(key, purpose)


def _echo(key: KeyFiles, purpose: Purpose) -> None:
    click.echo(f"{visible(key.secret)}: the secret key. Nobody else may have it.")
    if key.public_text is not None:
        click.echo(f"{visible(key.public)}: the public key, to be given away: {key.public_text}")
    if key.fingerprint is not None:
        click.echo(f"Fingerprint: {key.fingerprint}")
    public = " ".join((key.public_text or "").split()[:2])
    click.echo(_NEXT[purpose].format(secret=visible(shlex.quote(str(key.secret))), public=public))
