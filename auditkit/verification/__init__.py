"""Whether evidence is what it was: folders of exports, single files, anchors."""

from auditkit.verification.folder import VerificationReport, verify_exports
from auditkit.verification.single import FileReport, verify_file

__all__ = ["FileReport", "VerificationReport", "verify_exports", "verify_file"]
