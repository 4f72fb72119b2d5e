"""What a distribution is underneath, and means of densities."""

import numpy as np
import pyro.distributions as dist
import torch
from scipy.special import logsumexp

from bayesnas.densities import innermost, is_point_mass, log_mean_exp


def test_what_is_wrapped_is_looked_into():
    point = dist.Delta(torch.zeros(3, 2)).to_event(1).mask(torch.tensor([True, False, True]))
    assert is_point_mass(point)
    assert not is_point_mass(dist.LogNormal(0.0, 1.0))
    assert isinstance(innermost(dist.LogNormal(0.0, 1.0).expand([2]).to_event(1)), dist.Normal)


def test_a_mean_of_densities_of_any_size():
    logs = 500 * torch.randn(7, 4, dtype=torch.float64)
    for dim in (0, 1):
        expected = logsumexp(logs.numpy(), axis=dim, b=1 / logs.shape[dim])
        assert np.allclose(log_mean_exp(logs, dim), expected, rtol=1e-12)
