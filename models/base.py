"""The contract of a model of the zoo: p(y, w, Γ | x) and its guide, as plain Pyro."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import pyro
import torch
from pyro.distributions import TorchDistribution
from pyro.infer import ELBO
from torch import Tensor, nn

from bayesnas.data.inputs import AnyInputs
from bayesnas.data.row_weights import RowWeights
from bayesnas.models.contract.fit_defaults import FitDefaults
from bayesnas.models.contract.metaparameters import Metaparameters
from bayesnas.models.contract.point_estimates import PointEstimates
from bayesnas.models.contract.prunable_weights import PrunableWeights
from bayesnas.models.contract.pyro_store import register
from bayesnas.models.site_kinds import DATA_PLATE, OBSERVED, stands_for_examples

if TYPE_CHECKING:
    import xarray as xr

ROWS_AT_ONCE = 4096
"""Rows of a sample that are evaluated together, to bound the memory."""

FEW = 2
"""Rows that say all of what examples share."""


class BayesianModel(Metaparameters, PrunableWeights, PointEstimates):
    """A joint density p(y, w, Γ | x) and a guide q(w, Γ), both plain Pyro functions.

    A subclass defines :meth:`model` and :meth:`guide`, which sample the same latent sites, and
    creates all its parameters in its constructor. The targets are observed at the site
    ``"y"`` inside ``pyro.plate("data", len(x))``; anything drawn once an example stands in
    that plate too. That is all that ``bayesnas.fit`` needs; the other methods say more about
    a model and have defaults.

    Attributes:
        task: ``"classification"`` or ``"regression"``, None for a model of either.
        target_site: name of the observed site of the targets, of which predictions are made.
        takes_data_as_given: whether x and y reach the model as they are handed over; else they are
            checked and made what ``bayesnas.data.Split`` says.
        summed_out: names of discrete sites that are enumerated, not sampled by the guide.
        guide_sites: of a program with such sites, names of those that its guide samples.
        whole_sample: why all training rows must be seen at once, and no others; empty elsewhere.
        shared_by_rows: why what examples share is known from all rows of the training data alone,
            though other rows can be predicted; empty where a few rows say it.
        row_plates: names of the plates whose members are the examples.
        plate_depth: how many plates are nested.
        row_weights: how targets of a weighted fit carry a weight each, on its copies; or None.
        reconstructs: whether its targets are its inputs, so that it predicts none.
        takes_several_inputs: whether x may be several tensors, ``bayesnas.data.Inputs``.
        runs_a_network: whether it sees x by a network alone, whose outputs must have a gradient.
        rows_to_prepare: on how many rows of the sample a fit calls :meth:`prepare`, if it has them;
            on one batch at least.
        elbo: a Pyro ELBO to be trained with; None for the closed-form bound of this package.
        upper_level: names, or their first parts, of the parameters that a bilevel fit trains on
            validation data unless told otherwise: hyperparameters and structure.
        hyper_terms: what a generalised objective adds to the bound for the hyperparameters, a
            function of the model, on the copies that the fit trains; else None.

    >>> import pyro, torch, bayesnas as bn; from pyro.distributions import Normal
    >>> class Mean(bn.models.BayesianModel):
    ...     def __init__(self): super().__init__(); self.loc = torch.nn.Parameter(torch.zeros(()))
    ...     def model(self, x, y=None):
    ...         mean = pyro.sample("mean", Normal(0.0, 1.0))
    ...         with pyro.plate("data", len(x)): pyro.sample("y", Normal(mean, 1.0), obs=y)
    ...     def guide(self, x, y=None): pyro.sample("mean", Normal(self.loc, 0.3))
    >>> post = bn.fit(Mean(), (torch.zeros(9, 1), torch.ones(9)), steps=200, lr=0.1)
    >>> bool(abs(post.model.loc - 0.9) < 0.1)  # of the conjugate posterior: 9 / (9 + 1)
    True
    """

    task: Literal["classification", "regression"] | None = None
    target_site: str = OBSERVED
    takes_data_as_given: ClassVar[bool] = False
    reconstructs: ClassVar[bool] = False
    takes_several_inputs: ClassVar[bool] = False
    runs_a_network: ClassVar[bool] = False
    summed_out: frozenset[str] = frozenset()
    guide_sites: frozenset[str] = frozenset()
    whole_sample: str = ""
    shared_by_rows: str = ""
    row_plates: frozenset[str] = frozenset({DATA_PLATE})
    plate_depth: int = 1
    row_weights: RowWeights | None = None
    rows_to_prepare: int = 0
    elbo: ELBO | None = None
    upper_level: ClassVar[tuple[str, ...]] = ()
    hyper_terms: Callable[[BayesianModel], Tensor] | None = None
    _name_in_pyro: str | None = None

    def model(self, x: Tensor, y: Tensor | None = None) -> Any:
        """Sample p(w, Γ) and p(y | x, w, Γ), the latter observed where ``y`` is given."""
        raise TypeError(f"{type(self).__name__} does not define model(x, y)")

    def guide(self, x: Tensor, y: Tensor | None = None) -> Any:
        """Sample q(w, Γ): the latent sites of :meth:`model`."""
        raise TypeError(f"{type(self).__name__} does not define guide(x, y)")

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the parameters, else of the buffers; data are cast to it."""
        tensors = itertools.chain(self.parameters(), self.buffers())
        dtypes = (value.dtype for value in tensors if value.is_floating_point())
        return next(dtypes, torch.get_default_dtype())

    def input_dtype(self, x: AnyInputs) -> torch.dtype:
        """The type in which inputs reach the model: that of its parameters by default.

        Of several inputs those of floating point have it, and the others keep their own.
        """
        return self.dtype

    def follows_batch(self, site: Mapping[str, Any]) -> bool:
        """Whether a site of a trace stands for the examples of a batch.

        Its log density is multiplied by N / B when B of N examples are seen. By default whatever
        stands in the data plate, and all that is observed but for terms of ``pyro.factor``.
        """
        return stands_for_examples(site)

    def has_rows(self, site: Mapping[str, Any]) -> bool:
        """Whether an observed site has a log density for every example, scaled or not."""
        return self.follows_batch(site)

    @property
    def needs_all_rows(self) -> str:
        """Why a fit must see the whole sample at every step; empty where batches of it do."""
        return self.whole_sample or self.shared_by_rows

    def rows_at_once(self, rows: int) -> int:
        """How many of so many rows are evaluated together."""
        return rows if self.needs_all_rows else ROWS_AT_ONCE

    def few_rows(self, values: AnyInputs) -> AnyInputs:
        """Of inputs or targets ``[n, ...]`` those that say all of what examples share."""
        return values if self.needs_all_rows else values[:FEW]

    def gaussian_parameters(self) -> dict[str, str]:
        """From trained means of Gaussian factors with priors around 0, to the ln σ of each."""
        return {}

    def structure_priors(self) -> dict[str, TorchDistribution]:
        """p(Γ | h) by site; none for a model without a latent structure."""
        return {}

    def size_for(self, classes: int | None) -> None:
        """Take the number of classes of the training data, before a fit; None for a regression."""

    def fit_defaults(self, examples: int) -> FitDefaults:
        """What a fit to so many examples takes for arguments that are not given."""
        return FitDefaults()

    def reset(self) -> None:
        """Draw the initial variational parameters anew from torch's global random state."""

    def prepare(self, x: Tensor, y: Tensor) -> None:
        """See a first batch before any training; a place to create what depends on its shape."""

    def anneal(self, progress: float) -> None:
        """Set what follows a schedule, such as a temperature; called before every step of a fit.

        Such values are buffers, written in place: so they are inputs of a traced step, and
        saved with the model.

        Args:
            progress: fraction of the steps done, in [0, 1).
        """

    def moves(self, x: Tensor) -> Iterator[Callable[[], None]]:
        """Changes of the parameters that a fit tries between its steps, none by default.

        For what gradients don't find, such as two features that say the same. A fit at one KL
        weight tries them at five moments of its second half and keeps each that raises the
        bound; see ``inference/training/chains/moves.py``.

        Args:
            x: examples of the training data ``[n, ...]``.

        Yields:
            functions that change parameters in place. Each is tried before the next is asked for.
        """
        return iter(())

    def check(self, x: Tensor, y: Tensor, classes: int | None = None) -> None:
        """Raise ValueError where data does not fit the model; called before any training.

        Args:
            x: all inputs, ``[n, ...]``.
            y: all targets, ``[n, ...]``.
            classes: number of classes where the data set states it.
        """

    def config(self) -> dict[str, Any]:
        """Constructor arguments as JSON values, for a saved run.

        Raises:
            TypeError: where the model can't be described without pickle; the message says how
                to load the run all the same.
        """
        raise TypeError(
            f"a {type(self).__name__} can't be rebuilt from a saved run by itself: "
            "pass an equally built one to bayesnas.load(path, model=...)"
        )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Rebuild a model from what :meth:`config` gave."""
        return cls(**config)

    def describe(self) -> str:
        """A few words for captions and progress bars."""
        return type(self).__name__

    def starting_point(self) -> str:
        """What a fit draws anew and what it leaves as given, in a few words; empty by default."""
        return ""

    def site_dims(self) -> dict[str, tuple[str, ...]]:
        """Names of the dims of every latent site that has more than one value."""
        return {}

    def log_evidence(self, x: Tensor, y: Tensor) -> Tensor | None:
        """Ln p(y | x) with all latents integrated out exactly; None where that is not known.

        In nats, at the hyperparameters and point estimates as they stand.

        Args:
            x: inputs ``[n, ...]``.
            y: targets ``[n, ...]``.
        """
        return None

    def structure(self) -> xr.Dataset:
        """What the posterior says of the structure: values in [0, 1] with named dims."""
        import xarray as xr

        return xr.Dataset()

    def architecture(self) -> nn.Module:
        """The likeliest discrete network of a model whose operations are latent, with its weights.

        Raises:
            TypeError: for a model of one network.
        """
        raise TypeError(f"{type(self).__name__} has no operations to choose an architecture from")

    def likelihood_config(self) -> dict[str, Any]:
        """Arguments of a ``GaussianNet`` that say the likelihood, to train the architecture alone.

        Raises:
            TypeError: for a model of no network.
        """
        raise TypeError(
            f"{type(self).__name__} does not define likelihood_config(), which training its "
            "architecture by itself needs"
        )

    def plain_module(self) -> nn.Module:
        """A plain ``torch.nn.Module`` with the posterior means in place of the weights."""
        raise TypeError(f"{type(self).__name__} has no plain network to take away")

    def register_with_pyro(self) -> None:
        """Hand the trainable parameters to Pyro's global store, for ``pyro.infer.SVI``.

        They are named ``ArdRegression$$$loc``; a second model of the class in the same program is
        ``ArdRegression_2``, and keeps that name. Their values stay those of the module, so
        ``state_dict`` and ``load_state_dict`` hold what SVI trained. Under
        ``pyro.settings.set(module_local_params=True)`` (our own fits among them) the parameters
        stay the module's and the store is left alone.
        """
        if not pyro.settings.get("module_local_params"):
            self._name_in_pyro = register(self, self._name_in_pyro or type(self).__name__)
