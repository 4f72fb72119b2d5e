"""The registry of the zoo: every model by name."""

from __future__ import annotations

import functools
import importlib.metadata
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from bayesnas.data import DataSet
from bayesnas.models.architecture.latent_structure import LatentStructureNet
from bayesnas.models.autoencoders.ard_vae import ArdVae
from bayesnas.models.autoencoders.indian_buffet_vae import IndianBuffetVae
from bayesnas.models.base import BayesianModel
from bayesnas.models.compression.bayesian_compression import BayesianCompressionNet
from bayesnas.models.networks.gaussian import GaussianNet
from bayesnas.models.networks.spike_and_slab import SpikeAndSlabNet
from bayesnas.models.networks.supermask import SupermaskNet
from bayesnas.models.nonparametric.latent_features import LatentFeatures
from bayesnas.models.pyro_pair import PyroPair
from bayesnas.models.regression.ard import ArdRegression
from bayesnas.models.regression.spike_and_slab import SpikeAndSlabRegression
from bayesnas.typed import typed
from bayesnas.words import did_you_mean


@dataclass(frozen=True)
class ModelRecord:
    """What the zoo says of one of its models.

    Attributes:
        title: a line on what it is.
        reference: the source, authors and year.
        structural: which part of the structure its posterior speaks of.
        cls: the class.
        for_data: makes a model for a data set; None where the command line has options for it, or
            it is fitted from Python alone.

    >>> from bayesnas.models import available
    >>> available()["gaussian-net"].cls.__name__
    'GaussianNet'
    """

    title: str
    reference: str
    structural: str
    cls: type[BayesianModel]
    for_data: Callable[[DataSet], BayesianModel] | None = None


_ZOO: dict[str, ModelRecord] = {
    "ard-regression": ModelRecord(
        title="Linear regression with automatic relevance determination",
        reference="MacKay 1992; Tipping 2001; Bishop, Tipping 2000",
        structural="features: how far the data determine each, prior variances going to 0",
        cls=ArdRegression,
    ),
    "ard-vae": ModelRecord(
        title="Variational autoencoder that finds how many latent dimensions it needs",
        reference="Bishop 1999; Kingma, Welling 2014; Saha, Joshi, Whitaker 2025",
        structural="latent dimensions: inclusion of each",
        cls=ArdVae,
    ),
    "bayesian-compression": ModelRecord(
        title="Scale priors on the input units and filters of any network, to be removed whole",
        reference="Louizos, Ullrich, Welling 2017; Neklyudov et al. 2017",
        structural="groups: inclusion of every input unit or filter",
        cls=BayesianCompressionNet,
    ),
    "gaussian-net": ModelRecord(
        title="Mean-field Gaussian posterior on the weights of any network",
        reference="Graves 2011; Blundell et al. 2015; Grebenkova, Bakhteev, Strijov 2021",
        structural="weights: 1 − relative density, and what pruning by it removes",
        cls=GaussianNet,
    ),
    "indian-buffet-vae": ModelRecord(
        title="Variational autoencoder whose examples choose among features",
        reference="Singh, Ling, Doshi-Velez 2017; Chatzis 2014; Teh, Görür, Ghahramani 2007",
        structural="features: probability that an example has each",
        cls=IndianBuffetVae,
    ),
    "latent-features": ModelRecord(
        title="Sums of latent features that examples choose from an Indian buffet",
        reference="Griffiths, Ghahramani 2011; Doshi-Velez et al. 2009",
        structural="features: probability that an example has each",
        cls=LatentFeatures,
    ),
    "latent-structure-net": ModelRecord(
        title="A graph of operations whose weights are latent variables: architecture search",
        reference="Bakhteev, Strijov 2020; Yakovlev et al. 2022; Liu, Simonyan, Yang 2019",
        structural="operations: probability of each on every edge of the graph",
        cls=LatentStructureNet,
    ),
    "pyro-pair": ModelRecord(
        title="Any Pyro model and guide of your own",
        reference="Bingham et al. 2019 (Pyro)",
        structural="whatever its sites are",
        cls=PyroPair,
    ),
    "spike-and-slab-net": ModelRecord(
        title="Gates on the weights, neurons or filters of any network",
        reference="Louizos, Welling, Kingma 2018; Titsias, Lázaro-Gredilla 2011",
        structural="weights, neurons or filters: inclusion probability of every gate",
        cls=SpikeAndSlabNet,
    ),
    "spike-and-slab-regression": ModelRecord(
        title="Linear or logistic regression with weights that may be exactly zero",
        reference="Mitchell, Beauchamp 1988; Titsias, Lázaro-Gredilla 2011",
        structural="features: inclusion probability of each",
        cls=SpikeAndSlabRegression,
    ),
    "supermask-net": ModelRecord(
        title="Masks over the frozen weights of any network",
        reference="Zhou, Lan, Liu, Yosinski 2019; Ramanujan et al. 2020",
        structural="weights: probability that each exists",
        cls=SupermaskNet,
    ),
}


