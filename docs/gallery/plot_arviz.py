"""A posterior in ArviZ
====================

``post.to_inference_data()`` (ArviZ 0.23) and ``post.to_arviz()`` (ArviZ 1.x, an
``xarray.DataTree``) hold draws, predictions and log likelihoods with named dimensions.
"""

import arviz as az
import matplotlib.pyplot as plt

import bayesnas as bn

data = bn.data.load("diabetes", standardise=True)
model = bn.models.SpikeAndSlabRegression(10, likelihood="gaussian", noise_scale=0.7)
post = bn.fit(model, data.train, steps=600, lr=0.02, batch_size=512, progress=False)

tree = post.to_arviz(draws=500, data=data.train)
readable = tree if az.__version__ >= "1" else post.to_inference_data(500, data.train)

# %%
# A spike-and-slab regression says with what probability each feature belongs.

print(post.structure()["inclusion"].round(2).to_series())

# %%
# The weights, with an atom at 0 where a feature is left out.

weights = tree["posterior"]["weight"]
features = [str(name) for name in weights[weights.dims[-1]].values]
_, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
ax.violinplot(weights.values.reshape(-1, len(features)), showextrema=False)
ax.set_xticks(range(1, len(features) + 1), features)
ax.axhline(0, color="grey", linewidth=0.5)
ax.set_ylabel("weight")
plt.show()

# %%
# Leave-one-out, with its Pareto k̂. The draws are independent, so ``reff`` is 1.

print(az.loo(readable, reff=1.0))
