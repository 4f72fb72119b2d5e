"""A mean-field posterior trained on, the KL of every block of weights steered to a budget."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bayesnas.coding.weight_code import Layout
from bayesnas.data import Split
from bayesnas.inference.compression.relative_entropy.tempering import tempered
from bayesnas.models.networks.base import network_outputs
from bayesnas.models.networks.gaussian import GaussianNet
from bayesnas.nn.lazy.gaussian_tensor import GaussianTensor

Floats = npt.NDArray[np.float64]
_MATRIX = 2  # dims
_LEAST_RATE = 0.1  # over the first


@dataclass(frozen=True)
class Steering:
    """How a posterior is trained on.

    Attributes:
        budget: nats that the KL of each block is steered to.
        kl_weight: λ of every block at the start, that of the posterior as it comes.
        rate: by which ln λ of a block changes in a step, at most, over the learning rate: Adam
            moves ln σ by no more than that, and λ must not run ahead of what it steers.
        lr: learning rate of Adam.
        batch_size: examples in a batch.
    """

    budget: float
    kl_weight: float
    lr: float
    batch_size: int
    rate: float = 2.0


class SteeredPosterior:
    r"""Weights of which some are fixed, the others Gaussian, with a KL weight for each block.

    A step of Adam minimises

    .. math:: -E_q \ln p(y | x, w) + \sum_b \lambda_b KL_b, \qquad
              \ln \lambda_b \leftarrow \ln \lambda_b + \eta\, [KL_b / C - 1]_{-1}^{1}

    over the weights that are not fixed: λ of a block rises while its KL is above the budget C, and
    falls below it (Havasi et al. 2019, who add a constant; here it is small near the budget).

    Args:
        model: trained in place, where it lies.
        layout: the blocks.
        sample: training data, where the model lies.
        how: step sizes.
    """

    def __init__(self, model: GaussianNet, layout: Layout, sample: Split, how: Steering) -> None:
        """Give every block the same KL weight; see the class."""
        self._model, self._layout, self._sample, self._how = model, layout, sample, how
        device = sample.y.device
        blocks = np.empty(layout.weights, dtype=np.int64)
        for block, places in enumerate(layout.members()):
            blocks[places] = block
        self._block = torch.from_numpy(blocks).to(device)
        self._log_weights = torch.full(
            (layout.blocks,), float(np.log(how.kl_weight)), device=device, dtype=model.dtype
        )
        self._free = torch.ones(layout.weights, dtype=torch.bool, device=device)
        self._fixed = torch.zeros(layout.weights, dtype=model.dtype, device=device)
        self._optimizer = torch.optim.Adam(
            [p for p in model.parameters() if p.requires_grad], how.lr
        )
        self._rows = _endless(len(sample), how.batch_size, device)

    @torch.no_grad()
    def use_budget(self) -> None:
        """Lower λ and the deviations of the blocks whose KL is below what they have, at once.

        See :func:`~bayesnas.inference.compression.relative_entropy.tempering.tempered`. A KL that
        is above comes down step by step: weights that go at once hardly come back.
        """
        loc, scale, prior = (torch.from_numpy(v).to(self._fixed) for v in self.posterior())
        deviations, factor = tempered(
            loc, scale, prior, self._block, self._layout.blocks, self._how.budget
        )
        self._log_weights -= factor.log()
        for site, values in self._layout.shaped(deviations.log()).items():
            name = f"{site}.log_scale"
            mask = self._layout.masks[site].to(values.device)
            kept = torch.where(mask, values, self._model.variational[name])
            self._model.variational.assign(name, kept)

    def train(self, steps: int) -> None:
        """Take so many steps; the caller seeds and restores random numbers."""
        self._model.train()
        for _, rows in zip(range(steps), self._rows, strict=False):
            self._step(self._sample.x[rows], self._sample.y[rows])
        self._model.eval()

    def slow_down(self, share: float) -> None:
        """Take smaller steps: by a cosine from the learning rate, at 0, to a tenth of it, at 1.

        What is fixed last has nothing after it that could make up for noise of the steps.
        """
        factor = _LEAST_RATE + (1 - _LEAST_RATE) * (1 + math.cos(math.pi * share)) / 2
        for group in self._optimizer.param_groups:
            group["lr"] = self._how.lr * factor

    def block_kl(self) -> Tensor:
        """KL of every block in nats, ``[blocks]``; 0 of those that are fixed."""
        posteriors = {s: self._model.posterior(s) for s in self._layout.masks}
        flat = self._layout.flat(
            {
                site: q.divergences(self._model.prior(site)).expand(q.event_shape)
                for site, q in posteriors.items()
            }
        )
        return flat.new_zeros(self._layout.blocks).index_add(0, self._block, flat * self._free)

    def kl_weights(self) -> Tensor:
        """λ of every block, ``[blocks]``."""
        return self._log_weights.exp()

    @torch.no_grad()
    def posterior(self) -> tuple[Floats, Floats, Floats]:
        """Means, deviations and prior deviations of the coded weights, each ``[weights]``."""
        posteriors = {site: self._model.posterior(site) for site in self._layout.masks}
        scales = self._model.weight_prior_scales()
        return (
            self._numbers({site: q.loc for site, q in posteriors.items()}),
            self._numbers({site: q.scale for site, q in posteriors.items()}),
            self._numbers({s: scales[s].expand(m.shape) for s, m in self._layout.masks.items()}),
        )

    def weights(self) -> dict[str, Tensor]:
        """Weights of a pass, by site, those that are fixed at their values.

        Matrices wait for a layer that integrates them out. A kernel is one draw for the batch, as
        it is one in the file: noise at every place of its maps is that of another model, and was
        more than half of the time of a step.
        """
        fixed = self._layout.shaped(self._fixed)
        free = self._layout.shaped(self._free)
        weights: dict[str, Tensor] = {}
        for site in self._layout.masks:
            q = self._model.posterior(site)
            loc = torch.where(free[site], q.loc, fixed[site])
            scale = q.scale * free[site]
            if q.local and loc.ndim <= _MATRIX:
                weights[site] = GaussianTensor(loc, scale)
            else:
                weights[site] = loc + scale * torch.randn_like(loc)
        return weights

    @torch.no_grad()
    def fix(self, places: npt.NDArray[np.int64], values: Tensor) -> None:
        """Give coded weights their final values, ``[places]``."""
        where = torch.from_numpy(places).to(self._free.device)
        self._fixed[where] = values.to(self._fixed)
        self._free[where] = False

    def _numbers(self, values: Mapping[str, Tensor]) -> Floats:
        numbers: Floats = self._layout.flat(values).double().cpu().numpy()
        return numbers

    def _step(self, x: Tensor, y: Tensor) -> None:
        self._optimizer.zero_grad()
        output = network_outputs(self._model.net, self.weights(), x)
        likelihood = self._model.likelihood
        log_lik = likelihood(output).log_prob(likelihood.observed(y, output)).sum() / len(x)
        kl = self.block_kl()
        loss = -log_lik + (self.kl_weights() * kl).sum() / len(self._sample)
        loss.backward()
        self._optimizer.step()
        over = (kl.detach() / self._how.budget - 1).clamp(-1, 1)
        self._log_weights += self._how.rate * self._how.lr * over


def _endless(count: int, batch_size: int, device: torch.device) -> Iterator[Tensor]:
    while True:
        yield from torch.randperm(count).to(device).split(batch_size)
