"""Hypergradients of settings of a fit against finite differences of torch's own Adam."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import bayesnas as bn
from bayesnas.inference.config.schedules import learning_rate_factor
from bayesnas.inference.learned.fit_settings import LearnedSettings
from bayesnas.inference.learned.tasks.bounds import Bounds, DrawnWeighted

STEPS, ROWS, MEAN = 12, 5, 0.8
LOG_SCALES = torch.tensor([False, True])
START = torch.tensor([[-0.3, -2.0], [1.5, -1.0]], dtype=torch.float64)
VALUES = {"rate": 0.07, "momentum": 0.8, "decay": 0.43, "warmup": 0.37, "scale": 1.6}
PHI = {
    "rate": "log_rate",
    "momentum": "momentum_logit",
    "decay": "decay_logit",
    "warmup": "warmup_logit",
    "scale": "log_scale",
}


def conjugate_loss(theta: Tensor, step: int, kl_weights: Tensor) -> Tensor:
    """−𝓛(λ)/n of N(m, s²) for a mean under N(0, 1), n examples of variance 1 and mean MEAN."""
    mean, log_scale = theta.unbind(1)
    variance = (2 * log_scale).exp()
    fit = ROWS * ((mean - MEAN).square() + variance) / 2
    kl = (mean.square() + variance - 1) / 2 - log_scale
    return (fit + kl_weights * kl) / ROWS


def learned(values) -> LearnedSettings:
    settings = LearnedSettings(**values).double()
    with torch.no_grad():  # to the last digit of double precision
        for name, value in values.items():
            log = math.log(value) if name in ("rate", "scale") else math.log(value / (1 - value))
            settings.get_parameter(PHI[name]).fill_(log)
    return settings


def loss_by_torch(values) -> float:
    """The loss after a fit at these settings, by ``torch.optim.Adam``, without derivatives."""
    theta = (START + math.log(values["scale"]) * LOG_SCALES.double()).requires_grad_()
    adam = torch.optim.Adam([theta], lr=1.0, betas=(values["momentum"], 0.999))
    for step in range(STEPS):
        done = step / STEPS
        weight = torch.tensor(min(1.0, done / values["warmup"]), dtype=torch.float64)
        adam.param_groups[0]["lr"] = values["rate"] * min(1.0, (1 - done) / (1 - values["decay"]))
        adam.zero_grad()
        conjugate_loss(theta, step, weight.expand(2)).sum().backward()
        adam.step()
    return conjugate_loss(theta.detach(), STEPS, torch.tensor(1.0)).mean().item()


def loss_and_slopes(values) -> tuple[float, dict[str, float]]:
    settings = learned(values)
    theta = settings.start(START, LOG_SCALES)
    drawn = DrawnWeighted(START, conjugate_loss)
    loss, _, _ = settings.take(drawn, theta, None, range(STEPS), STEPS)
    loss.backward()
    return loss.item(), {name: settings.get_parameter(PHI[name]).grad.item() for name in values}


@pytest.mark.parametrize("name", list(VALUES))
def test_a_hypergradient_is_a_finite_difference(name):
    loss, slopes = loss_and_slopes(VALUES)
    assert math.isclose(loss, loss_by_torch(VALUES), rel_tol=1e-9)
    value, ends, step = VALUES[name], list[float](), 1e-4
    to_phi = value if name in ("rate", "scale") else value * (1 - value)
    for size in (step, -step, 2 * step, -2 * step):
        ends.append(loss_by_torch({**VALUES, name: value + size}))
    # Of fourth order, so that rounding and the rest of the series are both below the tolerance.
    difference = (8 * (ends[0] - ends[1]) - (ends[2] - ends[3])) / (12 * step)
    assert abs(difference) > 1e-3
    assert math.isclose(slopes[name], to_phi * difference, rel_tol=1e-6)


def test_windows_one_after_another_are_one_path():
    settings, drawn = learned(VALUES), DrawnWeighted(START, conjugate_loss)
    start = settings.start(START, LOG_SCALES)
    whole = settings.take(drawn, start, None, range(STEPS), STEPS)
    _, theta, state = settings.take(drawn, start, None, range(5), STEPS)
    parts = settings.take(drawn, theta, state, range(5, STEPS), STEPS)
    torch.testing.assert_close(parts[1], whole[1], rtol=1e-12, atol=0)
    whole[0].backward(), parts[0].backward()
    # Behind the second window nothing is seen of the scale that the first one started from.
    assert settings.log_scale.grad.item() == loss_and_slopes(VALUES)[1]["scale"]


def test_a_fit_takes_the_settings():
    settings = LearnedSettings(**VALUES)
    arguments = settings.fit_arguments()
    for done in (0.0, 0.3, 0.5, 0.9):
        factor = learning_rate_factor(arguments["schedule"], done)
        expected = settings.rate_at(done).item()
        assert arguments["lr"] * factor == pytest.approx(expected, rel=1e-5)
    x = torch.linspace(-1, 1, 20)[:, None]
    model = bn.models.GaussianNet(bn.nn.mlp([1, 1]), likelihood="gaussian")
    taken = list[float]()
    post = bn.fit(
        model,
        (x, 2 * x[:, 0]),
        steps=10,
        batch_size=20,
        compile=False,
        on_step=lambda event: taken.append(event.kl_weight),
        **arguments,
    )
    assert post.settings.kl_warmup == pytest.approx(VALUES["warmup"], rel=1e-6)
    assert taken == pytest.approx([settings.kl_factor_at(t / 10).item() for t in range(10)])


def test_bounds_say_which_parameters_are_log_scales():
    x = torch.linspace(-1, 1, 20)[:, None]
    model = bn.models.GaussianNet(
        bn.nn.mlp([1, 3, 1]), likelihood="gaussian", initial_scale=0.05, prior_scale="learned"
    )
    tasks = Bounds(model, (x, x[:, 0]), batch_size=20)
    start, losses = tasks.draw_weighted(2, seed=0)
    assert int(tasks.log_scales.sum()) == 10
    assert torch.allclose(start[:, tasks.log_scales], torch.tensor(0.05).log())
    ends = [losses(start, 0, torch.full((2,), weight)) for weight in (0.0, 1.0, 3.0)]
    torch.testing.assert_close(ends[2] - ends[0], 3 * (ends[1] - ends[0]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ends[1], tasks.draw(2, seed=0).losses(start, 0))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate": 0.0}, "rate must be a finite number > 0"),
        ({"scale": -1.0}, "scale must be a finite number > 0"),
        ({"momentum": 1.0}, r"momentum must be a fraction in \(0, 1\), got 1"),
        ({"decay": 0.0}, "decay must be a fraction"),
        ({"warmup": 2}, "warmup must be a fraction"),
    ],
)
def test_what_settings_refuse(values, message):
    with pytest.raises(ValueError, match=message):
        LearnedSettings(**values)


def test_steps_outside_of_the_fit_are_refused():
    drawn = DrawnWeighted(START, conjugate_loss)
    for steps in (range(5, 13), range(-1, 3), range(0, 12, 2)):
        with pytest.raises(ValueError, match="steps must be successive, of 0 to total=12"):
            learned(VALUES).take(drawn, START, None, steps, 12)
