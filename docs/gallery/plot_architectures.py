"""Architectures along the KL weight
=================================

In a ``LatentStructureNet`` the operation on every edge of a graph is a latent variable whose
prior charges for parameters. So one fit over a range of λ is a search for architectures of every
size.
"""

import matplotlib.pyplot as plt
import torch
from torch import nn

import bayesnas as bn
from bayesnas.plots import plot_graph

data = bn.data.load("digits", validation=0.2)


def block(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(64, width), nn.Linear(width, 64), nn.ReLU())


def choices() -> dict[str, nn.Module]:
    return {"64": nn.Sequential(nn.Linear(64, 64), nn.ReLU()), "16": block(16), "4": block(4)}


edges = {
    ("x", "a"): choices(),
    ("a", "b"): choices() | {"skip": nn.Identity()},
    ("b", "y"): nn.Linear(64, 10),
}
graph = bn.nn.Graph(edges, example=torch.zeros(1, 64))
model = bn.models.LatentStructureNet(
    graph, domain="simplex-vertices", weights="point", cost="parameters", cost_scale=10.0
)
post = bn.fit(
    model, data.train, kl_weight=bn.LogUniform(0.01, 100), steps=1500, lr=1e-2, progress=False
)

# %%
# The inclusion probabilities of the operations, at three KL weights.

kl_weights = (0.01, 1.0, 100.0)
_, axes = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
for kl_weight, ax in zip(kl_weights, axes, strict=True):
    inclusion = post.at(kl_weight).model.probabilities()
    plot_graph(graph, inclusion, ax, least=0.05)
    architecture = post.architecture(kl_weight)
    ax.set_title(f"λ = {kl_weight:g}: {architecture.parameter_count:,} parameters")
plt.show()
