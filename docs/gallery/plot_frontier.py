"""One fit, every KL weight
========================

The weight λ of the KL term sets how simple a network is. One fit over a range of λ gives the
posterior at each of them, and with it the frontier between accuracy and size.
"""

import matplotlib.pyplot as plt

import bayesnas as bn
from bayesnas.plots import plot_frontier

data = bn.data.load("digits", validation=0.2)
model = bn.models.BayesianCompressionNet(bn.nn.mlp([64, 100, 50, 10]), prior="horseshoe")
post = bn.fit(
    model,
    data.train,
    kl_weight=bn.LogUniform(0.03, 1),
    amortize=bn.nn.PiecewiseMap(knots=3),
    epochs=100,
    lr=1e-2,
    progress=False,
)

# %%
# ``post.frontier`` measures posteriors of any λ in the range, without training. λ is chosen by
# rows that were held out, so they are what it is measured on.

frontier = post.frontier([0.03, 0.06, 0.12, 0.25, 0.5, 1.0], data.validation, draws=10)
print(frontier[["accuracy", "nll", "parameters"]].to_dataframe().round(3))

_, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
plot_frontier(frontier, "accuracy", axes[0])
plot_frontier(frontier, "parameters", axes[1])
plt.show()

# %%
# ``post.at(λ)`` is one of them, an ordinary posterior; ``bn.inference.smallest`` picks λ and size
# together.

small = bn.inference.smallest(post, data.validation)
print(small)
