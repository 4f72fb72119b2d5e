"""What the upper functional adds for h: a prior on it, and divergences from structure priors."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from bayesnas.densities import innermost
from bayesnas.inference.optim.trainable_parameters import trainable
from bayesnas.models.base import BayesianModel
from bayesnas.nn.modules.parameter_names import begins, matching
from bayesnas.runtime.pyro_context import supports_checked

StructurePrior = Distribution | Mapping[str, Distribution]
"""p'(Γ): of the one structural site of a model, or by site."""

DRAWS = 32
"""Of p(Γ | h), where its divergence from a structure prior has no closed form."""


_FAR = 10.0  # from where a log or logit starts: no fit comes much further


class HyperTerms:
    r"""R(h), a function of a model whose hyperparameters are h.

    .. math:: R(h) = c\, \bigl[ \log p(h) - \sum_{p'} \lambda_{p'}\,
        KL(p(\Gamma | h) \,\|\, p') \bigr]

    A divergence is in closed form where torch has one registered, else the mean of log p − log p'
    over draws of p(Γ | h), which have to be reparameterised.

    Args:
        model: whose h; it says p(Γ | h).
        weights: λ_{p'}.
        priors: p', one for each weight.
        hyperprior: densities of parameters, by the beginning of their names.
        scale: c.
        device: where the model is going to be.

    Raises:
        ValueError: for a structure prior that is not of the shape of p(Γ | h), a site or parameter
            that the model does not have, or a divergence that can't be taken.
    """

    def __init__(
        self,
        model: BayesianModel,
        weights: Sequence[float],
        priors: Sequence[StructurePrior],
        hyperprior: Mapping[str, Distribution],
        scale: float,
        device: torch.device,
    ) -> None:
        """Bring every distribution to the shape, type and device of what it is of."""
        self._scale, self._weights = scale, list(weights)
        structure = model.structure_priors() if priors else {}
        shaped = [
            {site: fitted(f"structure_priors[{i}]", p, structure[site]) for site, p in each.items()}
            for i, each in enumerate(_by_site(model, priors, structure))
        ]
        self._priors = [
            {site: moved(p, device, model.dtype) for site, p in each.items()} for each in shaped
        ]
        named = trainable(model)
        self._hyperprior = {}
        for beginning, density in hyperprior.items():
            for name in matching(named, [beginning], "hyperprior"):
                _check_density(name, density, named[name], model.prior_parameters())
                self._hyperprior[name] = moved(density, device, model.dtype)

    def __call__(self, model: BayesianModel) -> Tensor:
        """R(h) at the parameters that the model has, ``[]``."""
        terms = []
        if self._priors:
            structure = model.structure_priors()
            for weight, each in zip(self._weights, self._priors, strict=True):
                for site, prior in each.items():
                    terms.append(-weight * divergence(structure[site], prior))
        if self._hyperprior:
            named = dict(model.named_parameters())
            terms += [p.log_prob(named[name]).sum() for name, p in self._hyperprior.items()]
        return self._scale * torch.stack(terms).sum()


def divergence(p: Distribution, other: Distribution, draws: int = DRAWS) -> Tensor:
    """KL(p ‖ p') in nats: in closed form, else a mean over draws of p.

    Args:
        p: one event.
        other: p', of the same shape.
        draws: number of them.

    >>> from torch.distributions import Normal
    >>> divergence(Normal(0.0, 1.0), Normal(1.0, 1.0))
    tensor(0.5000)
    """
    try:
        return kl_divergence(p, other)
    except NotImplementedError:
        values = p.rsample(torch.Size([draws]))
        return (p.log_prob(values) - other.log_prob(values)).mean()


def fitted(name: str, prior: Distribution, of: Distribution) -> Distribution:
    """A structure prior as one event of the shape of p(Γ | h), over which it is repeated.

    Args:
        name: of the argument, for messages.
        prior: p', of the whole shape, of its last dims, or of one that broadcasts to it.
        of: p(Γ | h), one event.

    Raises:
        ValueError: for another shape, or one whose divergence from p(Γ | h) can't be taken.
    """
    shape, event = of.event_shape, prior.event_shape
    batch = shape[: len(shape) - len(event)]
    try:
        fits = event == shape[len(batch) :]
        fits = fits and torch.broadcast_shapes(prior.batch_shape, batch) == batch
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(
            f"{name} must have the shape of p(Γ | h), {list(shape)}, or that of its last dims, got "
            f"batch_shape {list(prior.batch_shape)} and event_shape {list(event)}"
        )
    with torch.no_grad(), supports_checked():
        _check_divergence(name, of, _repeated(prior, batch))
    return _repeated(prior, batch)  # which does not check in every step


def _repeated(prior: Distribution, batch: torch.Size) -> Distribution:
    expanded: Distribution = prior.expand(batch)
    return torch.distributions.Independent(expanded, len(batch)) if batch else expanded


def moved(value: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """A distribution with its tensors on a device and of a type, that no longer checks values."""
    copied = copy.copy(value)
    for name, part in vars(value).items():
        if isinstance(part, Tensor):
            to = dtype if part.is_floating_point() else part.dtype
            copied.__dict__[name] = part.detach().to(device, to)
        elif isinstance(part, Distribution):
            copied.__dict__[name] = moved(part, device, dtype)
    copied.__dict__["_validate_args"] = False
    return copied


def _by_site(
    model: BayesianModel, priors: Sequence[StructurePrior], structure: Mapping[str, Distribution]
) -> list[Mapping[str, Distribution]]:
    if priors and not structure:
        raise ValueError(
            f"structure_priors needs a model with a latent structure Γ, got {model.describe()}"
        )
    by_site: list[Mapping[str, Distribution]] = []
    for index, prior in enumerate(priors):
        if isinstance(prior, Mapping):
            unknown = [site for site in prior if site not in structure]
            if unknown or not prior:
                raise ValueError(
                    f"structure_priors[{index}] must be by site out of {list(structure)}, "
                    f"got {list(prior)}"
                )
            by_site.append(prior)
        elif len(structure) > 1:
            raise ValueError(
                f"structure_priors[{index}] must be a mapping from sites to distributions for a "
                f"model with several, {list(structure)}, got a {type(prior).__name__}"
            )
        else:
            by_site.append({next(iter(structure)): prior})
    return by_site


def _check_divergence(name: str, of: Distribution, prior: Distribution) -> None:
    kinds = f"KL({type(innermost(of)).__name__} ‖ {type(innermost(prior)).__name__})"
    try:
        value = divergence(of, prior, 1)
    except (NotImplementedError, ValueError, RuntimeError, TypeError) as error:
        raise ValueError(f"{name}: {kinds} can't be taken: {error}") from error
    if not bool(torch.isfinite(value)):
        raise ValueError(f"{name}: {kinds} is {float(value)}: they must have the same support")


def _check_density(name: str, density: Distribution, value: Tensor, of_h: Sequence[str]) -> None:
    if not any(begins(name, beginning) for beginning in of_h):
        raise ValueError(f"hyperprior must be of hyperparameters {list(of_h)}, got {name!r}")
    try:
        with supports_checked():
            log_densities = [
                density.log_prob(value.detach() + shift) for shift in (-_FAR, 0.0, _FAR)
            ]
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"hyperprior[{name!r}] must be a density of all real values {list(value.shape)}: "
            f"{error}"
        ) from error
    if not all(bool(torch.isfinite(values).all()) for values in log_densities):
        raise ValueError(
            f"hyperprior[{name!r}] must be finite at all real values {list(value.shape)}, "
            f"got a {type(innermost(density)).__name__} that is not"
        )
