"""The template of the page, filled in; every text that comes from outside is escaped."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

from bayesnas.report.page.structure_tables import StructureMatrix

if TYPE_CHECKING:
    from jinja2 import Template


def html_of(**values: Any) -> str:
    """The template with values by their names in it."""
    return _template().render(values)


@functools.cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("bayesnas.report.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = readable
    environment.tests["matrix"] = lambda table: isinstance(table, StructureMatrix)
    return environment.get_template("page.html.jinja")


def readable(value: float) -> str:
    """A number with four significant digits, sums in whole nats.

    >>> readable(0.123456), readable(-56789.4), readable(float("nan")), readable(3)
    ('0.1235', '−56,789', '–', '3')
    """
    if math.isnan(value):
        return "–"
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return text.replace("-", "−")
