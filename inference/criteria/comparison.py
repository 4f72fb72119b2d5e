"""Fitted models beside each other, best first."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np
import torch
from scipy.special import softmax

from bayesnas.checks import choice, shown
from bayesnas.export import elpd_data
from bayesnas.export.arviz_version import arviz, has_inference_data
from bayesnas.inference.config.inputs import Data, checked_tensors
from bayesnas.inference.evidence.estimate import EvidenceMethod
from bayesnas.inference.evidence.result import Evidence
from bayesnas.inference.posterior.kl_weights.kl_path import KLWeightPath
from bayesnas.inference.posterior.posterior import Posterior
from bayesnas.typed import typed

if TYPE_CHECKING:
    import pandas as pd

Fitted: TypeAlias = Posterior | KLWeightPath


@typed(unchecked=("posteriors", "data"))
def compare(
    posteriors: Mapping[str, Fitted] | Sequence[Fitted],
    data: Data | Mapping[str, Data] | list[Data],
    *,
    by: Literal["evidence", "loo"] = "evidence",
    method: EvidenceMethod = "auto",
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    r"""Order fitted models by their evidence or by leave-one-out cross-validation.

    The frame has the form of ``arviz.compare``: a row a model, the best first. By evidence its
    columns are

    - ``rank``, from 0;
    - ``log_evidence`` and ``se``, ln p(y | x) and its Monte Carlo standard error, in nats;
    - ``log_evidence_diff``, ln of the Bayes factor of the best model to this one, and ``dse``;
    - ``weight``, the probability of the model if all are equally probable before:
      :math:`p_k = Z_k / \sum_j Z_j`;
    - ``lower`` and ``upper``, known bounds; ``method``; ``warning``, whether the estimate gave one.

    By ``"loo"`` it is what ``arviz.compare`` makes of Pareto-smoothed leave-one-out of every model,
    from draws of its best chain, which are taken for draws of its target: see how far by
    ``post.pareto_k(data)``. The target of a fit at λ has every row 1/λ times, so that a row is
    left out by weights :math:`p(y_i \mid w)^{-1/\lambda}`; at λ = 1 that is ``arviz.loo``.

    Args:
        posteriors: by name, or in a sequence; those of a range or list of λ are integrated along λ,
            or taken at λ = 1 for ``"loo"``.
        data: the training data of all; or a mapping by the same names, or a list, where models
            read other inputs. The targets have to be the same.
        by: ``"evidence"`` or ``"loo"``.
        method: of the evidence of posteriors at one λ, as in ``Posterior.evidence``.
        draws: from each guide (at every λ).
        seed: of the draws.

    Raises:
        ValueError: naming the argument: for fewer than two models, data that don't belong to them,
            other targets, or ``"loo"`` of a fit at λ = 0.
        TypeError: for what is no fitted model.

    References:
        MacKay, *Bayesian interpolation*, 1992; Vehtari, Gelman, Gabry, *Practical Bayesian model
        evaluation using leave-one-out cross-validation and WAIC*, 2017.

    >>> import torch, bayesnas as bn
    >>> x = torch.linspace(-1, 1, 20)
    >>> inputs = {degree: torch.stack([x**k for k in range(1, degree + 1)], 1) for degree in (1, 3)}
    >>> posts = {
    ...     f"degree {degree}": bn.fit(
    ...         bn.models.GaussianNet(
    ...             torch.nn.Linear(degree, 1), likelihood="gaussian", noise_scale=0.1),
    ...         (inputs[degree], x), steps=2)
    ...     for degree in inputs}
    >>> data = {f"degree {degree}": (inputs[degree], x) for degree in inputs}
    >>> list(bn.compare(posts, data).index)
    ['degree 1', 'degree 3']
    """
    choice("by", by, ("evidence", "loo"))
    named = _named(posteriors)
    samples = _samples(data, named)
    _check_same_targets(named, samples)
    if by == "loo":
        return loo_table(loo_scores(named, samples, draws, seed))
    evidences = {}
    for name, post in named.items():
        if isinstance(post, Posterior):
            options: dict[str, Any] = {"method": method}
        else:
            options = {}
        evidences[name] = post.evidence(samples[name], draws=draws, seed=seed, **options)
    return evidence_table(evidences)


def evidence_table(evidences: Mapping[str, Evidence]) -> pd.DataFrame:
    """The frame of :func:`compare` from evidences by name.

    >>> one = Evidence(-10.0, 0.0, -10.0, -10.0, "exact")
    >>> other = Evidence(-12.0, 0.1, -13.0, -11.0, "importance", 0.2)
    >>> evidence_table({"a": other, "b": one})[["rank", "log_evidence_diff"]].values.tolist()
    [[0.0, 0.0], [1.0, 2.0]]
    """
    import pandas as pd

    ordered = sorted(evidences.items(), key=lambda item: -item[1].log_evidence)
    best = ordered[0][1]
    values = np.array([each.log_evidence for _, each in ordered])
    errors = np.array([each.error for _, each in ordered])
    differences = np.sqrt(errors**2 + best.error**2)
    differences[0] = 0.0
    return pd.DataFrame(
        {
            "rank": np.arange(len(ordered)),
            "log_evidence": values,
            "log_evidence_diff": best.log_evidence - values,
            "weight": softmax(values),
            "se": errors,
            "dse": differences,
            "lower": [each.lower for _, each in ordered],
            "upper": [each.upper for _, each in ordered],
            "method": [each.method for _, each in ordered],
            "warning": [bool(each.warning) for _, each in ordered],
        },
        index=[name for name, _ in ordered],
    )


def loo_scores(
    named: Mapping[str, Fitted], samples: Mapping[str, Data], draws: int, seed: int
) -> dict[str, Any]:
    """ArviZ's ``ELPDData`` of the best chain of every model, rows left out of its own target."""
    scores = {}
    for name, post in named.items():
        post = post if isinstance(post, Posterior) else post.at(1.0)
        if post.kl_weight == 0:
            raise ValueError(
                f"posteriors[{name!r}] must be fitted at kl_weight > 0 for by='loo', got 0: "
                "leaving a row out of a point moves it, which no draw of it shows"
            )
        sites = post.sample(1)
        smallest = min(sites, key=lambda site: sites[site].numel())  # none of them is read
        best = post.chain(post.best)
        tree = best.to_arviz(draws, samples[name], var_names=[smallest], seed=seed)
        with warnings.catch_warnings():
            # The column "warning" of the table says it of which model, under every ArviZ.
            warnings.filterwarnings("ignore", "Estimated shape parameter", UserWarning)
            scores[name] = elpd_data(tree)
    return scores


