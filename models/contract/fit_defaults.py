"""What a fit takes for the arguments that are not given, model by model."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class FitDefaults:
    """Values of arguments of ``bayesnas.fit`` that are None.

    Attributes:
        lr: learning rate at the start.
        batch_size: examples in a batch.
        kl_weight: λ of the bound; of fits that are not told one.
        kl_warmup: fraction of the steps over which λ rises; of fits at one λ alone.
        range_warmup: the same of fits over a range of λ.
        amortize: the map of these.
        epochs: at least so many passes over the sample, where neither epochs nor steps are given;
        steps: and at least so many steps.
    """

    lr: float = 1e-3
    batch_size: int = 256
    kl_weight: float = 1.0
    kl_warmup: float = 0.0
    range_warmup: float = 0.0
    amortize: str = "piecewise"
    epochs: int = 30
    steps: int = 3000

    def passes(self, examples: int, batch_size: int) -> int:
        """Epochs of a fit whose length is not given.

        >>> FitDefaults().passes(60_000, 256), FitDefaults().passes(353, 256)
        (30, 1500)
        """
        batches = math.ceil(examples / min(batch_size, examples))
        return max(self.epochs, math.ceil(self.steps / batches))
