"""Stages on the way to a smaller network: what is removed, fitted on and measured."""

from __future__ import annotations

import copy
import math
import warnings
from collections import OrderedDict
from dataclasses import dataclass, replace

from torch import Tensor, nn

from bayesnas.data import Split
from bayesnas.inference.compression.compressed import weight_count
from bayesnas.inference.compression.smaller_net import shrunk
from bayesnas.inference.posterior.posterior import Posterior
from bayesnas.models.compression.grouped_weights import GroupedWeights
from bayesnas.models.compression.threshold_sweep import mean_loss
from bayesnas.nn.modules.gaussian_noise import GaussianNoise
from bayesnas.nn.modules.select_inputs import SelectInputs
from bayesnas.runtime.interrupt import InterruptedFitWarning

_PASSES_ON = (GaussianNoise, nn.Identity, nn.Flatten)


@dataclass(frozen=True)
class Stage:
    """A posterior on a network of some size, and its loss on validation data.

    Attributes:
        posterior: on the weights.
        inputs: which inputs the network reads, ``[inputs]``; None for all.
        loss: mean loss of the posterior means on the validation data.
        error: its standard error.
    """

    posterior: Posterior
    inputs: Tensor | None
    loss: float
    error: float

    def module(self) -> nn.Module:
        """A plain module that takes all inputs."""
        net = without_noise(self.posterior.compact()).eval()
        if self.inputs is None:
            return net
        return nn.Sequential(nn.Flatten(), SelectInputs(self.inputs.tolist()), net).eval()

    def weights(self) -> int:
        """Numbers in its matrices and kernels."""
        return weight_count(self.posterior.compact())


@dataclass(frozen=True)
class Effort:
    """How long a fit takes, in passes over the sample or in steps, whichever is more.

    Attributes:
        epochs: at least so many passes.
        steps: at least so many steps.
    """

    epochs: int
    steps: int

    def of(self, examples: int, batch_size: int) -> int:
        """Passes over a sample of this size."""
        return max(self.epochs, math.ceil(self.steps / math.ceil(examples / batch_size)))


class Descent:
    """Fits on, and makes smaller, what is fitted; knows the data.

    Args:
        train: training data.
        held_out: validation data.
        lr: learning rate at the start of every fit.
        compile: of the fits.
        progress: whether they show a bar.
    """

    def __init__(
        self, train: Split, held_out: Split, lr: float, compile: str | bool, progress: bool
    ) -> None:
        """Keep the data and the options; see the class."""
        self.train, self.held_out = train, held_out
        self._lr, self._compile, self._progress = lr, compile, progress

    def measured(self, posterior: Posterior, inputs: Tensor | None) -> Stage:
        """The stage of a posterior."""
        x, y = _seen(self.held_out, inputs)
        like = posterior.example[0]
        assert isinstance(posterior.model, GroupedWeights)
        loss, error = mean_loss(posterior.model, x.to(like.device), y.to(like.device))
        return Stage(posterior, inputs, loss, error)

    def smaller(self, stage: Stage, share: float) -> Stage:
        """With at most a share of the weights that are left; the loss is as before.

        Raises:
            ValueError: where a layer would lose all its groups.
        """
        masks = stage.posterior.model.keep_masks().values()
        kept, total = sum(int(m.sum()) for m in masks), sum(m.numel() for m in masks)
        pruned = stage.posterior.prune(fraction=1 - share * kept / total, by="group")
        if not _can_shrink(pruned.model, self.train.x):
            return replace(stage, posterior=pruned)
        posterior, inputs = shrunk(pruned)
        if inputs is not None and stage.inputs is not None:
            inputs = stage.inputs[inputs]
        return replace(stage, posterior=posterior, inputs=inputs)

    def refined(self, stage: Stage, kl_weight: float, effort: Effort) -> Stage:
        """Fitted on."""
        x, y = _seen(self.train, stage.inputs)
        with warnings.catch_warnings():
            warnings.simplefilter("error", InterruptedFitWarning)  # half a fit is no result
            batch_size = stage.posterior.settings.batch_size
            posterior = stage.posterior.refine(
                Split(x, y, self.train.info),
                kl_weight=kl_weight,
                epochs=effort.of(len(x), batch_size),
                lr=self._lr,
                schedule="cosine",
                compile=self._compile,
                progress=self._progress,
            )
        return self.measured(posterior, stage.inputs)


def _can_shrink(model: object, x: Tensor) -> bool:
    """Whether a model's network is a chain whose first layer reads the columns of ``x`` itself.

    For others the weights that are removed stay in the network as zeros until the end, which is
    slower but the same.
    """
    net = getattr(model, "net", None)
    if not isinstance(net, nn.Sequential) or any(list(m.children()) for m in net):
        return False
    first = next((m for m in net if not isinstance(m, _PASSES_ON)), None)
    return isinstance(first, nn.Conv2d) or (isinstance(first, nn.Linear) and x.ndim == 2)


def with_noise(net: nn.Module, scale: float) -> nn.Module:
    """A copy of a chain with Gaussian noise in front, which acts in training alone."""
    net = copy.deepcopy(net)
    if not scale:
        return net
    return nn.Sequential(OrderedDict(noise=GaussianNoise(scale), **dict(net.named_children())))


def without_noise(net: nn.Module) -> nn.Module:
    """A chain without the noise in front."""
    children = dict(net.named_children())
    if not isinstance(net, nn.Sequential) or not isinstance(children.get("noise"), GaussianNoise):
        return net
    return nn.Sequential(OrderedDict((n, m) for n, m in children.items() if n != "noise"))


def flattened(net: nn.Module, data: Split) -> Split:
    """Data of a network that begins with flattening them, flat."""
    first = next((m for m in net.children() if not isinstance(m, GaussianNoise)), None)
    if not isinstance(net, nn.Sequential) or not isinstance(first, nn.Flatten):
        return data
    return replace(data, x=first(data.x)) if first.start_dim == 1 else data


def _seen(data: Split, inputs: Tensor | None) -> tuple[Tensor, Tensor]:
    return (data.x if inputs is None else data.x[:, inputs]), data.y