ENTRY_POINTS = "bayesnas.models"
"""Group of the entry points by which an installed package brings models of its own."""

_registered: dict[str, ModelRecord] = {}


@typed(unchecked=("cls",))
def register(
    name: str,
    cls: type[BayesianModel],
    *,
    title: str = "",
    reference: str = "",
    structural: str = "",
    for_data: Callable[[DataSet], BayesianModel] | None = None,
) -> None:
    """Add a model of one's own to the zoo, for ``bayesnas.load`` and the command line.

    A run of the model is then loaded without ``model=`` if it defines ``config()``. The command
    line knows the models that installed packages register: an entry point of the group
    ``bayesnas.models`` names a module, whose import calls this function.

    Args:
        name: on the command line, in lower case with hyphens.
        cls: the class.
        title: a line on what it is.
        reference: the source, authors and year.
        structural: which part of the structure its posterior speaks of.
        for_data: makes a model for a data set, so that ``bayesnas fit NAME`` can.

    Raises:
        TypeError: for a class that is no ``BayesianModel``.
        ValueError: for a name, or a name of a class, that another model has.

    >>> import bayesnas as bn
    >>> class RidgeRegression(bn.models.ArdRegression):
    ...     pass
    >>> bn.models.register("ridge-regression", RidgeRegression, title="Linear regression")
    >>> bn.models.available()["ridge-regression"].title
    'Linear regression'
    """
    if not (isinstance(cls, type) and issubclass(cls, BayesianModel)):
        raise TypeError(f"cls must be a subclass of BayesianModel, got {cls!r}")
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise ValueError(f"name must be in lower case with hyphens, got {name!r}")
    for other, record in {**_ZOO, **_registered}.items():
        same_class = _qualified(record.cls) == _qualified(cls)  # a module that is run anew
        if (other == name or record.cls.__name__ == cls.__name__) and not same_class:
            raise ValueError(f"name must be new, got {name!r}: {other!r} is {record.cls.__name__}")
    _registered[name] = ModelRecord(title, reference, structural, cls, for_data)


def _qualified(cls: type) -> tuple[str, str]:
    return cls.__module__, cls.__qualname__


@functools.cache
def _load_entry_points() -> None:
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        try:
            point.load()
        except Exception as error:  # whatever another package does when imported
            warnings.warn(
                f"the models of {point.value!r} are not registered: {error!r}",
                RuntimeWarning,
                stacklevel=3,
            )


def available() -> dict[str, ModelRecord]:
    """Models by their command-line name: title, reference, what is structural.

    >>> available()["gaussian-net"].cls.__name__
    'GaussianNet'
    """
    _load_entry_points()
    return {**_ZOO, **_registered}


@typed()
def zoo_class(name: str) -> type[BayesianModel]:
    """Class of a model by its command-line name or its class name.

    Raises:
        ValueError: for an unknown name, with the nearest ones.

    >>> zoo_class("gaussian-net") is zoo_class("GaussianNet")
    True
    """
    return zoo_record(name).cls


def zoo_record(name: str) -> ModelRecord:
    """Record of a model by its command-line name or its class name.

    Raises:
        ValueError: for an unknown name, with the nearest ones.

    >>> zoo_record("GaussianNet").title
    'Mean-field Gaussian posterior on the weights of any network'
    """
    zoo = available()
    by_name = {**zoo, **{record.cls.__name__: record for record in zoo.values()}}
    if name in by_name:
        return by_name[name]
    hint = did_you_mean(name, by_name, cutoff=0.4)
    raise ValueError(f"model must be one of {sorted(zoo)}, got {name!r}{hint}")
