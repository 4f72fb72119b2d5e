"""What the pictures of features draw, read back from their axes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from bayesnas.plots.structure.features import plot_features


def test_features_stand_side_by_side_with_a_gap() -> None:
    features = torch.arange(12.0).reshape(2, 6) - 7
    ax = plot_features(features, (2, 3), Figure().subplots())
    drawn = np.ma.filled(ax.images[0].get_array(), np.nan)
    assert drawn.shape == (2, 7)
    assert drawn[:, :3].tolist() == features[0].reshape(2, 3).tolist()
    assert np.isnan(drawn[:, 3]).all()
    assert drawn[:, 4:].tolist() == features[1].reshape(2, 3).tolist()
    assert ax.images[0].get_clim() == (-7, 7)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"features must have shape \[K, 6\] .* got \[2, 5\]"):
        plot_features(torch.zeros(2, 5), (2, 3))
