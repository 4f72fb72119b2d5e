"""The figures of Louizos, Ullrich and Welling (2017), table 2: MNIST."""

from __future__ import annotations

from dataclasses import dataclass

REFERENCE = "Louizos, Ullrich, Welling, Bayesian compression for deep learning, 2017"


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        method: as the source calls it.
        architecture: groups that are left in each layer.
        kept: share of the weights that are not zero, in per cent.
        error: of the compressed net on the test part, in per cent.
        pruning, fast, maximum: how many times smaller: by the weights alone, by dense matrices
            with fewer bits, by the best coding.
    """

    method: str
    architecture: str
    kept: float
    error: float
    pruning: float
    fast: float
    maximum: float


LENET_300_100 = {
    "sparse-vd": Row("Sparse VD", "512-114-72", 2.2, 1.8, 21, 84, 113),
    "normal-jeffreys": Row("BC-GNJ", "278-98-13", 10.8, 1.8, 9, 36, 58),
    "horseshoe": Row("BC-GHS", "311-86-14", 10.6, 1.8, 9, 23, 59),
}
LENET_5 = {
    "sparse-vd": Row("Sparse VD", "14-19-242-131", 0.7, 1.0, 63, 228, 365),
    "normal-jeffreys": Row("BC-GNJ", "8-13-88-13", 0.9, 1.0, 108, 361, 573),
    "horseshoe": Row("BC-GHS", "5-10-76-16", 0.6, 1.0, 156, 419, 771),
}