def loo_table(scores: Mapping[str, Any]) -> pd.DataFrame:
    """``arviz.compare`` of what :func:`loo_scores` gives."""
    with warnings.catch_warnings():
        # ArviZ 0.23 sorts in place, which pandas 3.1 calls old.
        warnings.filterwarnings("ignore", "The inplace keyword", Warning)
        # ArviZ 1.x rounds to what its standard errors carry.
        exact = {} if has_inference_data() else {"round_to": "none"}
        return cast("pd.DataFrame", arviz().compare(dict(scores), **exact))


def _named(posteriors: Mapping[str, Fitted] | Sequence[Fitted]) -> dict[str, Fitted]:
    """The models by name; those of a sequence are called as they describe themselves."""
    if isinstance(posteriors, Mapping):
        named = {str(name): post for name, post in posteriors.items()}
    elif isinstance(posteriors, Sequence) and not isinstance(posteriors, str):
        named = {}
        for index, post in enumerate(posteriors):
            model = getattr(post, "model", None)
            words = model.describe() if model is not None else "model"
            named[f"{index}: {words}"] = post
    else:
        raise TypeError(
            f"posteriors must be a mapping or a sequence of posteriors, got {shown(posteriors)}"
        )
    for name, post in named.items():
        if not isinstance(post, (Posterior, KLWeightPath)):
            raise TypeError(
                f"posteriors[{name!r}] must be what bayesnas.fit or bayesnas.load returns, "
                f"got {shown(post)}"
            )
    if len(named) < 2:
        raise ValueError(f"posteriors must hold at least two models, got {list(named)}")
    return named


def _samples(
    data: Data | Mapping[str, Data] | list[Data], named: Mapping[str, Fitted]
) -> dict[str, Data]:
    """The data of every model."""
    if isinstance(data, Mapping):
        if set(data) != set(named):
            raise ValueError(
                f"data must have the names of posteriors, {sorted(named)}, got {sorted(data)}"
            )
        return {name: data[name] for name in named}
    if isinstance(data, list):
        if len(data) != len(named):
            raise ValueError(
                f"data must have one part for each of the {len(named)} posteriors, got {len(data)}"
            )
        return dict(zip(named, data, strict=True))
    return dict.fromkeys(named, data)


def _check_same_targets(named: Mapping[str, Fitted], samples: Mapping[str, Data]) -> None:
    """Raise unless all models are asked of the same targets: densities of others don't compare."""
    first, *others = named
    targets = checked_tensors(named[first].model, samples[first], "data").y.double().cpu()
    for name in others:
        other = checked_tensors(named[name].model, samples[name], "data").y.double().cpu()
        same = other.numel() == targets.numel() and torch.equal(other.flatten(), targets.flatten())
        if not same:
            raise ValueError(
                f"data: the targets of {name!r} must be those of {first!r}, in their order: "
                "densities of different targets don't compare"
            )
