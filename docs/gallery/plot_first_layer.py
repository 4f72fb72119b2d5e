"""What a small network reads
==========================

A scale prior on the input units removes pixels and hidden units whole (Louizos, Ullrich, Welling
2017). The picture shows the pixels of the digits that are left, and what each hidden unit that is
left sees of them.
"""

import matplotlib.pyplot as plt

import bayesnas as bn
from bayesnas.models import knee
from bayesnas.plots import plot_footprints, plot_group_sweep, plot_inputs

data = bn.data.load("digits", validation=0.2)
model = bn.models.BayesianCompressionNet(
    bn.nn.mlp([64, 30, 10]), prior="normal-jeffreys", initial_scale=0.1
)
post = bn.fit(model, data.train, kl_weight=0.3, epochs=40, batch_size=128, lr=3e-2, progress=False)

# %%
# Groups go in the order of their score, and the loss on held-out rows is measured after each. The
# knee is the smallest network within one standard error of the best.

sweep = post.model.group_sweep(data.validation.x, data.validation.y)
threshold = knee(sweep)
pruned = post.prune(by="group", threshold=threshold)

_, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
plot_group_sweep(sweep, axes[0], threshold=threshold)
plot_inputs(pruned.structure()["layer1.inclusion"] > 0, (8, 8), axes[1])
plot_footprints(pruned.model.plain_module().layer1.weight.detach(), (8, 8), axes[2])
plt.show()

# %%
# The network without its dead units is a plain module.

print(pruned.compact())
print("accuracy on test rows:", round(pruned.evaluate(data.test, draws=0)["accuracy"], 3))
