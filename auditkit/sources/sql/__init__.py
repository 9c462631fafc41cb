"""Runs in databases: two documented tables, or tables of another shape that a TOML file describes."""

from __future__ import annotations

import os

from auditkit.errors import MissingExtraError
from auditkit.sources.base import Source

try:
    import sqlalchemy  # noqa: F401
except ImportError:
    raise MissingExtraError(
        "Databases need SQLAlchemy, which is not installed. Install it with: pip install 'auditkit[sql]'"
    ) from None


def open_database(url: str) -> Source:
    """The source of the runs in a database with the tables of `auditkit db init`.

    Raises
    ------
    MissingExtraError
        If SQLAlchemy is not installed.
    NoSourceError
        If it is no URL of a database that can be read.
    """
    from auditkit.sources.sql.address import address_of

    address = address_of(url)
    from auditkit.sources.sql.source import SqlSource

    return SqlSource(address=address)


def open_mapping(path: str | os.PathLike[str]) -> Source:
    """The source of the runs in a database with tables of another shape, as a TOML file describes them."""
    from auditkit.sources.sql.mapping import open_mapping as opened

    return opened(path)
