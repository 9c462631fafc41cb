"""Object stores, and what else fsspec knows by a URL: names of things there, and what is done with them."""

from auditkit.store.access import Found, bytes_of, files_in, found_at, open_stream, remove, sha256_at
from auditkit.store.names import Location, StorePath, is_store, location_of, located_from

__all__ = [
    "Found",
    "Location",
    "StorePath",
    "bytes_of",
    "files_in",
    "found_at",
    "is_store",
    "located_from",
    "location_of",
    "open_stream",
    "remove",
    "sha256_at",
]
