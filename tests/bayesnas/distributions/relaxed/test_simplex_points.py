"""What a point carries, and when it no longer does."""

from __future__ import annotations

import torch

from bayesnas.distributions.relaxed.simplex_points import (
    cube_point,
    log_of,
    logit_of,
    simplex_point,
)


def test_a_point_that_was_written_into_no_longer_carries_its_logarithms():
    point = simplex_point(torch.tensor([-500.0, 0.0]))
    assert log_of(point)[0] == -500.0
    point[0] = 0.5
    point[1] = 0.5
    assert torch.allclose(log_of(point), torch.tensor([0.5, 0.5]).log())


def test_points_made_elsewhere_have_finite_coordinates():
    faces = torch.tensor([0.0, 0.25, 1.0])
    assert log_of(faces).isfinite().all()
    assert logit_of(faces).isfinite().all()
    assert torch.allclose(logit_of(faces)[1], torch.tensor(0.25).logit())


def test_inference_mode_keeps_the_coordinates():
    with torch.inference_mode():
        assert logit_of(cube_point(torch.tensor(90.0))) == 90.0
