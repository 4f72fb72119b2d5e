"""The numbers and the figure that describe a fit."""

from bayesnas.report.figure import report_figure, write_report
from bayesnas.report.findings import Findings, measure

__all__ = [
    "Findings",
    "measure",
    "report_figure",
    "write_report",
]
