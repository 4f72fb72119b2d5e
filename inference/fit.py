"""Fitting a model: the λ-weighted bound maximised by stochastic gradients."""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Unpack, overload

import torch

from bayesnas.checks import whole_number
from bayesnas.data import Split
from bayesnas.distributions import LogUniform
from bayesnas.inference.amortized import AmortizedPosterior
from bayesnas.inference.bilevel import Bilevel, upper_parameters
from bayesnas.inference.chains import FittedChains
from bayesnas.inference.description import RunDescription, state_hash
from bayesnas.inference.inputs import Data, check_alike, checked_data
from bayesnas.inference.loading import load, posterior_of
from bayesnas.inference.loop import Loop, StepEvent
from bayesnas.inference.optimizers import OptimizerFactory, try_out_optimizer
from bayesnas.inference.options import FitOptions
from bayesnas.inference.posterior import Posterior
from bayesnas.inference.posteriors import Posteriors
from bayesnas.inference.runs import RunFolder
from bayesnas.inference.session import resolve_device
from bayesnas.inference.settings import Batched, Schedule, make_settings
from bayesnas.inference.training import Training
from bayesnas.models.base import BayesianModel
from bayesnas.nn.maps import Amortize


@overload
def fit(
    model: BayesianModel, data: Data, *, kl_weight: LogUniform, **options: Unpack[FitOptions]
) -> AmortizedPosterior: ...


@overload
def fit(
    model: BayesianModel, data: Data, *, kl_weight: Sequence[float], **options: Unpack[FitOptions]
) -> Posteriors: ...


@overload
def fit(
    model: BayesianModel, data: Data, *, kl_weight: float = 1.0, **options: Unpack[FitOptions]
) -> Posterior: ...


