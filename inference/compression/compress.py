"""One call from a network to the smallest one that is as good on validation data."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from bayesnas.checks import choice, flag, fraction_in, non_negative, seed_number
from bayesnas.data import Split
from bayesnas.data.holdout import hold_out
from bayesnas.inference.compression.compressed import Compressed, weight_count
from bayesnas.inference.compression.one_standard_error import largest_good_loss, smallest_good
from bayesnas.inference.compression.plain_networks.pretraining import Pretraining, pretrained
from bayesnas.inference.compression.stages import Descent, Effort, Stage, flattened, with_noise
from bayesnas.inference.config.inputs import Data, checked_tensors
from bayesnas.inference.fit import fit
from bayesnas.inference.posterior.posterior import Posterior
from bayesnas.likelihoods import AnyLikelihood
from bayesnas.models.compression.bayesian_compression import PRIORS, BayesianCompressionNet
from bayesnas.models.compression.threshold_sweep import losses_of
from bayesnas.models.networks.gaussian import GaussianNet
from bayesnas.nn.modules.stochastic_layers import is_linear_or_convolution
from bayesnas.runtime.device import resolve_device
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr

_LOG = logging.getLogger("bayesnas")

Prior = Literal["normal-jeffreys", "horseshoe", "log-uniform-truncated"]

# Chosen on held-out rows of digits and MNIST; see docs/models/bayesian-compression.md.
_PRETRAINING, _DROPOUT, _PRETRAINING_LR = Effort(20, 2000), 0.2, 2e-3
_NOISE = (0.0, 0.5)  # on the inputs, in standard deviations of theirs
_FIRST, _FIRST_KL_WEIGHT, _INITIAL_SCALE = Effort(4, 600), 0.05, 0.05
_SORTING, _SORTING_KL_WEIGHT = Effort(4, 600), 0.1
_SHORT, _LONG, _KL_WEIGHT = Effort(4, 400), Effort(30, 3000), 0.03
_LR = 5e-3
_STEP_DOWN, _SHORTEST_STEP = 0.6, 0.9  # share of the weights that a stage leaves
_MOST_STAGES = 16
_COMPILE: str | bool = "trace"  # stages are too short for the compiler


@typed(unchecked=("net", "data", "validation", "likelihood"))
def compress(
    net: nn.Module,
    data: Data,
    *,
    prior: Prior = "horseshoe",
    likelihood: AnyLikelihood = "categorical",
    noise_scale: float | None = None,
    validation: Data | float = 0.1,
    tolerance: float = 1.0,
    seed: int = 0,
    device: str | torch.device = "auto",
    progress: bool = True,
) -> Compressed:
    r"""Make a network as small as validation data allow, by whole units and filters.

    The network is trained by maximum likelihood with dropout, and noise on its inputs where that
    does better on validation data, from the weights that it has. A
    :class:`~bayesnas.models.BayesianCompressionNet` is fitted from there, then goes down in stages:
    the groups with the smallest scales are removed, and what is left is fitted on. It ends with the
    smallest network whose validation loss is within ``tolerance`` standard errors of the lowest on
    the way (the one-standard-error rule of Breiman, Friedman, Olshen, Stone, 1984).

    Args:
        net: any network that :class:`~bayesnas.models.BayesianCompressionNet` takes; it is copied
            and never changed.
        data: training data: a part of a data set, or a pair ``(x, y)``.
        prior: of the scales of groups.
        likelihood: of the targets, as for the model.
        noise_scale: for ``"gaussian"``, likewise.
        validation: data that sizes are chosen on, or the share of ``data`` that is held out for
            it, in (0, 1), each class in proportion.
        tolerance: standard errors that the loss may lie above the lowest.
        seed: of all that is random.
        device: where to fit.
        progress: show a bar for every fit, where stderr is a terminal.

    Returns:
        the smaller network, the posterior on its weights, and every stage on the way.

    Raises:
        ValueError, TypeError: naming an argument that does not fit.

    References:
        Louizos, Ullrich, Welling, *Bayesian compression for deep learning*, NIPS 2017, for the
        model; stages and the choice of the size are ours.

    >>> import bayesnas as bn
    >>> small = bn.compress(bn.nn.mlp([64, 20, 10]), bn.data.load("digits").train)  # doctest: +SKIP
    >>> torch.save(small.module.state_dict(), "small.pt")  # doctest: +SKIP
    """
    choice("prior", prior, PRIORS)
    tolerance, seed = non_negative("tolerance", tolerance), seed_number("seed", seed)
    flag("progress", progress)
    model = BayesianCompressionNet(net, prior, likelihood=likelihood, noise_scale=noise_scale)
    parts = _parts(model, data, validation, seed)
    train, held_out = (flattened(net, part) for part in parts)
    where = resolve_device(device)
    trained = _trained(net, model, train, held_out, seed, where)
    first = _first_fit(trained, model, train, prior, seed, where, progress)
    descent = Descent(train, held_out, _LR, _COMPILE, progress)
    stages = list(_stages(descent, first, tolerance))
    limit = _limit(stages, tolerance)
    weights = [stage.weights() for stage in stages]
    chosen = smallest_good([stage.loss for stage in stages], weights, limit)
    end = stages[chosen]
    return Compressed(
        end.module(),
        end.posterior,
        _table(stages, chosen),
        stages[0].module(),
        limit,
        parts[0].info,
    )


def _parts(
    model: BayesianCompressionNet, data: Data, validation: Data | float, seed: int
) -> tuple[Split, Split]:
    train = checked_tensors(model, data, "data")
    if not isinstance(validation, (int, float)):
        return train, checked_tensors(model, validation, "validation")
    share = fraction_in("validation", validation, "(0, 1)")
    count = max(1, round(share * len(train)))
    labels = train.y if train.info.task == "classification" and train.y.ndim == 1 else None
    stay, aside = hold_out(len(train), count, seed, labels)
    return train.rows(stay), train.rows(aside)


def _trained(
    net: nn.Module,
    model: BayesianCompressionNet,
    train: Split,
    held_out: Split,
    seed: int,
    device: torch.device,
) -> nn.Module:
    """The net by maximum likelihood, with input noise where held-out rows are the better for it."""
    size, likelihood = _batch_size(train), model.likelihood
    epochs = _PRETRAINING.of(len(train), size)
    candidates = []
    for noise in (
        _NOISE if isinstance(net, nn.Sequential) and train.x.is_floating_point() else (0.0,)
    ):
        build = partial(with_noise, net, noise * float(train.x.std()))
        layers = [m for name, m in build().named_modules() if is_linear_or_convolution(name, m)]
        inner = [isinstance(layer, nn.Linear) and index > 0 for index, layer in enumerate(layers)]
        how = Pretraining(epochs, _PRETRAINING_LR, tuple(_DROPOUT * is_inner for is_inner in inner))
        _LOG.info("compress: %d epochs of maximum likelihood, noise %g", epochs, noise)
        trained = pretrained(build, copy.deepcopy(likelihood), train, how, size, seed, device)
        plain = GaussianNet(trained, stochastic="none", **model.likelihood_config())
        candidates.append((losses_of(plain, *held_out).mean().item(), trained))
    return min(candidates, key=lambda each: each[0])[1]


def _first_fit(
    trained: nn.Module,
    model: BayesianCompressionNet,
    train: Split,
    prior: Prior,
    seed: int,
    device: torch.device,
    progress: bool,
) -> Posterior:
    size = _batch_size(train)
    whole = BayesianCompressionNet(
        trained, prior, initial_loc="net", initial_scale=_INITIAL_SCALE, **model.likelihood_config()
    )
    post = fit(
        whole,
        train,
        kl_weight=_FIRST_KL_WEIGHT,
        epochs=_FIRST.of(len(train), size),
        lr=_LR,
        batch_size=size,
        seed=seed,
        device=device,
        compile=_COMPILE,
        progress=progress,
    )
    assert isinstance(post, Posterior)
    return post


def _stages(descent: Descent, first: Posterior, tolerance: float) -> Iterator[Stage]:
    """The whole network, then smaller and smaller ones, until one is worse."""
    current = lowest = descent.measured(first, None)
    yield current
    current = descent.refined(current, _SORTING_KL_WEIGHT, _SORTING)  # large and small groups part
    share = _STEP_DOWN
    for _ in range(_MOST_STAGES):
        try:
            smaller = descent.smaller(current, share)
        except ValueError:  # a layer would lose all its groups
            if share > _SHORTEST_STEP:
                return
            share = math.sqrt(share)
            continue
        stage = descent.refined(smaller, _KL_WEIGHT, _SHORT)
        if stage.loss > _limit([lowest], tolerance):
            stage = descent.refined(stage, _KL_WEIGHT, _LONG)
        _LOG.info("compress: %s weights, validation loss %.4g", f"{stage.weights():,}", stage.loss)
        yield stage
        if stage.loss <= _limit([lowest], tolerance):
            lowest = min(lowest, stage, key=lambda each: each.loss)
            current = stage
        else:
            share = math.sqrt(share)  # a shorter step from the last that was good
            if share > _SHORTEST_STEP:
                return


def _limit(stages: Sequence[Stage], tolerance: float) -> float:
    return largest_good_loss([(stage.loss, stage.error) for stage in stages], tolerance)


def _batch_size(train: Split) -> int:
    """256 of a large sample; of a small one so few that an epoch has 16 steps."""
    return max(16, min(256, len(train) // 16))


def _table(stages: list[Stage], chosen: int) -> xr.Dataset:
    import xarray as xr

    modules = [stage.module() for stage in stages]
    columns = {
        "weights": [weight_count(module) for module in modules],
        "parameters": [sum(p.numel() for p in module.parameters()) for module in modules],
        "loss": [stage.loss for stage in stages],
        "loss_error": [stage.error for stage in stages],
        "chosen": [index == chosen for index in range(len(stages))],
    }
    return xr.Dataset({name: ("stage", values) for name, values in columns.items()})
