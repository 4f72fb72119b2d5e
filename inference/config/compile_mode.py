"""How the steps of a fit are taken: what may be asked for, and what ``"auto"`` stands for."""

from __future__ import annotations

import numpy as np

_MODES = ("auto", "trace", "inductor", "cudagraph")
# Tracing takes half a second and compiling some three to ten; a step of a small net then takes
# seven tenths and a quarter of its time (docs/benchmarks.md).
_STEPS_WORTH_TRACING = 1_000
_STEPS_WORTH_COMPILING = 5_000


def compile_mode(
    compile: str | bool, steps: int, precision: str, *, together: bool, timed: bool
) -> str:
    """Check what was asked for, and say how steps are taken.

    Args:
        compile: as given to ``bn.fit``.
        steps: of all chains.
        precision: of matrix products.
        together: whether chains take their steps together, which are traced ones.
        timed: whether ``"auto"`` may be left to a trial of the first steps.

    Returns:
        ``"eager"``, ``"trace"``, ``"inductor"`` or ``"cudagraph"``; or ``"auto"``: whichever
        :class:`~bayesnas.inference.steps.mode_trial.ModeTrial` finds fastest. A fit of fewer than
        1,000 steps has no trial, and where there is none the number of steps decides.

    Raises:
        ValueError: for another mode or precision, or a precision without traced steps.

    >>> compile_mode("auto", 2_000, "float32", together=False, timed=True)
    'auto'
    >>> compile_mode("auto", 2_000, "bfloat16", together=False, timed=True)
    'trace'
    """
    if not isinstance(precision, str) or precision not in ("float32", "bfloat16"):
        raise ValueError(f"precision must be 'float32' or 'bfloat16', got {precision!r}")
    if isinstance(compile, (bool, np.bool_)) and not compile:
        if precision != "float32":
            raise ValueError(f"precision={precision!r} is that of a traced step, got compile=False")
        return "eager"
    if not isinstance(compile, str) or compile not in _MODES:
        raise ValueError(
            f"compile must be 'auto', 'trace', 'inductor', 'cudagraph' or False, got {compile!r}"
        )
    if compile != "auto":
        return compile
    traced = together or precision != "float32"
    if timed and steps >= _STEPS_WORTH_TRACING and not traced:
        return "auto"
    if steps >= _STEPS_WORTH_COMPILING:
        return "inductor"
    return "trace" if steps >= _STEPS_WORTH_TRACING or traced else "eager"
