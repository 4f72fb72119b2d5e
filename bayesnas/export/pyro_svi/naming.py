"""Names of the dimensions of what is exported: those given, of plates, or by place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from bayesnas.export.plate_dims import plate_dims
from bayesnas.export.psis import separate_ties
from bayesnas.export.pyro_svi.program import Sites, Values

if TYPE_CHECKING:
    from bayesnas.export.datasets import Variables


class VariableNames:
    """Names of the dimensions of every variable: those given, of plates, or by place."""

    def __init__(
        self, sites: Sites, dims: Mapping[str, Sequence[str]], sample_dims: tuple[str, ...]
    ) -> None:
        self._sites, self._given, self._sample_dims = sites, dims, sample_dims

    def _rest(self, name: str, shape: Sequence[int]) -> tuple[str, ...]:
        """Names of all dimensions of a value, in which plates are those that it lies in."""
        if name in self._given:
            return tuple(self._given[name])
        node = self._sites.nodes.get(name)
        if node is None:
            return plate_dims(name, shape, (), 0)
        # All dims of a deterministic site are said to be of one event.
        event = 0 if name in self._sites.deterministic else node["fn"].event_dim
        return tuple(map(self._plate, plate_dims(name, shape, node["cond_indep_stack"], event)))

    def _plate(self, name: str) -> str:
        """Name of the dim of a plate, which no variable may have."""
        return f"{name}_plate" if name in self._sites.nodes and self._is_variable(name) else name

    def _is_variable(self, name: str) -> bool:
        sites = self._sites
        return name in (*sites.latent, *sites.enumerated, *sites.observed, *sites.deterministic)

    def _leading(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return array[None] if len(self._sample_dims) == 2 else array

    def sampled(self, values: Values) -> Variables:
        """Draws with their sample dims."""
        variables: Variables = {}
        for name, value in values.items():
            dims = self._checked(name, self._rest(name, value.shape[1:]), value.ndim - 1)
            variables[name] = ((*self._sample_dims, *dims), self._leading(value.numpy()))
        return variables

    def pointwise(self, values: Values) -> Variables:
        """Log-likelihoods, whose events are summed, apart where all draws agree."""
        variables: Variables = {}
        for name, value in values.items():
            whole = self._rest(name, self._sites.nodes[name]["value"].shape)
            dims = self._checked(name, whole[: value.ndim - 1], value.ndim - 1)
            array, _ = separate_ties(value.numpy()[None])
            variables[name] = ((*self._sample_dims, *dims), self._leading(array[0]))
        return variables

    def of_data(self, sites: Sites) -> Variables:
        """Observed values."""
        variables: Variables = {}
        for name in sites.observed:
            value = sites.nodes[name]["value"].detach().cpu()
            shape = sites.nodes[name]["fn"].batch_shape + sites.nodes[name]["fn"].event_shape
            array = value.expand(shape).numpy() if value.shape != shape else value.numpy()
            variables[name] = (
                self._checked(name, self._rest(name, array.shape), array.ndim),
                array,
            )
        return variables

    def constant(self, arrays: Mapping[str, Any]) -> Variables:
        """What the model was conditioned on."""
        variables: Variables = {}
        for name, value in arrays.items():
            array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
            variables[name] = (
                self._checked(name, self._rest(name, array.shape), array.ndim),
                array,
            )
        return variables

    def _checked(self, name: str, dims: tuple[str, ...], ndim: int) -> tuple[str, ...]:
        if len(dims) != ndim:
            raise ValueError(f"dims[{name!r}] must name {ndim} dimensions, got {list(dims)}")
        return dims
