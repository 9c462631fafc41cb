"""Where audit runs come from: folders, globs and files."""

from __future__ import annotations

from auditkit.sources.base import Listing, Source, open_source

__all__ = ["Listing", "Source", "open_source"]
