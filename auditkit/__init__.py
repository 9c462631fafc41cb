"""auditkit: load audit runs into pandas, inspect deviations, save evidence files.

An audit run holds, for many submissions, the score a human gave and the score an AI gave, what was
suggested about the difference and what was done. Names are loaded on first use: importing the package
imports neither pandas nor Arrow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "auditkit.evidence": ("BagReceipt", "BagReport", "export_checkpoint", "export_evidence", "verify_bag"),
    "auditkit.export": ("export_audit_run", "export_multiple_runs", "export_results"),
    "auditkit.exportlog": ("ExportLog", "read_export_log"),
    "auditkit.filters": ("Filter",),
    "auditkit.holds": ("hold_export",),
    "auditkit.load": (
        "iter_results",
        "list_available_runs",
        "load_failures",
        "load_results",
        "load_run",
        "load_runs",
    ),
    "auditkit.protect.anonymity": ("SmallestGroup", "k_anonymity"),
    "auditkit.protect.decryption": ("decrypt_export",),
    "auditkit.protect.keys": ("KeyFiles", "make_key"),
    "auditkit.protect.pseudonyms": ("Pseudonymizer",),
    "auditkit.receipts": ("BatchFailure", "BatchResult", "ExportReceipt"),
    "auditkit.run": ("AuditRun",),
    "auditkit.search": ("find_results",),
    "auditkit.shelf": ("ExportStats", "cleanup_old_exports", "get_export_stats"),
    "auditkit.sources": ("Source", "open_source"),
    "auditkit.sources.sql.exportlog": ("SqlExportLog",),
    "auditkit.sources.sql.loading": ("LoadReport", "init_database", "load_into_database"),
    "auditkit.verification": ("FileReport", "VerificationReport", "verify_exports", "verify_file"),
}

if TYPE_CHECKING:
    from auditkit import errors as errors
    from auditkit.evidence import BagReceipt as BagReceipt
    from auditkit.evidence import BagReport as BagReport
    from auditkit.evidence import export_checkpoint as export_checkpoint
    from auditkit.evidence import export_evidence as export_evidence
    from auditkit.evidence import verify_bag as verify_bag
    from auditkit.export import export_audit_run as export_audit_run
    from auditkit.export import export_multiple_runs as export_multiple_runs
    from auditkit.export import export_results as export_results
    from auditkit.exportlog import ExportLog as ExportLog
    from auditkit.exportlog import read_export_log as read_export_log
    from auditkit.filters import Filter as Filter
    from auditkit.holds import hold_export as hold_export
    from auditkit.load import iter_results as iter_results
    from auditkit.load import list_available_runs as list_available_runs
    from auditkit.load import load_failures as load_failures
    from auditkit.load import load_results as load_results
    from auditkit.load import load_run as load_run
    from auditkit.load import load_runs as load_runs
    from auditkit.protect.anonymity import SmallestGroup as SmallestGroup
    from auditkit.protect.anonymity import k_anonymity as k_anonymity
    from auditkit.protect.decryption import decrypt_export as decrypt_export
    from auditkit.protect.keys import KeyFiles as KeyFiles
    from auditkit.protect.keys import make_key as make_key
    from auditkit.protect.pseudonyms import Pseudonymizer as Pseudonymizer
    from auditkit.receipts import BatchFailure as BatchFailure
    from auditkit.receipts import BatchResult as BatchResult
    from auditkit.receipts import ExportReceipt as ExportReceipt
    from auditkit.run import AuditRun as AuditRun
    from auditkit.search import find_results as find_results
    from auditkit.shelf import ExportStats as ExportStats
    from auditkit.shelf import cleanup_old_exports as cleanup_old_exports
    from auditkit.shelf import get_export_stats as get_export_stats
    from auditkit.sources import Source as Source
    from auditkit.sources import open_source as open_source
    from auditkit.sources.sql.exportlog import SqlExportLog as SqlExportLog
    from auditkit.sources.sql.loading import LoadReport as LoadReport
    from auditkit.sources.sql.loading import init_database as init_database
    from auditkit.sources.sql.loading import load_into_database as load_into_database
    from auditkit.verification import FileReport as FileReport
    from auditkit.verification import VerificationReport as VerificationReport
    from auditkit.verification import verify_exports as verify_exports
    from auditkit.verification import verify_file as verify_file

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
__all__ = ["__version__", "errors", *sorted(_HOME_OF)]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module("auditkit.errors")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'auditkit' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
