"""Names of the columns of x as labels along the dimensions in which they lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch import nn


def feature_coords(
    names: Sequence[str] | None,
    dims: Iterable[Sequence[str]],
    sizes: Mapping[str, int],
    net: object = None,
) -> dict[str, list[str]]:
    """Labels of the dimension ``feature``, or of the inputs of a network's first layer.

    Args:
        names: of the columns of x; None where they have none.
        dims: of every site or variable, in the order of the layers.
        sizes: of the dimensions.
        net: the network, whose first layer reads x where it is an ``nn.Sequential``; the layers of
            others may be called in another order, and get no labels.

    >>> dims = [("l1.out", "l1.in"), ("l1.out",), ("l2.out", "l2.in")]
    >>> feature_coords(["age", "sex"], dims, {"l1.in": 2, "l2.in": 2}, nn.Sequential())
    {'l1.in': ['age', 'sex']}
    """
    ending = ".in" if isinstance(net, nn.Sequential) else "feature"
    fitting = [dim for each in dims for dim in each if dim == "feature" or dim.endswith(ending)][:1]
    labels = [] if names is None else list(names)
    return {dim: labels for dim in fitting if sizes.get(dim) == len(labels)}
