"""The fits of one start: from a trained net to a first fit, and from there down each way."""

from __future__ import annotations

import functools
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

import bayesnas as bn
from bayesnas.data import Split
from bayesnas.inference import Posterior
from bayesnas.inference.compression.plain_networks.pretraining import pretrained
from bayesnas.inference.compression.smaller_net import shrunk
from bayesnas.inference.runs.run_folder import RUN
from bayesnas.likelihoods import Categorical
from bayesnas.models import BayesianCompressionNet
from bayesnas.nn import load_net, save_net
from bayesnas.reproductions.base import Request
from bayesnas.reproductions.bayesian_compression.settings import Recipe, Stage
from bayesnas.runtime.device import resolve_device
from bayesnas.runtime.interrupt import InterruptedFitWarning
from bayesnas.tensor_files import read_json, write_json

_INPUTS = "inputs.json"
INITIAL_SCALE = 0.05
COMPILE: str | bool = "trace"  # stages of a few hundred steps are too short for the compiler


@dataclass(frozen=True)
class Fitted:
    """What a stage ends with.

    Attributes:
        way: ``"whole"``, ``"groups"`` or ``"weights"``.
        index: of the stage on its way.
        stage: what was done.
        posterior: on the physically smaller net.
        inputs: which inputs that net reads, ``[inputs]``; None for all.
    """

    way: str
    index: int
    stage: Stage
    posterior: Posterior
    inputs: Tensor | None

    def seen(self, x: Tensor) -> Tensor:
        """The part of all inputs that the net reads."""
        return x if self.inputs is None else x[:, self.inputs]


class Start:
    """The fits of one prior and seed, in a folder: made where they are not there yet, else read.

    Args:
        recipe: what is done.
        prior: of the scales of groups.
        seed: of everything random.
        train: training data.
        folder: of these fits.
        net: file of the trained net, which the priors share.
        request: device, progress, and whom to tell.
    """

    def __init__(
        self,
        recipe: Recipe,
        prior: str,
        seed: int,
        train: Split,
        folder: Path,
        net: Path,
        request: Request,
    ) -> None:
        """Fit nothing yet; see the class."""
        self.recipe, self.prior, self.seed = recipe, prior, seed
        self._train, self._folder, self._net, self._request = train, folder, net, request

    def fitted(self) -> Iterator[Fitted]:
        """The first fit, then the stages of each way."""
        latest = {"whole": self.first()}
        yield latest["whole"]
        for way, stages in self.recipe.ways.items():
            before = latest[self.recipe.begins(way)]
            for index, stage in enumerate(stages):
                before = latest[way] = self._stage(before, way, index, stage)
                yield before

    def trained(self) -> nn.Module:
        """The net trained by maximum likelihood."""
        if not self._net.exists():
            self._request.say(f"train {self.recipe.title} by maximum likelihood, seed {self.seed}")
            self._net.parent.mkdir(parents=True, exist_ok=True)
            device = resolve_device(self._request.device)
            net = pretrained_net(self.recipe, self._train, self.seed, device)
            save_net(net, self._net)
        return load_net(self._net)

    @functools.cached_property
    def size(self) -> int:
        """Number of weights of that net, biases left out."""
        named = self.trained().named_parameters()
        return sum(p.numel() for name, p in named if name.endswith("weight"))

    def first(self) -> Fitted:
        """The fit of the whole net."""
        stage, out = self.recipe.first, self._folder / "whole"
        self._tell(out, "whole", stage)
        model = BayesianCompressionNet(
            self.trained(), self.prior, initial_loc="net", initial_scale=INITIAL_SCALE
        )
        posterior = bn.fit(
            model,
            self._train,
            kl_weight=stage.kl_weight,
            kl_warmup=0.0,  # the net begins trained
            epochs=stage.epochs,
            lr=stage.lr,
            batch_size=self.recipe.batch_size,
            seed=self.seed,
            device=self._request.device,
            compile=COMPILE,
            progress=self._request.progress,
            out=out,
            resume=True,
        )
        return Fitted("whole", 0, stage, posterior, None)

    def _stage(self, before: Fitted, way: str, index: int, stage: Stage) -> Fitted:
        out = self._folder / f"{way}-{index}"
        if (out / RUN).exists():
            post = bn.load(out, device=self._request.device)
            assert isinstance(post, Posterior)
            stored = read_json(out / _INPUTS)["inputs"]
            inputs = None if stored is None else torch.tensor(stored, dtype=torch.long)
            return Fitted(way, index, stage, post, inputs)
        self._tell(out, way, stage)
        smaller = self._smaller(before, way, stage)
        data = Split(smaller.seen(self._train.x), self._train.y, self._train.info)
        with warnings.catch_warnings():
            warnings.simplefilter("error", InterruptedFitWarning)  # half a fit is no result
            posterior = smaller.posterior.refine(
                data,
                kl_weight=stage.kl_weight,
                epochs=stage.epochs,
                lr=stage.lr,
                schedule="cosine",
                compile=COMPILE,
                progress=self._request.progress,
            )
        fitted = Fitted(way, index, stage, posterior, smaller.inputs)
        _save_whole(fitted, out)
        return fitted

    def _smaller(self, before: Fitted, way: str, stage: Stage) -> Fitted:
        """Without the weights that a stage removes."""
        if stage.keep == 1:
            return before
        left = sum(mask.numel() for mask in before.posterior.model.keep_masks().values())
        pruned = before.posterior.prune(
            fraction=max(0.0, 1 - stage.keep * self.size / left),
            by="group" if way == "groups" else "density",
        )
        assert isinstance(pruned.model, BayesianCompressionNet)
        pruned.model.remove_unread(pruned.example[0])
        posterior, inputs = shrunk(pruned)
        if inputs is not None and before.inputs is not None:
            inputs = before.inputs[inputs]
        return Fitted(way, 0, stage, posterior, inputs)

    def _tell(self, out: Path, way: str, stage: Stage) -> None:
        if not (out / RUN).exists():
            what = (
                "" if stage.keep == 1 else f", {way} down to {100 * stage.keep:g} % of the weights"
            )
            self._request.say(
                f"{self.recipe.title}, {self.prior}, seed {self.seed}{what}, "
                f"λ = {stage.kl_weight:g}, {stage.epochs} epochs"
            )


def pretrained_net(recipe: Recipe, train: Split, seed: int, device: torch.device) -> nn.Module:
    """The net of a recipe, trained by maximum likelihood."""
    how, size = recipe.pretraining, recipe.batch_size
    return pretrained(recipe.net, Categorical(), train, how, size, seed, device)


def _save_whole(fitted: Fitted, out: Path) -> None:
    """Save a stage so that a crash leaves all of it or nothing."""
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    fitted.posterior.save(partial)
    inputs = None if fitted.inputs is None else fitted.inputs.tolist()
    write_json(partial / _INPUTS, {"inputs": inputs})
    partial.rename(out)