def fit(
    model: BayesianModel,
    data: Data,
    *,
    kl_weight: float | Sequence[float] | LogUniform = 1.0,
    kl_warmup: float = 0.0,
    amortize: Amortize | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int = 256,
    lr: float = 1e-3,
    schedule: Schedule = "cosine",
    clip: float | None = None,
    optimizer: OptimizerFactory = torch.optim.Adam,
    restarts: int = 1,
    batched: Batched = "auto",
    validation: Data | None = None,
    patience: int | None = None,
    bilevel: Bilevel | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    compile: str | bool = "auto",
    precision: str = "float32",
    progress: bool = True,
    on_step: Callable[[StepEvent], None] | None = None,
    out: str | Path | None = None,
    checkpoint_every: int = 500,
    resume: bool = False,
) -> Posterior | Posteriors | AmortizedPosterior:
    r"""Maximise :math:`E_{q(w)} \log p(y|x,w) - \lambda\, KL(q(w) \| p(w))`.

    Both terms are sums: the likelihood over the whole sample (a minibatch of B of N examples
    is scaled by N/B), the KL over all weights. Libraries that average the likelihood have
    λ/N where we have λ. λ = 1 is the evidence lower bound, λ = 0 maximum likelihood.

    The model given is copied and stays as it is, as do Pyro's parameter store and torch's
    random state. One seed gives the same numbers on the same machine, and chain c of a fit
    with many restarts is the same whatever their number.

    Args:
        model: a model of the zoo, or a :class:`~bayesnas.models.PyroPair`.
        data: ``data.train`` of a data set, or a pair ``(x, y)`` of tensors.
        kl_weight: λ ≥ 0; or a list of them, each fitted by itself, with the numbers that a fit
            at it alone has; or a range, ``bayesnas.LogUniform(low, high)``: then every step is
            at a λ of its own, and one fit serves the whole range.
        kl_warmup: fraction of the steps over which λ rises linearly from 0 to its value.
        amortize: for a range of λ, how the parameters depend on it: ``"piecewise"`` (linear in
            log λ between knots; the default), ``"linear"``, ``"low-rank"``, one of
            ``bayesnas.nn.Piecewise``, ``Linear`` and ``LowRank`` with its options, or a function
            that makes an ``nn.Module`` from the initial parameters, one vector ``[P]``: called
            with t in [0, 1], the normalised log λ as a tensor ``[1]``, it gives them at that λ.
        epochs: passes over the sample; or
        steps: optimiser steps (one of the two).
        batch_size: examples a step.
        lr: learning rate at the start.
        schedule: ``"cosine"`` (down to 0), ``"constant"``, or a function of the fraction of
            steps done, in [0, 1), that gives a factor on ``lr``.
        clip: clip every gradient entry, of the loss per example, to [−clip, clip].
        optimizer: makes the optimiser: ``optimizer(parameters, lr=lr)``. The schedule scales
            the learning rate of each of its groups.
        restarts: independent fits from different starts; the chains of the export.
        batched: whether restarts and the fits of a list of λ take their steps together, as one
            step over stacked tensors. Every chain keeps its own random numbers and order of
            examples, so it gets the same numbers to rounding. ``"auto"`` does it on a GPU; what
            can't be batched is trained one after the other, and the log of ``bayesnas`` says why.
        validation: data to measure the mean negative log-likelihood on after every epoch.
        patience: stop a chain after so many epochs without a better one, and return its best
            epoch; needs ``validation``. Over a range of λ the mean over five of them counts.
        bilevel: of a two-level fit: hyperparameters or structure are trained on ``validation``
            (which is then not measured), the other parameters on ``data``.
        seed: of everything random.
        device: ``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"``.
        compile: ``"trace"`` records a step once as plain tensor operations, ``"inductor"``
            also compiles it (some seconds, once), ``"cudagraph"`` replays it on a GPU as one
            CUDA graph, False runs every step through Pyro;
            ``"auto"`` decides by the number of steps. The numbers agree to rounding. What
            can't be recorded runs through Pyro, and the log of ``bayesnas`` says so.
        precision: of the matrix products: ``"bfloat16"`` rounds their factors where the step is
            recorded, but for the variances of local reparameterisation; meant for a GPU.
        progress: show a bar, where stderr is a terminal.
        on_step: called after every step with a :class:`StepEvent`.
        out: folder of the run, for checkpoints and the result; it must not hold another run.
        checkpoint_every: steps between checkpoints in ``out``; the end of a chain that is not
            the last makes one too.
        resume: go on from the checkpoint in ``out`` with the same arguments, from the start
            where there is none yet; the numbers are those of an unbroken fit on the same
            machine. A finished run is loaded. A function given as ``schedule`` is taken to be
            the same.

    Returns:
        the fitted :class:`Posterior`; of a list of λ :class:`Posteriors`, over a range an
        :class:`AmortizedPosterior`. After Ctrl-C without ``out``, what there is, with a warning.

    Raises:
        ValueError, TypeError: before any training, naming an argument that does not fit.
        FileExistsError: if ``out`` holds a run and ``resume`` is false.
        OSError: before any training, where ``out`` can't be written. Later a full disk only
            warns, and the posterior is returned.
        NonFiniteLossError: at the first step whose bound is NaN or infinite.
        KeyboardInterrupt: after Ctrl-C with ``out``, once the checkpoint is written.

    References:
        Graves, *Practical variational inference for neural networks*, 2011; Grebenkova,
        Bakhteev, Strijov, *Variational deep learning model optimization with complexity
        control*, 2021.

    >>> import bayesnas as bn
    >>> data = bn.data.load("digits")
    >>> model = bn.models.GaussianNet(bn.nn.mlp([64, 20, 10]))
    >>> post = bn.fit(model, data.train, epochs=2, lr=1e-2, seed=0)
    >>> post.evaluate(data.test)["accuracy"] > 0.5
    True
    """
    _check_arguments(model, on_step, out, checkpoint_every, resume)
    model = copy.deepcopy(model)  # what becomes of the caller's is no matter from here on
    where = resolve_device(device)
    train = checked_data(model, data, "data")
    held_out = None if validation is None else checked_data(model, validation, "validation")
    if held_out is not None:
        check_alike(train, held_out)
    elif patience is not None:
        raise ValueError("patience needs validation=, data that is not trained on")
    above = _upper_level(model, bilevel, held_out, patience)
    settings = make_settings(
        examples=len(train),
        kl_weight=kl_weight,
        kl_warmup=kl_warmup,
        amortize=amortize,
        epochs=epochs,
        steps=steps,
        batch_size=batch_size,
        lr=lr,
        schedule=schedule,
        clip=clip,
        restarts=restarts,
        batched=batched,
        patience=patience,
        seed=seed,
        compile=compile,
        precision=precision,
    )
    if settings.compile == "cudagraph" and where.type != "cuda":
        raise ValueError(f"compile='cudagraph' needs a GPU, got device={where.type!r}")
    if bilevel is not None:
        settings = dataclasses.replace(settings, bilevel=bilevel.config(above))
    loop = Loop(
        model,
        train.to(where),
        None if held_out is None else held_out.to(where),
        settings,
        optimizer,
        schedule,
        on_step,
        int(checkpoint_every),
        bilevel=bilevel,
        batched=batched,
    )
    first = loop.chain(0)
    chosen = try_out_optimizer(optimizer, first.parameters, settings.lr, saved=out is not None)
    if bilevel is not None and first.upper is not None:
        leaves = first.upper.trained.leaves
        words = try_out_optimizer(bilevel.optimizer, leaves, bilevel.lr, saved=out is not None)
        settings = dataclasses.replace(settings, bilevel=bilevel.config(above, words))
    run = RunDescription(
        model,
        dataclasses.replace(settings, optimizer=chosen),
        train.info,
        train.fingerprint,
        "" if held_out is None else held_out.fingerprint,
        _start(first, where),
    )
    folder = None if out is None else RunFolder.open(out, run, resume=resume)
    if folder is not None and folder.finished:
        folder.tidy()
        return load(folder.path, model=model, amortize=amortize, device=where)
    records = loop.run(first, folder, progress)
    shown = None if first.model.row_sites.whole else 2
    example = (train.x[:shown].detach().clone(), train.y[:shown].detach().clone())
    posterior = posterior_of(run, records, example, where)
    if folder is not None:
        _save_result(folder, posterior)
    return posterior


