"""The count of parameter updates is that of the published table."""

from __future__ import annotations

import pytest
import torch

import bayesnas as bn
from bayesnas.inference.optim.update_counts import parameter_updates, trainable_scalars

RANGE = bn.LogUniform(0.1, 100)
PUBLISHED = {"examples": 60_000, "batch_size": 64, "epochs": 25}  # Grebenkova et al. 2021


@pytest.fixture
def model():
    return bn.models.GaussianNet(bn.nn.mlp([784, 50, 10]), prior_scale=0.1)


def test_direct_fits(model):
    assert parameter_updates(model, **PUBLISHED, fits=4) == 7_458_976_000
    assert parameter_updates(model, **PUBLISHED | {"epochs": 1}, fits=4) == 298_359_040


def test_hypernetworks_and_an_epoch_of_fine_tuning(model):
    low_rank = parameter_updates(model, **PUBLISHED, kl_weight=RANGE, amortize="low-rank")
    linear = parameter_updates(model, **PUBLISHED, kl_weight=RANGE, amortize="linear")
    epoch = parameter_updates(model, **PUBLISHED | {"epochs": 1})
    assert (low_rank, linear, epoch) == (4_165_376_600, 3_729_488_000, 74_589_760)
    assert (low_rank + epoch, linear + epoch) == (4_239_966_360, 3_804_077_760)


@pytest.mark.parametrize(
    ("amortize", "factor"),
    [("linear", 2), ("piecewise", 5), (bn.nn.PiecewiseMap(knots=9), 9), (None, 5)],
)
def test_a_map_of_knots_has_a_copy_of_the_parameters_at_each(model, amortize, factor):
    assert trainable_scalars(model, RANGE, amortize) == factor * trainable_scalars(model)


def test_a_learned_prior_scale_counts_and_a_frozen_parameter_does_not(model):
    learned = bn.models.GaussianNet(bn.nn.mlp([784, 50, 10]), prior_scale="learned")
    assert trainable_scalars(learned) == trainable_scalars(model) + 2
    next(learned.parameters()).requires_grad_(False)
    assert trainable_scalars(learned) < trainable_scalars(model) + 2


def test_counting_leaves_the_model_and_the_random_state_alone(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    pointers = [value.data_ptr() for value in model.parameters()]
    state = torch.get_rng_state()
    trainable_scalars(model, RANGE, "low-rank")
    assert torch.equal(torch.get_rng_state(), state)
    assert [value.data_ptr() for value in model.parameters()] == pointers
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_last_batch_that_is_not_full_is_a_step(model):
    ten = parameter_updates(model, examples=10, batch_size=4, epochs=1)
    assert ten == 3 * trainable_scalars(model)
    assert parameter_updates(model, examples=10, batch_size=40, epochs=1) * 3 == ten


@pytest.mark.parametrize("name", ["examples", "batch_size", "epochs", "fits"])
def test_counts_must_be_whole(model, name):
    with pytest.raises(ValueError, match=rf"^{name} must be a whole number >= 1, got 0$"):
        parameter_updates(model, **PUBLISHED | {name: 0})


def test_a_map_needs_a_range(model):
    with pytest.raises(ValueError, match="amortize needs a range of KL weights"):
        trainable_scalars(model, 1.0, "linear")
