"""Data sets and saved runs that the options name."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import bayesnas as bn
from bayesnas.checks import draw_count, whole_number
from bayesnas.cli.arguments.shared import data_options_given
from bayesnas.cli.output import note
from bayesnas.data import DataSet, StreamedSplit
from bayesnas.inference import AmortizedPosterior, Posterior, Posteriors
from bayesnas.inference.posterior.kl_weights.kl_path import KLWeightPath

AnyDataSet = DataSet[Any]
"""In memory, or streamed."""


def load_data(args: argparse.Namespace) -> AnyDataSet:
    """The data set that the options name.

    Raises:
        ValueError: an option does not go with the data, and all that loading them refuses.
    """
    if args.split_seed is not None:
        whole_number("split_seed", args.split_seed, 0)
    if args.stream:
        return _load_streamed(args)
    if args.workers is not None:
        raise ValueError(f"workers needs --stream, got --workers {args.workers}")
    return bn.data.load(
        "digits" if args.data is None else args.data,
        root=args.root,
        target=args.target,
        drop=args.drop or (),
        task=args.task,
        test=args.test,
        validation=args.validation or 0.0,
        seed=args.split_seed or 0,
        standardise=bool(args.standardise),
    )


def _load_streamed(args: argparse.Namespace) -> AnyDataSet:
    others = {"--root", "--target", "--drop", "--standardise"} & set(data_options_given(args))
    if others:
        raise ValueError(f"{', '.join(sorted(others))} can't come with --stream")
    if args.data is None or not Path(args.data).is_dir():
        raise ValueError(
            "stream goes with a folder of .npy files, or of images by class: --data FOLDER, got "
            f"{args.data!r}"
        )
    return bn.data.load_streamed(
        args.data,
        test=args.test,
        validation=args.validation or 0.0,
        seed=args.split_seed or 0,
        task=args.task,
        workers=args.workers or 0,
    )


def in_memory(data: AnyDataSet, command: str) -> DataSet:
    """A data set that a command needs in memory.

    Raises:
        ValueError: it is streamed.
    """
    if isinstance(data.train, StreamedSplit):
        raise ValueError(f"{command} needs the data in memory: leave --stream out")
    return data


def open_run(args: argparse.Namespace) -> tuple[Posterior, AnyDataSet]:
    """Load a run at one KL weight, and its data.

    Raises:
        ValueError: as :func:`open_fitted`, and where the run was fitted over a range of KL weights
            and ``--kl-weight`` is none of them, or it was fitted at one and that is another.
    """
    post, data = open_fitted(args)
    return at_kl_weight(post, args), data


def open_fitted(args: argparse.Namespace) -> tuple[Posterior | KLWeightPath, AnyDataSet]:
    """Load a run, and its data by the way it was loaded for the fit.

    Raises:
        ValueError: the run does not say where its data came from and ``--data`` doesn't either,
            or the training data is not what the run was fitted on.
    """
    draw_count("draws", getattr(args, "draws", 0), 0)
    post = bn.load(args.run_folder, device=args.device)
    data = _load_data(args, post)
    if post.model.reconstructs:
        data = data.reconstructing()
    _check_fingerprint(args, post, data)
    return _at_values(post, args), data


def at_kl_weight(post: Posterior | KLWeightPath, args: argparse.Namespace) -> Posterior:
    """The posterior of a run at ``--kl-weight``, or at the one it was fitted at.

    Raises:
        ValueError: the run was fitted over a range of KL weights and the option is none of them,
            or it was fitted at one and the option is another.
    """
    kl_weight, folder, post = args.kl_weight, args.run_folder, _at_values(post, args)
    if isinstance(post, KLWeightPath):
        if kl_weight is None:
            which = "at each of" if isinstance(post, Posteriors) else "over the range"
            raise ValueError(
                f"kl_weight must be given: the run in {folder} was fitted {which} "
                f"{post.settings.kl_weight_text()}, and every KL weight of it has a posterior"
            )
        return post.at(kl_weight)
    if kl_weight is not None and kl_weight != post.kl_weight:
        raise ValueError(
            f"kl_weight must be {post.kl_weight:g}, or left out: the run in {folder} was fitted "
            f"at that alone, got {kl_weight:g}"
        )
    return post


def _at_values(
    post: Posterior | KLWeightPath, args: argparse.Namespace
) -> Posterior | KLWeightPath:
    """A run along λ, at the ``--metaparameters`` besides it.

    Raises:
        ValueError: the run was fitted over others than are given.
    """
    given = dict(args.metaparameters)
    amortization = post.settings.amortization
    axes = () if amortization is None else amortization.others
    if missing := [axis for axis in axes if axis.name not in given]:
        ranges = ", ".join(f"{a.name} in {a.low:g}:{a.high:g}" for a in missing)
        raise ValueError(
            f"metaparameters must be given, --metaparameters {missing[0].name}=VALUE: the run in "
            f"{args.run_folder} was fitted over {ranges}"
        )
    if isinstance(post, AmortizedPosterior):
        return post.given(**given)
    if given:
        raise ValueError(
            f"metaparameters has no place here: the run in {args.run_folder} was fitted at or over "
            f"KL weights alone, got {', '.join(given)}"
        )
    return post


def _load_data(args: argparse.Namespace, post: Posterior | KLWeightPath) -> AnyDataSet:
    if args.data is not None:
        return load_data(args)
    source = post.data.source
    streamed = source is not None and source.streamed
    alone = "--workers" if streamed else "--root"
    others = [option for option in data_options_given(args) if option != alone]
    if others:
        raise ValueError(f"{', '.join(others)} must come with --data NAME|PATH")
    if source is None:
        raise ValueError(
            f"the run in {args.run_folder} was fitted on {post.data.name!r}, which no name or file "
            "stands for: give the data with --data NAME|PATH"
        )
    if streamed:
        told = source.to_dict()
        split = {name: told[name] for name in ("test", "validation", "seed", "task")}
        return bn.data.load_streamed(source.name_or_path, workers=args.workers or 0, **split)
    arguments = source.to_dict()
    if args.root is not None:
        arguments["root"] = args.root
    return bn.data.load(**arguments)


def _check_fingerprint(
    args: argparse.Namespace, post: Posterior | KLWeightPath, data: AnyDataSet
) -> None:
    expected = post.run.fingerprint
    if not expected:
        note(
            f"the run in {args.run_folder} keeps no fingerprint of its training data: "
            f"{data.name} is taken for it unchecked",
            args.quiet,
        )
    elif data.train.fingerprint != expected:
        raise ValueError(
            f"the training part of {data.name} ({len(data.train):,} rows) is not what the run in "
            f"{args.run_folder} was fitted on ({post.data.n:,} rows of {post.data.name}): "
            f"its fingerprint is {data.train.fingerprint[:12]}…, expected {expected[:12]}…"
        )
