"""What the docstrings of public callables say of errors and shapes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import fuzz_auto
from fuzz_surface import Entry, bare, surface

# Those that have arguments and no errors of their own, and why.
EXEMPT = {
    "bayesnas.report.Page.html": "a word that is written as it is",
    "bayesnas.reproductions.Request.say": "a line that is handed on",
    "bayesnas.sklearn.BayesianStructureClassifier": "fit checks what it was made with",
    "bayesnas.sklearn.BayesianStructureRegressor": "fit checks what it was made with",
}
_ARRAYS = re.compile(r"\b(Tensor|ndarray|NDArray|ArrayLike|Array|Doubles)\b")
_SHAPE = re.compile(r"`\[[^`]*\]`|``\(\)``|[Ss]hape|scalar")
_SECTION = re.compile(r"^Raises:\n((?:    .*\n?|\n(?=    ))+)", re.MULTILINE)
_ERRORS = re.compile(r"^    (\w[\w, ]*):", re.MULTILINE)


def called() -> Iterator[Entry]:
    """Public callables with arguments, without the records that functions return and hooks."""
    for function, entry in surface().items():
        if function in fuzz_auto.RECORDS or fuzz_auto.is_hook(entry):
            continue
        if _is_made_in_c(function) or not fuzz_auto.parameters_of(entry):
            continue
        yield entry


def documented_errors(function: Any) -> set[str]:
    """Names of the exceptions in the section Raises; empty where there is none."""
    section = _SECTION.search(inspect.getdoc(bare(function)) or "")
    words = _ERRORS.findall(section.group(1)) if section else []
    return {name for each in words for name in re.findall(r"\w+", each)}


def lacks_shapes(function: Any) -> bool:
    """Whether an annotation speaks of arrays, and no word of shapes."""
    function = bare(function)
    docs = inspect.getdoc(function) or ""
    if isinstance(function, type):
        docs += inspect.getdoc(function.__init__) or ""
        hints = list(inspect.signature(bare(function.__init__)).parameters.values())
        annotations = [str(each.annotation) for each in hints]
    else:
        signature = inspect.signature(function)
        annotations = [str(each.annotation) for each in signature.parameters.values()]
        annotations.append(str(signature.return_annotation))
    return bool(_ARRAYS.search(" ".join(annotations))) and not _SHAPE.search(docs)


def _is_made_in_c(function: Any) -> bool:
    try:
        inspect.signature(bare(function.__init__) if isinstance(function, type) else function)
    except ValueError:  # an exception of Python's
        return True
    return False
