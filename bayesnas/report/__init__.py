"""The numbers and the figure that describe a fit, and both on a page of HTML."""

from bayesnas.report.figure import report_figure, write_report
from bayesnas.report.findings import Findings, measure
from bayesnas.report.page.page import Page, measure_page, write_html
from bayesnas.report.page.remarks import Remark

__all__ = [
    "Findings",
    "Page",
    "Remark",
    "measure",
    "measure_page",
    "report_figure",
    "write_html",
    "write_report",
]
