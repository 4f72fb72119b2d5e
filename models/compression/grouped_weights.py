"""What a model with scaled groups says of them, and the smaller nets that come of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from bayesnas.checks import finite
from bayesnas.data.inputs import AnyInputs, by_position
from bayesnas.distributions import GaussianWeights, GroupScales
from bayesnas.models.compression.scale_priors import GroupPrior
from bayesnas.models.compression.threshold_sweep import sweep_groups
from bayesnas.models.networks.base import NetModel
from bayesnas.nn.lazy.scaled_tensor import along_axis, scaled
from bayesnas.nn.modules.keep_masks import KeepMasks
from bayesnas.nn.modules.parameter_names import dotted
from bayesnas.nn.modules.weight_groups import Groups
from bayesnas.pruning.bit_widths import BitWidth, bit_width, compression
from bayesnas.pruning.unused_units import read_masks
from bayesnas.typed import typed

if TYPE_CHECKING:
    import xarray as xr


class GroupedWeights(NetModel):
    """Weights w = z w̃ of a network with a scale z for every group; a base class.

    Attributes:
        groups: groups of the stochastic layers, by layer.
        scale_prior: p(z) and the form of its guide.
        keep_groups: masks of kept groups, by layer.
    """

    groups: dict[str, Groups]
    scale_prior: GroupPrior
    keep_groups: KeepMasks

    def posterior(self, site: str) -> GaussianWeights:
        """Guide of one tensor w̃."""
        raise TypeError(f"{type(self).__name__} does not define posterior(site)")

    def scale_posterior(self, name: str, variable: str) -> GroupScales:
        """Guide of one of a layer's scale variables."""
        raise TypeError(f"{type(self).__name__} does not define scale_posterior(name, variable)")

    # What the posterior says ----------------------------------------------------------------

    def group_names(self) -> dict[str, str]:
        """Name of the dim that a layer's groups are along, by layer."""
        return {name: dotted(name, groups.on) for name, groups in self.groups.items()}

    def site_dims(self) -> dict[str, tuple[str, ...]]:
        """Named dims of every weight tensor and of every scale that has groups."""
        dims = dict(self.layers.dims)
        for name, dim in self.group_names().items():
            for variable in self.scale_prior.variables:
                if self.variational[f"{dotted(name, variable)}.loc"].ndim:
                    dims[dotted(name, variable)] = (dim,)
        return dims

    def structure(self) -> xr.Dataset:
        """Inclusion of every group, ``layer1.inclusion`` over ``layer1.in``; 0 where removed.

        1/(1 + α) with α = Var z / (E z)² for the two log-uniform priors; for the horseshoe
        E z²/(1 + z²) of the local scale, one minus its shrinkage weight.
        """
        import xarray as xr

        variables = {}
        for name, dim in self.group_names().items():
            with torch.no_grad():
                inclusion = self.scale_prior.inclusion(self._guides(name))
            inclusion = inclusion * self.keep_groups.masks()[name]
            variables[dotted(name, "inclusion")] = (dim, inclusion.cpu().numpy())
        return xr.Dataset(
            variables, attrs={"quantity": "how far a group is needed, near 0 where it may go"}
        )

    def group_scores(self) -> dict[str, Tensor]:
        """How little each group matters, ``[groups]`` by layer; +inf where it is removed.

        ln α for the two log-uniform priors, the negative log-mode of z for the horseshoe.
        """
        scores = {}
        for name, kept in self.keep_groups.masks().items():
            with torch.no_grad():
                values = self.scale_prior.scores(self._guides(name))
            scores[name] = torch.where(kept, values.nan_to_num(nan=torch.inf), torch.inf)
        return scores

    def weight_posteriors(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Mean and standard deviation of every weight w = z w̃, by site.

        Var w = E z² (σ² + μ²) − (E z μ)².
        """
        moments = {}
        with torch.no_grad():
            for site in self.layers.shapes:
                q = self.posterior(site)
                mean, variance = q.mean, q.variance
                name, axis = self._group_axis(site)
                if axis is not None:
                    first, second = self.scale_prior.moments(self._guides(name))
                    spread = (second - first.square()).clamp_min(0)
                    first, second, spread = (
                        along_axis(moment, axis, mean.ndim) for moment in (first, second, spread)
                    )
                    variance = second * variance + spread * mean.square()
                    mean = first * mean
                moments[site] = (mean.detach(), variance.sqrt())
        return moments

    def _guides(self, name: str) -> dict[str, Any]:
        return {v: self.scale_posterior(name, v).base for v in self.scale_prior.variables}

    # Smaller networks -----------------------------------------------------------------------

    def set_keep_masks(self, masks: Mapping[str, Tensor]) -> None:
        """Remove the weights whose mask is false; a group without any weight left goes too."""
        self.keep.assign(masks)
        kept = self.keep_groups.masks()
        for site, mask in self.keep.masks().items():
            name, axis = self._group_axis(site)
            if axis is not None and site.endswith("weight"):
                kept[name] &= mask.transpose(0, axis).flatten(1).any(1)
        self._drop_groups(kept)

    @typed()
    def remove_groups(self, threshold: float) -> None:
        """Remove the groups whose score is at or above a threshold, in place.

        Args:
            threshold: in units of :meth:`group_scores`.

        Raises:
            ValueError: where a layer would lose all its groups; the message names the layer and
                the smallest threshold at which every layer keeps one.
        """
        threshold = finite("threshold", threshold)
        scores = self.group_scores()
        refuse_to_empty_a_layer(scores, threshold)
        self._drop_groups({name: score < threshold for name, score in scores.items()})

    @typed()
    def group_sweep(
        self, x: Tensor, y: Tensor, thresholds: Sequence[float] | None = None
    ) -> xr.Dataset:
        """Loss on validation data as more groups go; see :func:`sweep_groups`.

        :func:`~bayesnas.models.compression.threshold_sweep.knee` of it is the threshold to take.

        Args:
            x: inputs ``[n, ...]`` of the validation data.
            y: their targets ``[n]`` or ``[n, k]``.
            thresholds: as :func:`sweep_groups` takes them.

        Raises:
            TypeError: naming an argument of another type.
            ValueError: as :func:`sweep_groups`.
        """
        return sweep_groups(self, x, y, thresholds)

    def remove_unread(self, example: AnyInputs) -> None:
        """Remove the units and filters that no kept weight reads any more, in place.

        Args:
            example: a few inputs, to follow how the layers hang together.
        """
        module = self.plain_module()
        inputs = by_position(module, example)
        self.set_keep_masks(read_masks(module, self.keep.masks(), inputs))

    def bit_widths(self) -> dict[str, BitWidth]:
        """Bits that the kept weights of each layer need, by layer."""
        widths = {}
        for name, (mean, variance, mask) in self._kept_weights().items():
            if bool(mask.any()):
                widths[name] = bit_width(mean[mask], variance[mask])
        return widths

    def compression(self) -> dict[str, float]:
        """How many times smaller the kept weights are.

        See :func:`bayesnas.pruning.bit_widths.compression`.

        Call :meth:`remove_unread` before, or weights that nothing reads are counted.
        """
        kept = self._kept_weights()
        means, variances, masks = ({n: f[i] for n, f in kept.items()} for i in range(3))
        return compression(means, variances, masks)

    def _kept_weights(self) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
        """Mean, variance and mask of every layer's weight, biases left out, by layer."""
        masks = self.keep.masks()
        return {
            site.removesuffix("weight").removesuffix("."): (mean, scale.square(), masks[site])
            for site, (mean, scale) in self.weight_posteriors().items()
            if site.endswith("weight")
        }

    def _drop_groups(self, kept: Mapping[str, Tensor]) -> None:
        masks = self.keep.masks()
        for site, mask in masks.items():
            name, axis = self._group_axis(site)
            if axis is not None:
                mask &= along_axis(kept[name], axis, mask.ndim)
        self.keep.assign(masks)
        self.keep_groups.assign(kept)

    def plain_module(self) -> nn.Module:
        """A copy of the network with z w̃ at the posterior means as ordinary parameters."""
        with torch.no_grad():
            scales = {}
            for name in self.groups:
                guides = {v: self.scale_posterior(name, v) for v in self.scale_prior.variables}
                scales[name] = self.scale_prior.join({v: q.mean for v, q in guides.items()})
            means = {
                site: self._times_scale(site, self.posterior(site).mean, scales)
                for site in self.layers.shapes
            }
        return self.layers.filled(self.net, means)

    def _times_scale(self, site: str, weight: Tensor, scales: Mapping[str, Tensor]) -> Tensor:
        name, axis = self._group_axis(site)
        if axis is None:
            return weight
        return scaled(weight, scales[name], axis, self.groups[name].on)

    def _group_axis(self, site: str) -> tuple[str, int | None]:
        """Layer of a weight tensor, and the axis along which its groups lie, if any."""
        name = self.layers.names[self.layers.layer_index[site]]
        groups = self.groups.get(name)  # none where a layer's weight is tied to another's
        return name, None if groups is None else groups.axis(site.rpartition(".")[2])


def refuse_to_empty_a_layer(scores: Mapping[str, Tensor], threshold: float) -> None:
    """Raise where no group of some layer has a score below the threshold."""
    least = {name: float(score.min()) for name, score in scores.items()}
    empty = [name for name, score in least.items() if not score < threshold]
    if empty:
        limit = max(least.values())
        raise ValueError(
            f"threshold={threshold:g} would remove all groups of layer {empty[0]!r}; the smallest "
            f"that leaves every layer one lies just above {limit:.6g}"
        )
