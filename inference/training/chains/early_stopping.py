"""When a chain stops before its last step, and the state that is kept of it then."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor


class EarlyStopping:
    """Stops a chain whose loss on validation data has been larger than its smallest for a while.

    Args:
        skipped: epochs at the start, while the KL weight rises to λ, that are noted and do not
            count: what was fitted there is of a smaller λ.

    Attributes:
        losses: mean negative log-likelihood on validation data, an epoch each.
        best_state: of the epoch with the smallest loss that counts; None before there is one.
        stopped: whether the chain takes no more steps.

    References:
        Prechelt, *Early stopping - but when?*, 1998.

    >>> stopping = EarlyStopping(skipped=1)
    >>> for loss in (0.1, 0.9, 0.5, 0.7, 0.6):
    ...     stopping.end_epoch(loss, patience=2, state=dict)
    >>> stopping.stopped, len(stopping.losses)
    (True, 5)
    """

    def __init__(self, skipped: int = 0) -> None:
        """Go on so far; see the class."""
        self._skipped = skipped
        self.losses: list[float] = []
        self.best_state: dict[str, Tensor] | None = None
        self.stopped = False

    def end_epoch(
        self, loss: float, patience: int | None, state: Callable[[], dict[str, Tensor]]
    ) -> None:
        """Note an epoch's loss; keep the best state, and stop once patience is out.

        Args:
            loss: on validation data; NaN counts as infinite.
            patience: epochs after the best one that a chain goes on for; None stops none.
            state: what was fitted, as it stands.
        """
        self.losses.append(loss)
        counted = self.losses[self._skipped :]
        if patience is None or not counted:
            return
        best = int(np.nanargmin([*counted, np.inf]))
        if best == len(counted) - 1:
            self.best_state = {name: value.clone() for name, value in state().items()}
        self.stopped = len(counted) - 1 - best >= patience
