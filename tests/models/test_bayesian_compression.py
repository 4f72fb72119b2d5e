"""BayesianCompressionNet: contract for every prior."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import bayesnas as bn
from bayesnas.models.base import BayesianModel
from bayesnas.testing import ModelContract


def small_data(classes: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(20, 4, generator=generator), torch.arange(20) % classes


class TestNormalJeffreys(ModelContract):
    def make_model(self) -> BayesianModel:
        return bn.models.BayesianCompressionNet(bn.nn.mlp([4, 6, 3]))

    def make_data(self) -> tuple[Tensor, Tensor]:
        return small_data()


class TestHorseshoe(TestNormalJeffreys):
    def make_model(self) -> BayesianModel:
        return bn.models.BayesianCompressionNet(
            bn.nn.mlp([4, 6, 3]), "horseshoe", global_scale=0.1, max_scale=0.5
        )


class TestTruncatedLogUniform(TestNormalJeffreys):
    def make_model(self) -> BayesianModel:
        return bn.models.BayesianCompressionNet(
            bn.nn.mlp([4, 6, 3], activation="tanh"), "log-uniform-truncated", estimator="weight"
        )


class TestTruncatedLogUniformByExample(TestNormalJeffreys):
    def make_model(self) -> BayesianModel:
        return bn.models.BayesianCompressionNet(bn.nn.mlp([4, 6, 3]), "log-uniform-truncated")


class TestConvolutionWithHorseshoe(ModelContract):
    def make_model(self) -> BayesianModel:
        net = nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(),
            nn.Linear(48, 1),
        )  # fmt: skip
        return bn.models.BayesianCompressionNet(net, "horseshoe", likelihood="bernoulli")

    def make_data(self) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(0)
        return torch.randn(20, 1, 4, 4, generator=generator), torch.arange(20) % 2
