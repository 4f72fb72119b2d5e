import math

import numpy as np
import pytest
import torch
from scipy import stats

from bayesnas.pruning.criteria.relative_density import log_relative_density, relative_density


def test_relative_density_is_the_density_at_zero_over_the_density_at_the_mode():
    loc, scale = np.array([-2.0, 0.0, 0.3, 5.0]), np.array([1.0, 0.1, 0.3, 2.0])
    expected = stats.norm(loc, scale).pdf(0) / stats.norm(loc, scale).pdf(loc)

    ours = relative_density(torch.tensor(loc), torch.tensor(scale))
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_relative_density_of_a_certain_weight_is_one_at_zero_and_zero_elsewhere():
    loc, scale = torch.tensor([0.0, 0.5, -0.0]), torch.zeros(3)

    assert relative_density(loc, scale).tolist() == [1.0, 0.0, 1.0]
    assert log_relative_density(loc, scale).tolist() == [0.0, -math.inf, 0.0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_relative_density_keeps_the_type(dtype):
    density = relative_density(torch.tensor([1.0], dtype=dtype), torch.tensor([1.0], dtype=dtype))

    assert density.dtype == dtype
    assert density.item() == pytest.approx(math.exp(-0.5), rel=1e-3)


def test_shapes_that_differ_are_named():
    with pytest.raises(ValueError, match="scale must have the shape of loc"):
        relative_density(torch.zeros(2), torch.zeros(3))
