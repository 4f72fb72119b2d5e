"""The files of one prior and seed: made where they are not there yet, else read."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor, nn

import bayesnas as bn
from bayesnas.data import Split
from bayesnas.inference import Posterior
from bayesnas.inference.compression.relative_entropy.prior_scales import use_best_prior
from bayesnas.nn import SelectInputs
from bayesnas.reproductions.base import Request
from bayesnas.reproductions.bayesian_compression.fits import COMPILE, Fitted, Start
from bayesnas.reproductions.small_nets.settings import SmallNet
from bayesnas.runtime.interrupt import InterruptedFitWarning

INITIAL_SCALE = 0.02


class Codes:
    """The way of one net, prior and seed, in a folder: each step is kept once it is done.

    Args:
        small: what is done.
        prior: of the scales of groups.
        seed: of everything random.
        train: training data.
        request: folder, device, progress, and whom to tell.
    """

    def __init__(
        self, small: SmallNet, prior: str, seed: int, train: Split, request: Request
    ) -> None:
        """Do nothing yet; see the class."""
        self._small, self._seed, self._train, self._request = small, seed, train, request
        self._folder = request.out / small.key / f"{prior}-{seed}"
        self._what = f"{small.recipe.title}, {prior}, seed {seed}"
        dense = request.out / small.key / f"{seed}.safetensors"
        fits = self._folder / "fits"
        self._dense, self._groups = dense.with_suffix(".bin"), self._folder / "groups.bin"
        self._start = Start(small.recipe, prior, seed, train, fits, dense, request)

    def files(self) -> Iterator[tuple[str, Path]]:
        """What has been done, and the file of :func:`bayesnas.encode` or of a code."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if not self._dense.exists():
            bn.encode(self._start.trained(), self._dense)
        yield "dense", self._dense
        net = self._without_groups()
        yield "groups removed", self._groups
        for size in sorted(self._small.coding.sizes, reverse=True):
            yield f"coded, {size:,} bytes", self._coded(net, size)

    def _without_groups(self) -> nn.Module:
        if not self._groups.exists():
            *_, last = self._start.fitted()
            bn.encode(with_its_inputs(last), self._groups)
        return bn.decode(self._groups)

    def _coded(self, net: nn.Module, size: int) -> Path:
        path = self._folder / f"{size}.bin"
        if path.exists():
            return path
        posterior, how = self._fitted(net), self._small.coding
        self._request.say(f"{self._what}: code in {size:,} bytes")
        bn.code(
            posterior,
            self._train,
            size=size,
            block_bits=how.block_bits,
            epochs=how.epochs,
            coding_epochs=how.coding_epochs,
            rounds=how.rounds,
            **self._options(),
        ).encode(path)
        return path

    def _fitted(self, net: nn.Module) -> Posterior:
        how = self._small.coding
        model = bn.models.GaussianNet(
            net, prior_scale="learned", initial_loc="net", initial_scale=INITIAL_SCALE
        )
        use_best_prior(model)
        with warnings.catch_warnings():
            warnings.simplefilter("error", InterruptedFitWarning)  # half a fit is no result
            posterior = bn.fit(
                model,
                self._train,
                kl_weight=how.kl_weight,
                epochs=how.fit_epochs,
                compile=COMPILE,
                out=self._folder / "fit",
                resume=True,
                **self._options(),
            )
        assert isinstance(posterior, Posterior)
        return posterior

    def _options(self) -> dict[str, Any]:
        return {
            "lr": self._small.coding.lr,
            "batch_size": self._small.recipe.batch_size,
            "seed": self._seed,
            "device": self._request.device,
            "progress": self._request.progress,
        }


def with_its_inputs(fitted: Fitted) -> nn.Module:
    """The means of a stage as a plain net that takes all inputs and reads those that are left."""
    net = reading_what_it_needs(fitted.posterior.compact())
    if fitted.inputs is None:
        return net
    layers = dict(net.named_children())
    named = OrderedDict(inputs=SelectInputs(fitted.inputs.tolist()), **layers)
    return nn.Sequential(named).eval()


def reading_what_it_needs(net: nn.Module) -> nn.Module:
    """The same net without the columns of zeros of its linear layers.

    They are places of a filter's map of which others are read. As weights of a posterior they
    would be coded, and be no zeros in the file.

    Args:
        net: a ``Sequential``; it stays as it is.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    >>> net[1].weight.data[:, [0, 3]] = 0
    >>> smaller = reading_what_it_needs(net)
    >>> smaller[1].indices, smaller[2].weight.shape
    ([1, 2], torch.Size([3, 2]))
    """
    named: OrderedDict[str, nn.Module] = OrderedDict()
    for name, layer in net.named_children():
        if isinstance(layer, nn.Linear) and not bool(layer.weight.any(0).all()):
            read = layer.weight.any(0).nonzero().flatten()
            named[f"{name}_inputs"] = SelectInputs(read.tolist())
            named[name] = _of_inputs(layer, read)
        else:
            named[name] = layer
    return nn.Sequential(named).train(net.training)


def _of_inputs(layer: nn.Linear, inputs: Tensor) -> nn.Linear:
    smaller = nn.Linear(len(inputs), layer.out_features).to(layer.weight)
    smaller.weight = nn.Parameter(layer.weight.detach()[:, inputs])
    smaller.bias = layer.bias
    return smaller
