"""Object stores, and what else fsspec knows by a URL: names of things there, and what is done with them."""

from auditkit.store.access import (
    Found,
    bytes_of,
    files_in,
    found_at,
    matches,
    open_stream,
    remove,
    require_found,
    sha256_at,
)
from auditkit.store.names import Location, StorePath, is_store, local_place, located_from, location_of

__all__ = [
    "Found",
    "Location",
    "StorePath",
    "bytes_of",
    "files_in",
    "found_at",
    "is_store",
    "local_place",
    "located_from",
    "location_of",
    "matches",
    "open_stream",
    "remove",
    "require_found",
    "sha256_at",
]
