"""What a fit takes for the arguments that are not given, model by model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FitDefaults:
    """Values of arguments of ``bayesnas.fit`` that are None.

    Attributes:
        lr: learning rate at the start.
        batch_size: examples in a batch.
        kl_warmup: fraction of the steps over which λ rises; of fits at one λ alone.
    """

    lr: float = 1e-3
    batch_size: int = 256
    kl_warmup: float = 0.0