def _check_arguments(
    model: BayesianModel,
    on_step: Callable[[StepEvent], None] | None,
    out: str | Path | None,
    checkpoint_every: int,
    resume: bool,
) -> None:
    if not isinstance(model, BayesianModel):
        raise TypeError(
            "model must be one of bayesnas.models, such as GaussianNet(net), "
            f"got {type(model).__name__}"
        )
    if on_step is not None and not callable(on_step):
        raise TypeError(f"on_step must be a function of a StepEvent, got {on_step!r}")
    if resume and out is None:
        raise ValueError("resume needs out=, the folder of the run to go on with")
    whole_number("checkpoint_every", checkpoint_every, 1)


def _upper_level(
    model: BayesianModel, bilevel: Bilevel | None, held_out: Split | None, patience: int | None
) -> tuple[str, ...]:
    """Names of the parameters on the upper level; none of a fit that has one level."""
    if bilevel is None:
        return ()
    if not isinstance(bilevel, Bilevel):
        raise TypeError(f"bilevel must be a bayesnas.Bilevel, got {bilevel!r}")
    if held_out is None:
        raise ValueError("bilevel needs validation=, data that the upper level is trained on")
    if patience is not None:
        raise ValueError(
            "patience needs data that no level is trained on; with bilevel, validation is"
        )
    return upper_parameters(model, bilevel.parameters)


def _start(chain: Training, device: torch.device) -> str:
    return f"{device.type}:{state_hash(chain.model.state_dict())}"


def _save_result(folder: RunFolder, posterior: FittedChains) -> None:
    try:
        folder.finish(posterior.records(), posterior.example)
    except OSError as error:
        warnings.warn(
            f"the fit is done but not saved: {error}. The posterior is returned all the same "
            "(post.save(folder) writes it), and resume=True goes on from the last checkpoint",
            RuntimeWarning,
            stacklevel=3,
        )
