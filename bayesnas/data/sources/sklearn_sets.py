"""The data sets that scikit-learn ships: no network, no files."""

from __future__ import annotations

from typing import Any

import torch

from bayesnas.data.assemble import Raw


def digits(flatten: bool | None) -> Raw:
    """1,797 handwritten digits, 8 × 8 pixels, divided by 16 to lie in [0, 1].

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998.

    Args:
        flatten: False gives x `[n, 1, 8, 8]`; otherwise `[n, 64]`.
    """
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    x = torch.from_numpy(bunch.data / 16).float()
    return Raw(
        name="digits",
        parts={"train": (x.reshape(-1, 1, 8, 8) if flatten is False else x, _labels(bunch))},
        task="classification",
        class_names=[str(name) for name in bunch.target_names],
        feature_names=None if flatten is False else bunch.feature_names,
        image_shape=(1, 8, 8),
    )


def diabetes() -> Raw:
    """442 patients, 10 measurements in their own units, disease progression after a year.

    Source: B. Efron, T. Hastie, I. Johnstone and R. Tibshirani, Least Angle Regression, 2004.
    """
    from sklearn.datasets import load_diabetes

    bunch: Any = load_diabetes(scaled=False)
    return Raw(
        name="diabetes",
        parts={"train": (torch.from_numpy(bunch.data), torch.from_numpy(bunch.target))},
        task="regression",
        feature_names=bunch.feature_names,
    )


def breast_cancer() -> Raw:
    """569 tumours, 30 features of their cell nuclei in their own units, malignant or benign.

    Source: W. N. Street, W. H. Wolberg and O. L. Mangasarian, 1993; UCI Wisconsin Diagnostic.
    """
    from sklearn.datasets import load_breast_cancer

    bunch: Any = load_breast_cancer()
    return Raw(
        name="breast-cancer",
        parts={"train": (torch.from_numpy(bunch.data), _labels(bunch))},
        task="classification",
        class_names=[str(name) for name in bunch.target_names],
        feature_names=list(bunch.feature_names),
    )


def _labels(bunch: Any) -> torch.Tensor:
    return torch.from_numpy(bunch.target).long()
