"""Networks and the distributions on their weights."""

from bayesnas.nn.cells import cells
from bayesnas.nn.gaussian_noise import GaussianNoise
from bayesnas.nn.gaussian_tensor import GaussianTensor
from bayesnas.nn.graph import Graph
from bayesnas.nn.layers import StochasticLayers, is_linear_or_convolution
from bayesnas.nn.maps import Linear, LowRank, Monotone, Piecewise
from bayesnas.nn.mlp import convnet, mlp
from bayesnas.nn.module_classes import register_module
from bayesnas.nn.netfile import load_net, save_net
from bayesnas.nn.random_architecture import random_architecture
from bayesnas.nn.variational import VariationalParameters

__all__ = [
    "GaussianNoise",
    "GaussianTensor",
    "Graph",
    "Linear",
    "LowRank",
    "Monotone",
    "Piecewise",
    "StochasticLayers",
    "VariationalParameters",
    "cells",
    "convnet",
    "is_linear_or_convolution",
    "load_net",
    "mlp",
    "random_architecture",
    "register_module",
    "save_net",
]
