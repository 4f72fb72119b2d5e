"""Networks and the distributions on their weights."""

from bayesnas.nn.costs import latencies, multiply_adds
from bayesnas.nn.graphs.darts_cells import cells
from bayesnas.nn.graphs.graph import Graph
from bayesnas.nn.graphs.random_architectures import random_architecture
from bayesnas.nn.grown.neuron_graph import NeuronGraph
from bayesnas.nn.grown.neuron_net import NeuronNet
from bayesnas.nn.grown.subnetwork_sum import SubnetworkSum
from bayesnas.nn.hypernetworks.curvature import CurvatureMap
from bayesnas.nn.hypernetworks.monotone import MonotoneMap
from bayesnas.nn.hypernetworks.options import LinearMap, LowRankMap, PiecewiseMap
from bayesnas.nn.lazy.gaussian_tensor import GaussianTensor
from bayesnas.nn.modules.gaussian_noise import GaussianNoise
from bayesnas.nn.modules.mlp import convnet, mlp
from bayesnas.nn.modules.select_inputs import SelectInputs
from bayesnas.nn.modules.standardised_net import StandardisedNet
from bayesnas.nn.modules.stochastic_layers import (
    StochasticLayers,
    has_weights,
    is_linear_or_convolution,
)
from bayesnas.nn.modules.variational_parameters import VariationalParameters
from bayesnas.nn.network_files.save import load_net, save_net
from bayesnas.nn.rebuilding.module_classes import register_module

__all__ = [
    "CurvatureMap",
    "GaussianNoise",
    "GaussianTensor",
    "Graph",
    "LinearMap",
    "LowRankMap",
    "MonotoneMap",
    "NeuronGraph",
    "NeuronNet",
    "PiecewiseMap",
    "SelectInputs",
    "StandardisedNet",
    "StochasticLayers",
    "SubnetworkSum",
    "VariationalParameters",
    "cells",
    "convnet",
    "has_weights",
    "is_linear_or_convolution",
    "latencies",
    "load_net",
    "mlp",
    "multiply_adds",
    "random_architecture",
    "register_module",
    "save_net",
]
