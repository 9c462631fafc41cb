"""Evidence bags: made, and checked; and signed checkpoints of the export log."""

from auditkit.evidence.bagging import BagReceipt, export_evidence
from auditkit.evidence.check import BagReport, verify_bag
from auditkit.evidence.checkpoint import export_checkpoint

__all__ = ["BagReceipt", "BagReport", "export_checkpoint", "export_evidence", "verify_bag"]
