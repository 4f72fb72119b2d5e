"""Effect handlers that inference puts around a model and its guide."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from bayesnas.models.base import OBSERVED
from bayesnas.models.row_sites import RowSites
from bayesnas.nn.undrawn import drawn


class DataScale(Messenger):
    """Scale up what a minibatch shows: the sites that there are once for every row.

    A plate of the program's own that counts for the whole sample (``plate(name, N,
    subsample_size=B)``) is left as it is.

    Args:
        scale: N / B, the size of the whole sample over that of the batch; None counts every row
            once, whatever the program's plates say.
        rows: which sites these are.
    """

    def __init__(self, scale: float | None, rows: RowSites | None = None) -> None:
        """Keep the factor; see the class."""
        super().__init__()
        self.scale = scale
        self.rows = RowSites() if rows is None else rows

    def _pyro_sample(self, msg: Any) -> None:
        if site_is_subsample(msg) or not self.rows.is_row_site(msg):
            return
        if not self.rows.counts_for_all(msg):
            msg["scale"] = msg["scale"] * (1.0 if self.scale is None else self.scale)
        elif self.scale is None:
            for frame in msg["cond_indep_stack"]:
                if frame.name in self.rows.own_scale:
                    msg["scale"] = msg["scale"] * frame.size / frame.full_size


class KLWeight(Messenger):
    """Scale the log density of the latent sites by λ.

    Around both model and guide it turns any ELBO into E_q log p(y | w) − λ KL(q ‖ p). Unlike
    ``pyro.poutine.scale`` it takes λ = 0, maximum likelihood.

    A site that an ELBO sums out of the model (``TraceEnum_ELBO``) belongs to the likelihood, and
    a factor of a guide to its density.

    Args:
        kl_weight: λ ≥ 0.
        rows: says which sites are summed out.
        guide: whether it is put around the guide.
    """

    def __init__(
        self,
        kl_weight: float | Tensor,
        rows: RowSites | None = None,
        *,
        guide: bool = False,
    ) -> None:
        """Keep the factor; see the class."""
        super().__init__()
        self.kl_weight = kl_weight
        self.summed = frozenset() if rows is None else rows.summed
        self.guide = guide

    def _pyro_sample(self, msg: Any) -> None:
        if site_is_subsample(msg) or msg["name"] in self.summed:
            return
        if self.guide or not msg["is_observed"]:
            msg["scale"] = msg["scale"] * self.kl_weight


class DrawnWeights(Messenger):
    """Make every latent site a plain tensor: weights that would stay distributions are drawn."""

    def _pyro_post_sample(self, msg: Any) -> None:
        if not msg["is_observed"] and isinstance(msg["value"], Tensor):
            msg["value"] = drawn(msg["value"])


class GuideMeans(Messenger):
    """Set every latent site of a guide to the mean of its distribution instead of a draw."""

    def _pyro_sample(self, msg: Any) -> None:
        if not msg["is_observed"] and not site_is_subsample(msg):
            msg["value"] = msg["fn"].mean
            msg["done"] = True


class FixedValues(Messenger):
    """Set latent sites to given values; they stay latent, unlike under ``poutine.condition``.

    Args:
        values: value by site; other sites are left alone.
    """

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        """Keep the values; see the class."""
        super().__init__()
        self.values = values

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] in self.values and not msg["is_observed"]:
            msg["value"] = self.values[msg["name"]]
            msg["done"] = True


class UnsampledTargets(Messenger):
    """Give the sites of the targets their means instead of samples nobody asked for.

    Args:
        targets: names of the sites.
    """

    def __init__(self, targets: Collection[str] = (OBSERVED,)) -> None:
        """Keep the names; see the class."""
        super().__init__()
        self.targets = targets

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] in self.targets and not msg["is_observed"]:
            try:
                msg["value"] = msg["fn"].mean
            except NotImplementedError:  # a law without a mean is drawn
                return
            msg["done"] = True


def kl_weighted(
    fn: Callable[..., Any],
    kl_weight: float | Tensor,
    data_scale: float = 1.0,
    rows: RowSites | None = None,
    *,
    guide: bool = False,
) -> Callable[..., Any]:
    """Wrap a model or a guide so that any Pyro ELBO of the pair is the λ-weighted bound.

    Args:
        fn: ``model.model`` or ``model.guide``; wrap both alike.
        kl_weight: λ ≥ 0.
        data_scale: N / B where minibatches of B out of N examples are seen.
        rows: which sites there are once for every row; by default those of the plate ``"data"``
            and the observed ones.
        guide: whether ``fn`` is a guide, whose factors are weighted too.

    >>> import pyro, torch, bayesnas as bn
    >>> pyro.clear_param_store()
    >>> net = bn.models.GaussianNet(bn.nn.mlp([4, 8, 3]))
    >>> svi = pyro.infer.SVI(
    ...     kl_weighted(net.model, 0.1), kl_weighted(net.guide, 0.1),
    ...     pyro.optim.Adam({"lr": 1e-3}), pyro.infer.TraceMeanField_ELBO())
    >>> loss = svi.step(torch.zeros(5, 4), torch.zeros(5, dtype=torch.long))
    >>> pyro.clear_param_store()
    """

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with KLWeight(kl_weight, rows, guide=guide), DataScale(data_scale, rows):
            return fn(*args, **kwargs)

    return wrapped
