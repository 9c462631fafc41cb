"""Notebook widgets: pick runs, inspect deviations, export evidence."""

from __future__ import annotations

from auditkit.widgets.explorer import DeviationExplorer
from auditkit.widgets.panel import ExportPanel
from auditkit.widgets.picker import RunPicker
from auditkit.widgets.table import DeviationTable
from auditkit.widgets.workbench import Workbench

__all__ = ["DeviationExplorer", "DeviationTable", "ExportPanel", "RunPicker", "Workbench"]
