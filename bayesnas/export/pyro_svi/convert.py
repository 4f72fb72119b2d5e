"""A fitted Pyro model and guide as the groups of the ArviZ schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyro

from bayesnas.checks import draw_count, seed_number, shown
from bayesnas.export.datasets import SAMPLE_DIMS, attributes, dataset, provenance
from bayesnas.export.pyro_svi.draws import posterior_draws, prior_draws
from bayesnas.export.pyro_svi.naming import VariableNames
from bayesnas.export.pyro_svi.program import Program, Sites
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray

    from bayesnas.export.datasets import Coords, Variables


@typed(unchecked=("coords",))
def from_pyro_svi(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    *,
    model_args: Sequence[Any] = (),
    model_kwargs: Mapping[str, Any] | None = None,
    num_samples: int = 1000,
    num_prior_samples: int = 0,
    num_latent_samples: int = 20,
    log_likelihood: bool = True,
    posterior_predictive: bool = True,
    discrete: bool = False,
    constant_data: Mapping[str, Any] | None = None,
    coords: Coords | None = None,
    dims: Mapping[str, Sequence[str]] | None = None,
    sample_dims: Sequence[str] = SAMPLE_DIMS,
    seed: int | None = None,
) -> xarray.DataTree:
    """Export a Pyro model and guide, trained by whatever means, as the tree that ArviZ reads.

    The form is that of ArviZ's converters, such as ``from_numpyro_svi``. Parameters are those of
    Pyro's store, or of the guide where it is a module, as they stand; nothing is trained.

    Args:
        model: a Pyro model, conditioned on its data.
        guide: its guide, an automatic one or a function, of all latent sites but discrete ones that
            are summed out.
        model_args: what both are called with, all rows of the data.
        model_kwargs: likewise.
        num_samples: draws from the guide.
        num_prior_samples: draws from the model for the groups prior and prior_predictive.
        num_latent_samples: where rows have latent sites of their own, as the codes of an
            autoencoder: draws of them, over which log_likelihood is averaged by importance weights;
            0: it is given the one that was drawn, of which leave-one-out is not that of new rows.
        log_likelihood: give log p(y_i | latents) of every observed value, unscaled; discrete sites
            without a guide are summed out of it.
        posterior_predictive: draw new values of the observed sites.
        discrete: draw these discrete sites from their posterior given the others, by
            ``pyro.infer.infer_discrete``, into the group posterior.
        constant_data: arrays that the model was conditioned on, by name.
        coords: labels by dimension, the names of plates among them.
        dims: names of the dimensions of a variable, in the place of its plates and of
            ``<name>_dim_0``.
        sample_dims: ``("chain", "draw")``, with one chain, or the one name of ArviZ 1.x, such as
            ``("sample",)``.
        seed: of the draws; None: goes on with Pyro's random state, which is else left alone.

    Returns:
        a tree with posterior, posterior_predictive, log_likelihood, observed_data, constant_data,
        prior and prior_predictive, as far as asked for. Dimensions are named by plates. Auxiliary
        sites of the guide are left out, deterministic ones of the model kept. On ArviZ 0.23
        ``bayesnas.export.to_inference_data`` makes an ``InferenceData`` of it.

    Raises:
        ValueError: a latent site has no guide, a plate draws some of its rows, no row has a
            likelihood of its own, or names and labels don't fit.
        TypeError: naming a mapping that is none, and for arguments that the model does not take.

    References:
        Bingham et al., *Pyro: deep universal probabilistic programming*, 2019.

    >>> import torch, pyro.distributions as dist
    >>> from pyro.infer.autoguide import AutoNormal
    >>> def model(y):
    ...     mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
    ...     with pyro.plate("row", len(y)):
    ...         pyro.sample("y", dist.Normal(mean, 1.0), obs=y)
    >>> tree = from_pyro_svi(model, AutoNormal(model), model_args=(torch.ones(3),), num_samples=5)
    >>> dict(tree.log_likelihood["y"].sizes)
    {'chain': 1, 'draw': 5, 'row': 3}
    """
    import xarray

    num_samples = draw_count("num_samples", num_samples, 1)
    num_prior_samples = draw_count("num_prior_samples", num_prior_samples, 0)
    if isinstance(model_args, str):
        raise TypeError(f"model_args must be a sequence of arguments, got {shown(model_args)}")
    if not (coords is None or isinstance(coords, Mapping)):
        raise TypeError(f"coords must be a mapping by dimension, got {shown(coords)}")
    if len(sample_dims) not in (1, 2):
        raise ValueError(f"sample_dims must be one name or two, got {list(sample_dims)}")
    num_latent_samples = draw_count("num_latent_samples", num_latent_samples, 0)
    program = Program(model, guide, tuple(model_args), dict(model_kwargs or {}))
    with _random_state(seed):
        sites = Sites.of(program)
        if discrete and not sites.enumerated:
            raise ValueError("discrete must be False where no discrete site is without a guide")
        drawn = posterior_draws(
            program,
            sites,
            num_samples,
            log_likelihood,
            posterior_predictive,
            discrete,
            num_latent_samples,
        )
        before = prior_draws(program, sites, num_prior_samples)
    names = VariableNames(sites, dims or {}, tuple(sample_dims))
    groups: dict[str, Variables] = {
        "posterior": names.sampled(drawn["posterior"]),
        "posterior_predictive": names.sampled(drawn["posterior_predictive"]),
        "log_likelihood": names.pointwise(drawn["log_likelihood"]),
        "prior": names.sampled(before["prior"]),
        "prior_predictive": names.sampled(before["prior_predictive"]),
        "observed_data": names.of_data(sites),
        "constant_data": names.constant(constant_data or {}),
    }
    made_by = {"inference_library": "pyro", "inference_library_version": str(pyro.__version__)}
    attrs = attributes({**provenance(), **made_by, "sample_dims": list(sample_dims)})
    tree = {
        name: dataset(name, variables, coords or {}, {}, None).assign_attrs(attrs)
        for name, variables in groups.items()
        if variables
    }
    if "log_likelihood" in tree and (local := sites.local()):
        about = tree["log_likelihood"].attrs
        about["latents_of_rows"] = ", ".join(local)
        about["num_latent_samples"] = num_latent_samples  # 0: given the one that was drawn
    return xarray.DataTree.from_dict({"/": xarray.Dataset(attrs=attrs), **tree})


@contextmanager
def _random_state(seed: int | None) -> Iterator[None]:
    if seed is None:
        yield
        return
    state = pyro.util.get_rng_state()
    pyro.set_rng_seed(seed_number("seed", seed, 2**32 - 1))
    try:
        yield
    finally:
        pyro.util.set_rng_state(state)
