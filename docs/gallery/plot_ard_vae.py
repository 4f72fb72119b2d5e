"""How many latent dimensions?
===========================

In an ``ArdVae`` every latent dimension has a scale with a prior. Those that the data do not need
fall asleep. Here on the digits, 8 x 8 pixels, with 12 dimensions to begin with.
"""

import matplotlib.pyplot as plt
import torch

import bayesnas as bn
from bayesnas.plots import TRAVERSED, plot_relevance, plot_traversals

x = bn.data.load("digits").train.x
model = bn.models.ArdVae((1, 8, 8), latents=12, hidden=(64,))
images = x.reshape(-1, 1, 8, 8)
post = bn.fit(
    model,
    (images, images),
    steps=2000,
    batch_size=100,
    lr=5e-3,
    kl_warmup=0.3,
    compile="trace",
    progress=False,
)

# %%
# A dimension is in use where the code moves with the image: Var(E[z | x]) > 0.01.

active = post.model.active(images, by="variance")
print(int(active.sum()), "of 12 dimensions are in use")
measures = post.model.measures(images)

# %%
# One dimension moves, the others stay: from the top, those that the image depends on most.

latents = [int(i) for i in measures["sensitivity"].values.argsort()[::-1][:4]]
frames = torch.stack([post.model.traverse(i, TRAVERSED, images[0])[:, 0] for i in latents])

_, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
plot_relevance(measures, axes[0])
plot_traversals(latents, frames.numpy(), axes[1])
plt.show()
