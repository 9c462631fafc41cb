"""The export log: who made which file when, from what, in lines that vouch for one another."""

from auditkit.exportlog.log import ExportLog
from auditkit.exportlog.reading import read_export_log

__all__ = ["ExportLog", "read_export_log"]
