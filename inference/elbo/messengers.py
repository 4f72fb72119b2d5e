"""Effect handlers that inference puts around a model and its guide."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor
from torch.distributions import ComposeTransform, TransformedDistribution

from bayesnas.checks import non_negative, positive
from bayesnas.models.site_kinds import OBSERVED, stands_for_examples
from bayesnas.nn.lazy.lazy_tensor import drawn
from bayesnas.typed import typed

FollowsBatch = Callable[[Any], bool]


class DataScale(Messenger):
    """Scale up what a minibatch shows: the sites that stand for its examples.

    Args:
        scale: N / B, the size of the whole sample over that of the batch; or a factor for every
            example, ``[b]``.
        follows_batch: tells these sites; see ``BayesianModel.follows_batch``.
    """

    def __init__(
        self, scale: float | Tensor, follows_batch: FollowsBatch = stands_for_examples
    ) -> None:
        """Keep both; see the class."""
        super().__init__()
        self.scale, self.follows_batch = scale, follows_batch

    def _pyro_sample(self, msg: Any) -> None:
        if not site_is_subsample(msg) and self.follows_batch(msg):
            # One tensor at both sites of a KL shows that both count the same.
            plain = isinstance(msg["scale"], float) and msg["scale"] == 1.0
            msg["scale"] = self.scale if plain else msg["scale"] * self.scale


class KLWeight(Messenger):
    """Scale the log density of the latent sites by λ.

    Around both model and guide it turns any ELBO into E_q log p(y | w) − λ KL(q ‖ p). Unlike
    ``pyro.poutine.scale`` it takes λ = 0, maximum likelihood.

    Args:
        kl_weight: λ ≥ 0.
        summed_out: names of latent sites that an ELBO sums out; they are part of p(y | w).
    """

    def __init__(
        self, kl_weight: float | Tensor, summed_out: Collection[str] = frozenset()
    ) -> None:
        """Keep both; see the class."""
        super().__init__()
        self.kl_weight, self.summed_out = kl_weight, summed_out

    def _pyro_sample(self, msg: Any) -> None:
        if msg["is_observed"] or site_is_subsample(msg) or msg["name"] in self.summed_out:
            return
        msg["scale"] = msg["scale"] * self.kl_weight


class DrawnWeights(Messenger):
    """Make every latent site a plain tensor: weights that would stay distributions are drawn."""

    def _pyro_post_sample(self, msg: Any) -> None:
        if not msg["is_observed"] and isinstance(msg["value"], Tensor):
            msg["value"] = drawn(msg["value"])


class GuideMeans(Messenger):
    """Set every latent site of a guide to the mean of its distribution instead of a draw.

    What is transformed and has no mean in torch is at the transformed mean, as in autoguides.
    """

    def _pyro_sample(self, msg: Any) -> None:
        if not msg["is_observed"] and not site_is_subsample(msg):
            msg["value"] = _centre(msg["name"], msg["fn"])
            msg["done"] = True


def _centre(name: str, fn: Any) -> Any:
    try:
        return fn.mean
    except NotImplementedError as error:
        if isinstance(fn, TransformedDistribution):
            return ComposeTransform(fn.transforms)(_centre(name, fn.base_dist))
        if hasattr(fn, "base_dist"):
            return _centre(name, fn.base_dist)
        raise TypeError(
            f"the guide's site {name!r} has a {type(fn).__name__}, which has no mean in torch: ask "
            "for draws, or give its class the property mean"
        ) from error


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
    """Give the site of the targets its mean instead of a sample nobody asked for.

    Args:
        name: of the site.
    """

    def __init__(self, name: str = OBSERVED) -> None:
        """Keep the name."""
        super().__init__()
        self.name = name

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] == self.name and not msg["is_observed"]:
            try:
                msg["value"] = msg["fn"].mean
            except NotImplementedError:  # who asks for a mean hears of it; others need none
                return
            msg["done"] = True


@typed()
def kl_weighted(
    fn: Callable[..., Any],
    kl_weight: float | Tensor,
    data_scale: float = 1.0,
    follows_batch: FollowsBatch = stands_for_examples,
    summed_out: Collection[str] = frozenset(),
) -> Callable[..., Any]:
    """Wrap a model or a guide so that any Pyro ELBO of the pair is the λ-weighted bound.

    Args:
        fn: ``model.model`` or ``model.guide``; wrap both alike.
        kl_weight: λ ≥ 0, a number or a tensor ``[]``.
        data_scale: N / B where minibatches of B out of N examples are seen.
        follows_batch: tells the sites that it scales; by default observed ones and those in the
            data plate.
        summed_out: names of enumerated sites that only the model samples; λ leaves them alone.

    Raises:
        TypeError: naming an argument of another type.
        ValueError: for a negative KL weight, or a scale that is not positive.

    >>> import pyro, torch, bayesnas as bn
    >>> pyro.clear_param_store()
    >>> net = bn.models.GaussianNet(bn.nn.mlp([4, 8, 3]))
    >>> svi = pyro.infer.SVI(
    ...     kl_weighted(net.model, 0.1), kl_weighted(net.guide, 0.1),
    ...     pyro.optim.Adam({"lr": 1e-3}), pyro.infer.TraceMeanField_ELBO())
    >>> loss = svi.step(torch.zeros(5, 4), torch.zeros(5, dtype=torch.long))
    >>> pyro.clear_param_store()
    """
    data_scale = positive("data_scale", data_scale)
    if not isinstance(kl_weight, Tensor):
        kl_weight = non_negative("kl_weight", kl_weight)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with KLWeight(kl_weight, summed_out), DataScale(data_scale, follows_batch):
            return fn(*args, **kwargs)

    return wrapped
