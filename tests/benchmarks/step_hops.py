"""How many of the package's files an eager step enters, and how often it changes between them.

Counted by ``sys.setprofile`` are the calls of functions, comprehensions and generators that stand
in the package's folders, while one step in the middle of a fit of ``GaussianNet`` is taken; a
change of file is a call in another file than that of the call before. Also counted is a whole fit
of one step, with all that comes before and after it::

    python tests/benchmarks/step_hops.py           # the two counts, and the calls file by file
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import torch

import bayesnas as bn
from bayesnas.inference.config.settings import FitSettings
from bayesnas.inference.training.chains import trainer

TOP = Path(trainer.__file__).resolve().parents[3]
FOLDERS = ("bayesnas", "models", "inference")
STEP = 5


class Hops(NamedTuple):
    """Files of all calls, in order."""

    calls: list[str]

    @property
    def files(self) -> int:
        """How many files are entered."""
        return len(set(self.calls))

    @property
    def changes(self) -> int:
        """How often the file changes from a call to the next."""
        return sum(before != after for before, after in itertools.pairwise(self.calls))


@contextmanager
def counted(hops: Hops) -> Iterator[None]:
    """Note the calls inside the block."""
    names: dict[str, str | None] = {}

    def name(file: str) -> str | None:
        path = Path(file).resolve()
        if not path.is_relative_to(TOP):
            return None
        relative = path.relative_to(TOP)
        return relative.as_posix() if relative.parts[0] in FOLDERS else None

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event != "call":
            return
        file = frame.f_code.co_filename
        if file not in names:
            names[file] = name(file)
        module = names[file]
        if module is not None:
            hops.calls.append(module)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(before)


def fit(steps: int) -> None:
    """Fit a net to random numbers of the shape of the digits, by eager steps."""
    x = torch.randn(1_000, 64, generator=torch.Generator().manual_seed(0))
    model = bn.models.GaussianNet(bn.nn.mlp([64, 20, 10]))
    bn.fit(model, (x, torch.arange(1_000) % 10), steps=steps, compile=False, progress=False)


def of_a_step() -> Hops:
    """Count one step in the middle of a fit: its λ, its batch, the bound, gradients, update."""
    hops = Hops([])
    settings_of = FitSettings.kl_weight_at
    with_step = trainer.ChainTrainer._take_step

    def watched(self: trainer.ChainTrainer, *given: object) -> torch.Tensor:
        if self.step != STEP:
            return with_step(self, *given)  # type: ignore[arg-type]
        with counted(hops):
            return with_step(self, settings_of(self.settings, self.step))

    trainer.ChainTrainer._take_step = watched  # type: ignore[method-assign, assignment]
    try:
        fit(2 * STEP)
    finally:
        trainer.ChainTrainer._take_step = with_step  # type: ignore[method-assign]
    return hops


def of_a_fit() -> Hops:
    """Count a whole fit of one step."""
    hops = Hops([])
    fit(1)  # what is loaded and found out once a process
    with counted(hops):
        fit(1)
    return hops


if __name__ == "__main__":
    for title, hops in (("a step", of_a_step()), ("a fit of one step", of_a_fit())):
        print(f"{title}: {hops.files} files, {hops.changes} changes, {len(hops.calls)} calls")
        for file, calls in Counter(hops.calls).most_common():
            print(f"{calls:6d}  {file}")
