"""A user's own Pyro model and guide, brought into the fits of this package."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.infer import ELBO
from pyro.infer.autoguide import AutoGuide
from pyro.nn import PyroModule
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn
from torch.distributions import Transform, constraints, transform_to

from bayesnas.data.inputs import AnyInputs, Inputs
from bayesnas.models.base import BayesianModel
from bayesnas.models.programs.checks import check_program
from bayesnas.models.programs.effect_guides import as_guide, make_copyable
from bayesnas.models.programs.sites import ProgramSites, find_program_sites
from bayesnas.models.site_kinds import (
    DATA_PLATE,
    OBSERVED,
)
from bayesnas.typed import typed


@typed(unchecked=("model_fn", "guide_fn"))
class PyroPair(BayesianModel):
    """Any Pyro model and guide as a model of the zoo.

    Both are called with ``(x, y)``, as they are handed to ``bayesnas.fit``, in the rows of a batch:
    nothing is reshaped or cast. ``y`` is None when predictions are drawn. What stands for the
    examples of a batch of B of N is multiplied by N / B: all in a plate of as many members as the
    batch has rows, whatever its name, and observed values with a row for each; which these are is
    found by running the pair on two numbers of rows. ``poutine.mask`` and ``poutine.scale``,
    ``pyro.factor``, ``pyro.deterministic`` and plates that subsample mean what they mean in Pyro.
    Parameters made by ``pyro.param``, by a ``PyroModule`` or by an autoguide on its first call
    become this module's own; Pyro's global store is not touched. Networks belong to the pair when
    the functions are modules, or bound methods of one (``PyroPair(vae.model, vae.guide)``).

    Args:
        model_fn: the model, a function or an ``nn.Module``.
        guide_fn: the guide, likewise, or an autoguide.
        elbo: a Pyro ELBO with ``differentiable_loss`` to train with, e.g. ``Trace_ELBO()`` for
            guides that are not reparameterised; by default our own closed-form bound.
        target: the observed site of which predictions are made; needed where there are several
            and none is called ``"y"``.

    Raises:
        TypeError: naming a function that can't be called with (x, y), and an ELBO without
            ``differentiable_loss``.

    >>> import pyro, torch, bayesnas as bn, pyro.distributions as dist
    >>> def model(x, y=None):
    ...     w = pyro.sample("w", dist.Normal(0.0, 1.0))
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("y", dist.Normal(w * x, 1.0), obs=y)
    >>> def guide(x, y=None):
    ...     loc = pyro.param("loc", torch.tensor(0.0))
    ...     pyro.sample("w", dist.Normal(loc, 0.1))
    >>> post = bn.fit(bn.models.PyroPair(model, guide), (torch.ones(8), torch.ones(8)), steps=3)
    >>> pyro.get_param_store().keys()
    dict_keys([])
    """

    takes_data_as_given = True
    takes_several_inputs = True
    rows_to_prepare = 16  # one or two may not show what follows the rows
    model_fn: Callable[..., Any]
    guide_fn: Callable[..., Any]

    def __init__(
        self,
        model_fn: Callable[..., Any],
        guide_fn: Callable[..., Any],
        *,
        elbo: ELBO | None = None,
        target: str | None = None,
    ) -> None:
        """Keep the pair; nn.Modules among them become submodules."""
        super().__init__()
        for name, fn in (("model_fn", model_fn), ("guide_fn", guide_fn)):
            if not callable(fn):
                raise TypeError(f"{name} must be a function or a module, got {type(fn).__name__}")
            _check_arguments(name, fn)
            setattr(self, name, fn)
            owner = getattr(fn, "__self__", None)
            if isinstance(owner, nn.Module):  # a bound method brings its module along
                self.add_module(f"{name}_owner", owner)
        make_copyable(self)
        for module in self.modules():
            if isinstance(module, PyroModule) and not hasattr(module._pyro_context, "param_state"):
                # Built under global parameters; ours are local, which needs a store of its own.
                module._pyro_context.param_state = {"params": {}, "constraints": {}}
        if elbo is not None and not hasattr(elbo, "differentiable_loss"):
            raise TypeError(
                "elbo must be an ELBO of Pyro's with differentiable_loss, such as Trace_ELBO(), "
                f"got a {type(elbo).__name__}"
            )
        self.elbo = elbo
        self._target, self._sites = target, ProgramSites(frozenset({DATA_PLATE}))
        self.own = nn.ParameterDict()
        self._transforms: dict[str, Transform] = {}
        self._module_parameters: set[str] = set()

    def __deepcopy__(self, memo: dict[int, Any]) -> PyroPair:
        """Copy functions and parameters; an autoguide keeps its model, which it would drop."""
        # An autoguide's __getstate__ empties the guide itself of its model, not just the copy.
        guides = [module for module in self.modules() if isinstance(module, AutoGuide)]
        kept = [(guide._model, guide.master) for guide in guides]
        duplicate = type(self).__new__(type(self))
        memo[id(self)] = duplicate
        duplicate.__dict__.update(copy.deepcopy(self.__dict__, memo))
        make_copyable(duplicate)
        for guide, (model, master) in zip(guides, kept, strict=True):
            guide._model, guide.master = model, master
            memo[id(guide)]._model = copy.deepcopy(model, memo)
        return duplicate

    def model(self, x: AnyInputs, y: Tensor | None = None) -> Any:
        """Call the user's model with this module's own parameters."""
        with pyro.settings.context(module_local_params=True), _OwnParameters(self, x.device):
            return self.model_fn(_as_given(x), y)

    def guide(self, x: AnyInputs, y: Tensor | None = None) -> Any:
        """Call the user's guide with this module's own parameters."""
        with pyro.settings.context(module_local_params=True), _OwnParameters(self, x.device):
            return as_guide(self.guide_fn, self._sites.observed)(_as_given(x), y)

    def prepare(self, x: Tensor, y: Tensor) -> None:
        """Run guide and model once, so that every parameter exists before training."""
        with torch.no_grad():
            guide_trace = poutine.trace(self.guide).get_trace(x, y)
            program = poutine.replay(self.model, trace=guide_trace)
            model_trace = poutine.trace(program).get_trace(x, y)
        for parameter in self.parameters():
            if not parameter.is_contiguous():  # guides expand their initial values
                parameter.data = parameter.data.contiguous()
        check_program(guide_trace, model_trace, _name(self.guide_fn), self.elbo)
        buffers = {name: buffer.clone() for name, buffer in self.named_buffers()}
        self._sites = find_program_sites(self.model, self.guide, x, y, _name(self.guide_fn))
        for name, before in buffers.items():  # running statistics and counters of the user's
            self.get_buffer(name).copy_(before)
        self.target_site = self._sites.target(self._target) or OBSERVED
        self.summed_out, self.whole_sample = self._sites.summed_out, self._sites.whole_sample
        self.plate_depth, self.row_plates = self._sites.depth, self._sites.row_plates
        self.guide_sites, self.shared_by_rows = self._sites.sampled, self._sites.shared_by_rows

    def site_dims(self) -> dict[str, tuple[str, ...]]:
        """Names of plates, and places in the others; known once the pair has seen a batch.

        A plate that has the name of a site is ``<name>_plate``.
        """
        sites = self._sites.dims
        return {
            site: tuple(f"{dim}_plate" if dim in sites else dim for dim in dims)
            for site, dims in sites.items()
            if dims and site not in self._sites.observed
        }

    def describe(self) -> str:
        """The names of both, e.g. ``PyroPair(model, AutoNormal)``."""
        return f"{type(self).__name__}({_name(self.model_fn)}, {_name(self.guide_fn)})"

    def follows_batch(self, site: Mapping[str, Any]) -> bool:
        """Whether a site stands for the examples of a batch; known once the pair has seen one."""
        return self._sites.follows_batch(site)

    def few_rows(self, values: AnyInputs) -> AnyInputs:
        """All where a plate draws rows out of them, which may be more than a few."""
        return values if self._sites.subsamples else super().few_rows(values)

    def has_rows(self, site: Mapping[str, Any]) -> bool:
        """Whether an observed site has a log density for every example."""
        return self._sites.has_rows(site)

    def reset(self) -> None:
        """Call ``reset_parameters`` wherever the user's own modules have it."""
        for module in self.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()

    def parameter_value(
        self, name: str, initial: Any, constraint: constraints.Constraint, device: torch.device
    ) -> Any:
        """Value of ``pyro.param(name, initial, constraint)``, created at its first call.

        It lies where the data do, as on a GPU, whatever the device of its initial value.

        Raises:
            KeyError: for a parameter that is asked for without an initial value.
            ValueError: for ``pyro.module`` of a module this pair does not own.
        """
        if _MODULE_DIVIDER in name:
            return self._submodule_parameter(name, initial)
        key = name.replace(".", "/")
        if key not in self._transforms:
            if initial is None:
                raise KeyError(f"pyro.param({name!r}) has no initial value")
            start = torch.as_tensor(initial() if callable(initial) else initial, device=device)
            transform = transform_to(constraint)
            self._transforms[key] = transform
            with torch.no_grad():
                self.own[key] = nn.Parameter(transform.inv(start.detach()).clone())
        return self._transforms[key](self.own[key])

    def _submodule_parameter(self, name: str, value: Any) -> Any:
        if name not in self._module_parameters:
            if not any(value is parameter for parameter in self.parameters()):
                raise ValueError(
                    f"pyro.module({name.split(_MODULE_DIVIDER)[0]!r}, ...) names a module that "
                    "model_fn and guide_fn only close over: give them as an nn.Module or as "
                    "bound methods of one, so that every fit can train its own copy"
                )
            self._module_parameters.add(name)
        return value


