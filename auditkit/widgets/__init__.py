"""Notebook widgets: pick runs, inspect deviations, export evidence."""

from __future__ import annotations

from auditkit.widgets.picker import RunPicker
from auditkit.widgets.table import DeviationTable

__all__ = ["DeviationTable", "RunPicker"]
