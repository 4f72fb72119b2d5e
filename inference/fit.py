"""Fitting a model: the λ-weighted bound maximised by stochastic gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, Unpack, overload

import torch

from bayesnas.distributions import LogUniform, Uniform
from bayesnas.inference.bilevel.generalised_objective import GeneralisedObjective
from bayesnas.inference.bilevel.options import Bilevel
from bayesnas.inference.config.distributed import Distributed
from bayesnas.inference.config.example_weights import ClassWeight
from bayesnas.inference.config.inputs import Data
from bayesnas.inference.config.optimizer import OptimizerFactory
from bayesnas.inference.config.schedules import Schedule
from bayesnas.inference.config.settings import Batched
from bayesnas.inference.posterior.amortized import AmortizedPosterior
from bayesnas.inference.posterior.choosing.kl_weight import fit_by_validation
from bayesnas.inference.posterior.kl_weight_list import Posteriors
from bayesnas.inference.posterior.load import posterior_of
from bayesnas.inference.posterior.posterior import Posterior
from bayesnas.inference.training.events import StepEvent
from bayesnas.inference.training.fit_options import FitArguments, FitOptions, KLWeight
from bayesnas.inference.training.run_fit import run_fit
from bayesnas.models.base import BayesianModel
from bayesnas.nn.hypernetworks.options import Amortize
from bayesnas.typed import typed


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
    model: BayesianModel,
    data: Data,
    *,
    kl_weight: float | Literal["auto", "validation"] = "auto",
    **options: Unpack[FitOptions],
) -> Posterior: ...


# What is left out is checked, and named, where the settings are read.
@typed(
    unchecked=(
        "model",
        "data",
        "validation",
        "bilevel",
        "objective",
        "sample_weight",
        "class_weight",
        "on_step",
        "kl_weight",
        "metaparameters",
        "schedule",
        "optimizer",
        "device",
        "batched",
        "compile",
        "distributed",
        "precision",
    )
)
def fit(
    model: BayesianModel,
    data: Data,
    *,
    kl_weight: KLWeight = "auto",
    kl_warmup: float | None = None,
    amortize: Amortize | None = None,
    metaparameters: Mapping[str, LogUniform | Uniform] | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    schedule: Schedule = "cosine",
    clip: float | None = None,
    optimizer: OptimizerFactory = torch.optim.Adam,
    restarts: int = 1,
    batched: Batched = "auto",
    validation: Data | None = None,
    patience: int | None = None,
    bilevel: Bilevel | None = None,
    objective: GeneralisedObjective | None = None,
    sample_weight: object = None,
    class_weight: ClassWeight | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    compile: str | bool = "auto",
    precision: str = "float32",
    distributed: Distributed | Literal["auto", False] = "auto",
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
        data: ``data.train`` of a data set, a pair ``(x, y)`` of tensors (x several of them, as a
            tuple or a dict, where the net takes more than one), or rows that are read when they are
            needed, of ``bayesnas.data.from_dataset``.
        kl_weight: λ ≥ 0; ``"auto"`` for that of the model, 1 but for ``BayesianCompressionNet``,
            whose is 0.1 from 1,000 examples on; or a list of them, each fitted by itself, with
            the numbers that a fit at it alone has; or a range, ``bayesnas.LogUniform(low, high)``:
            then every step is at a λ of its own, and one fit serves the whole range; or
            ``"validation"``: such a fit from 0.03 to 1, and of it the posterior at the λ that
            predicts ``validation`` as well as the best, the nearest to 1 but for chance
            (:func:`bayesnas.inference.choose_kl_weight`).
        kl_warmup: fraction of the steps over which λ rises linearly from 0 to its value; None for
            that of the model: at one λ half for gates and groups, over a range 0.3 for ``ArdVae``,
            else 0.
        amortize: for a range of λ, how the parameters depend on it: ``"piecewise"`` (linear in
            log λ between knots; the default but for ``ArdVae``), ``"curvature"``, ``"linear"``,
            ``"low-rank"``, one of ``bayesnas.nn.PiecewiseMap``, ``CurvatureMap``, ``LinearMap`` and
            ``LowRankMap`` with its options, or a function that makes an ``nn.Module`` from the
            initial parameters, one vector ``[P]``: called with t in [0, 1], the normalised log λ as
            a tensor ``[1]``, it gives them at that λ.
        metaparameters: ranges of numbers of the model besides λ, of which the parameters are to be
            functions too, by name (``model.metaparameters()`` lists them):
            ``{"prior_scale": bayesnas.LogUniform(0.1, 3)}``, or ``bayesnas.Uniform(low, high)``.
            Needs a range of λ; then t of ``amortize`` has a number for each.
        epochs: passes over the sample; or
        steps: optimiser steps; without either, as many as the model finds enough: 30 passes and
            3,000 steps at least, for most.
        batch_size: examples in a batch; None for that of the model, mostly 256.
        lr: learning rate at the start; None for that of a learned optimiser, else of the model:
            0.01 of nets; what it takes for these stands in ``model.fit_defaults``.
        schedule: ``"cosine"`` (down to 0), ``"constant"``, or a function of the fraction of
            steps done, in [0, 1), that gives a factor on ``lr``.
        clip: clip every gradient entry, of the loss per example, to [−clip, clip].
        optimizer: makes the optimiser: ``optimizer(parameters, lr=lr)``; also a
            ``bayesnas.inference.LearnedOptimizer``. The schedule scales the learning rate of each
            of its groups.
        restarts: independent fits from different starts; the chains of the export.
        batched: whether restarts and the fits of a list of λ take their steps together, as one
            step over stacked tensors. Every chain keeps its own random numbers and order of
            examples, so it gets the same numbers to rounding. ``"auto"`` does it on a GPU; what
            can't be batched is trained one after the other, and the log of ``bayesnas`` says why.
        validation: data to measure the mean negative log-likelihood on after every epoch; with
            ``kl_weight="validation"`` only at the end, unless ``patience`` is given.
        patience: stop a chain after so many epochs without a better one, and return its best
            epoch; needs ``validation``. Over a range of λ the mean over five of them counts.
        bilevel: of a bilevel fit: hyperparameters or structure are trained on ``validation``
            (which is then not measured), the other parameters on ``data``.
        objective: a generalised objective, whose coefficients take the place of ``kl_weight``: the
            hyperparameters of the prior are trained on a functional of their own.
        sample_weight: ``[n]`` numbers >= 0 by which the terms of the bound that belong to an
            example (its log-likelihood, the KL of its own latents) are multiplied; N is still the
            number of rows. Validation and ``Posterior.evaluate`` count all rows alike.
        class_weight: likewise by class: ``"balanced"``, n / (C · rows of the class); a dict; or
            one for each class.
        seed: of everything random.
        device: ``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"``.
        compile: ``"trace"`` traces a step once into plain tensor operations, ``"inductor"``
            also compiles it (some seconds, once), ``"cudagraph"`` replays it on a GPU as one
            CUDA graph, False runs every step through Pyro; ``"auto"`` times the first steps of a
            fit of 1,000 or more on a CPU in every mode that may pay and takes the fastest, else it
            decides by the number of steps. The numbers agree to rounding; where two fits must
            agree to the bit, state one. What can't be traced runs through Pyro, and the log of
            ``bayesnas`` says so.
        precision: of the matrix products: ``"bfloat16"`` rounds their factors where the step is
            traced, but for the variances of local reparameterisation; meant for a GPU.
        distributed: how the fit is shared out among the processes that ``torchrun`` started, or
            of a group of ``torch.distributed`` that is initialised: a ``bayesnas.Distributed``.
            ``"auto"`` shares out every batch where there are several; False fits in this process
            by itself. Every process calls ``bayesnas.fit`` with the same arguments, and gets the
            same posterior; the first writes, shows progress and calls ``on_step``.
        progress: show a bar, where stderr is a terminal.
        on_step: called after every step with a :class:`StepEvent`.
        out: folder of the run, for checkpoints and the result; it must not hold another run. With
            ``kl_weight="validation"`` the fit over the range lies in its folder ``range``.
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
        ProcessLostError: where another process of the fit ended; one process raises it, the
            others end with it.

    References:
        Graves, *Practical variational inference for neural networks*, 2011; Grebenkova,
        Bakhteev, Strijov, *Variational deep learning model optimization with complexity
        control*, 2021.

    >>> import bayesnas as bn
    >>> data = bn.data.load("digits")
    >>> model = bn.models.GaussianNet(bn.nn.mlp([64, 20, 10]))
    >>> post = bn.fit(model, data.train, epochs=10, lr=1e-2, seed=0)
    >>> post.evaluate(data.test)["accuracy"] > 0.8
    True
    """
    arguments = FitArguments(
        kl_weight=kl_weight,
        kl_warmup=kl_warmup,
        amortize=amortize,
        metaparameters=metaparameters,
        epochs=epochs,
        steps=steps,
        batch_size=batch_size,
        lr=lr,
        schedule=schedule,
        clip=clip,
        optimizer=optimizer,
        restarts=restarts,
        batched=batched,
        validation=validation,
        patience=patience,
        bilevel=bilevel,
        objective=objective,
        sample_weight=sample_weight,
        class_weight=class_weight,
        seed=seed,
        device=device,
        compile=compile,
        precision=precision,
        distributed=distributed,
        progress=progress,
        on_step=on_step,
        out=out,
        checkpoint_every=checkpoint_every,
        resume=resume,
    )
    if isinstance(kl_weight, str) and kl_weight == "validation":
        return fit_by_validation(model, data, arguments)
    return posterior_of(*run_fit(model, data, arguments))