def _check_arguments(name: str, fn: Callable[..., Any]) -> None:
    """Raise TypeError for a function that can't be called with ``(x, y)``."""
    if not inspect.isroutine(fn):
        return  # modules and handlers take what they hand on
    try:
        inspect.signature(fn).bind(None, None)
    except TypeError as error:
        raise TypeError(
            f"{name} must take (x, y), both by position, got {_name(fn)}{inspect.signature(fn)}"
        ) from error


def _as_given(x: AnyInputs) -> Any:
    """Several inputs as the tuple or dict that they came as."""
    return x.tensors if isinstance(x, Inputs) else x


def _name(fn: Callable[..., Any]) -> str:
    return str(getattr(fn, "__name__", type(fn).__name__))


_MODULE_DIVIDER = "$$$"  # pyro.module names its parameters "module$$$parameter"


class _OwnParameters(Messenger):
    """Answer ``pyro.param`` from a :class:`PyroPair` instead of the global store."""

    def __init__(self, pair: PyroPair, device: torch.device) -> None:
        super().__init__()
        self.pair, self.device = pair, device

    def _pyro_param(self, msg: Any) -> None:
        if msg["fn"] != pyro.get_param_store().get_param:
            return  # a PyroModule answers for its parameters itself
        name, initial = (*msg["args"], None, None)[:2]
        constraint = msg["kwargs"].get("constraint", constraints.real)
        msg["value"] = self.pair.parameter_value(name, initial, constraint, self.device)
        msg["done"] = True
