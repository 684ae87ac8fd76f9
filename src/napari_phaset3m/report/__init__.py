"""Reports: what was measured on volumes as one self-contained HTML, with CSV, PNG and SVG beside it."""

from __future__ import annotations

from napari_phaset3m.report.html import render
from napari_phaset3m.report.model import Picture, Report, Section, Table
from napari_phaset3m.report.write import write_folder, write_report

__all__ = ["Picture", "Report", "Section", "Table", "render", "write_folder", "write_report"]
