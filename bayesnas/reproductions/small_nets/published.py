"""Published small nets for MNIST: bytes, errors, and the error that each started at."""

from __future__ import annotations

from dataclasses import dataclass

REFERENCE = (
    "M. Havasi, R. Peharz, J. M. Hernández-Lobato, Minimal random code learning: getting bits back "
    "from compressed model parameters, ICLR 2019; and the sources in the remarks"
)


@dataclass(frozen=True)
class Row:
    """A net of a source.

    Attributes:
        method: its name, and where it stands.
        error: on the test images, in per cent.
        dense: that of the net it was made from, in per cent; None where it is not said.
        size: bytes, as the source counts them; None where it counts weights alone.
        kept: weights that are left, or their share as dense matrices, in per cent; None where the
            source counts bytes alone.
    """

    method: str
    error: float
    dense: float | None = None
    size: int | None = None
    kept: float | None = None

    def __str__(self) -> str:
        """One phrase."""
        figures = [f"{self.error:g} %"]
        if self.dense is not None:
            figures[0] += f" (dense net {self.dense:g} %)"
        if self.size is not None:
            figures.append(f"{self.size / 1000:.3g} kB")
        if self.kept is not None:
            figures.append(f"{self.kept:g} % of the weights")
        return f"{self.method}: {', '.join(figures)}"


_DENSE_300_100, _DENSE_5 = 1_066_440, 1_724_320  # bytes in single precision

LENET_300_100 = (
    Row("Deep Compression (Han 2016)", 1.58, 1.64, 27_000, 8.0),
    Row("BC-GNJ (Louizos 2017)", 1.8, 1.6, _DENSE_300_100 // 58, 10.8),
    Row("BC-GHS (Louizos 2017)", 2.0, 1.6, _DENSE_300_100 // 59, 10.6),
    Row("Sparse VD, as Louizos 2017 has it", 1.8, 1.6, _DENSE_300_100 // 113, 2.2),
    Row("Sparse VD (Molchanov 2017)", 1.92, 1.64, None, 1.47),
    Row("L0, 219-214-100 (Louizos 2018)", 1.4, 1.6, None, 26.0),
    Row("VIBNet, 97-71-33 (Dai 2018)", 1.6, 1.6, None, 3.6),
    Row("RigL+, 1.16 % at its best step (Evci 2020)", 1.69),
)
LENET_5 = (
    Row("Deep Compression (Han 2016)", 0.74, 0.80, 44_000, 8.0),
    Row("BC-GNJ (Louizos 2017)", 1.0, 0.9, _DENSE_5 // 573, 0.9),
    Row("BC-GHS (Louizos 2017)", 1.0, 0.9, _DENSE_5 // 771, 0.6),
    Row("Sparse VD, as Louizos 2017 has it", 1.0, 0.9, _DENSE_5 // 365, 0.7),
    Row("Sparse VD (Molchanov 2017)", 0.75, 0.80, None, 0.36),
    Row("L0, 20-25-45-462 (Louizos 2018)", 0.9, 0.9, None, 8.9),
    Row("SBP, 3-18-284-283 (Neklyudov 2017)", 0.86, None, None, 19.7),
    Row("MIRACLE (Havasi 2019)", 0.69, None, 3_030),
    Row("MIRACLE, smallest (Havasi 2019)", 0.96, None, 1_520),
)
