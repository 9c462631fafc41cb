"""`jupyter nbconvert --to auditkit`: a notebook as one HTML file that needs neither network nor kernel."""

from __future__ import annotations

from nbconvert.exporters.html import HTMLExporter
from traitlets import default
from traitlets.config import Config

from auditkit.web.server import SHARE

SHOWN_FIRST = [
    "text/html",  # of our widgets: what they show without a kernel
    "text/markdown",
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "text/latex",
    "text/plain",
]


class HTMLReport(HTMLExporter):
    """One HTML file; of each output the form that needs no script."""

    export_from_notebook = "HTML report (auditkit)"

    @property
    def default_config(self) -> Config:
        """The settings of the HTML exporter, but no script and no widget view among the outputs."""
        config = Config({"NbConvertBase": {"display_data_priority": SHOWN_FIRST}})
        inherited: Config = super().default_config.copy()
        inherited.merge(config)
        return inherited

    @default("template_name")
    def _our_template(self) -> str:
        return "auditkit"

    @default("extra_template_basedirs")
    def _our_templates(self) -> list[str]:
        return [str(SHARE / "nbconvert" / "templates")]

    @default("embed_images")
    def _images_inside(self) -> bool:
        return True
