"""Runs in tables of another shape, which a TOML file describes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from auditkit.errors import NoSourceError
from auditkit.formats.problems import Problems
from auditkit.run import AuditRun
from auditkit.sources.base import Listing, loaded, not_found
from auditkit.sources.sql.address import Address, address_of
from auditkit.sources.sql.mapping_file import read_mapping
from auditkit.sources.sql.mapping_shape import ForeignSchema

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def open_mapping(path: str | os.PathLike[str]) -> ForeignSource:
    """The source of the runs that a mapping file describes.

    Raises
    ------
    InvalidOptionError
        If the file is wrong; the message names the key, and what to do.
    NoSourceError
        If its URL is none of a database, or names an environment variable that is not set.
    OSError
        If the file cannot be read.
    """
    schema = read_mapping(os.path.expanduser(os.fspath(path)))
    source = ForeignSource(schema=schema)
    source.address()
    return source


@dataclass(frozen=True, kw_only=True)
class ForeignSource:
    """The runs of a database with tables of another shape.

    What `${NAME}` stands for in the URL is asked for when it is needed: no source that is handed to
    another process carries it along.
    """

    schema: ForeignSchema

    @property
    def location(self) -> str:
        """The mapping file, and the database without its password."""
        return f"{self.schema.path} ({_shown(self.schema)})"

    def address(self) -> Address:
        """The database, as the environment says now."""
        return _resolved(self.schema, self.location)

    def listing(self) -> Listing:
        """The headers of all runs, in the order of the file."""
        from auditkit.sources.sql import foreign

        failures = Problems(self.location)
        found = foreign.headers(self, failures)
        return Listing(headers=[one.header for one in found], failures=failures)

    def open(self, run_ids: Sequence[str] | None = None) -> list[AuditRun | Exception]:
        """The runs, each streaming from the database."""
        from auditkit.sources.sql import foreign

        failures = Problems(self.location)
        found = {one.header.id: one for one in foreign.headers(self, failures)}
        if run_ids is None:
            runs: list[AuditRun | Exception] = [foreign.run_of(self, one) for one in found.values()]
            return [*runs, failures.error()] if failures else runs
        return [
            foreign.run_of(self, found[run_id])
            if run_id in found
            else _why_not(run_id, list(found), self.location, failures)
            for run_id in run_ids
        ]

    def load(self, run_ids: Sequence[str] | None = None) -> Iterator[AuditRun | Exception]:
        """The same runs with their results in memory."""
        return map(loaded, self.open(run_ids))


def _why_not(run_id: str, known: list[str], location: str, failures: Problems) -> Exception:
    own = Problems(location)
    for failure in failures.rows:
        if failure.run_id == run_id:
            own.add(failure)
    return own.error() if own else not_found(run_id, known, location, failures)


def _shown(schema: ForeignSchema) -> str:
    """The database as the file names it, without its password, and without what a variable holds."""
    if _VARIABLE.fullmatch(schema.url):
        return schema.url
    try:
        return address_of(schema.url).location.replace("%24%7B", "${").replace("%7D", "}")
    except NoSourceError as error:
        raise NoSourceError(f"The mapping {schema.path} is wrong at url: {error}") from None


def _resolved(schema: ForeignSchema, location: str) -> Address:
    try:
        return replace(address_of(_filled_in(schema)), location=location)
    except NoSourceError as error:
        raise NoSourceError(f"The mapping {schema.path} is wrong at url: {error}") from None


def _filled_in(schema: ForeignSchema) -> str:
    """The URL with the values of its variables; within it they need no escapes."""
    if whole := _VARIABLE.fullmatch(schema.url):
        return _value(whole)
    if not _VARIABLE.search(schema.url):
        return schema.url
    import sqlalchemy as sa

    url = sa.make_url(schema.url)
    parts = {name: getattr(url, name) for name in ("username", "password", "host", "database")}
    filled: dict[str, Any] = {
        name: _VARIABLE.sub(_value, part) for name, part in parts.items() if part is not None
    }
    query = {
        name: _VARIABLE.sub(_value, value) if isinstance(value, str) else value
        for name, value in url.query.items()
    }
    return url.set(**filled, query=query).render_as_string(hide_password=False)


def _value(variable: re.Match[str]) -> str:
    value = os.environ.get(variable[1])
    if not value:
        raise NoSourceError(
            f"the environment variable {variable[1]} is not set. Set it, or write the value into the file"
        )
    return value
