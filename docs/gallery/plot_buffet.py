"""Features of an Indian buffet
============================

Images that are sums of glyphs and noise. How many glyphs there are is not said: an Indian buffet
process is the prior on which image has which (Griffiths, Ghahramani 2011).
"""

import matplotlib.pyplot as plt

import bayesnas as bn
from bayesnas.data import glyph_images
from bayesnas.plots import plot_features

x, z = glyph_images(100)  # 6 x 6 pixels, four glyphs, noise of scale 0.5
model = bn.models.LatentFeatures(36, latents=8)
post = bn.fit(model, (x, x), steps=200, lr=0.02, batch_size=100, restarts=4, progress=False)

# %%
# A variational fit is a matter of seconds. ``restarts=`` takes several starts, and ``post.model``
# is that with the best bound.

used = post.model.used(x)
print(int(used.sum()), "features that anybody has; the images were made of 4 glyphs")

_, axes = plt.subplots(2, 1, figsize=(7, 3.4), layout="constrained")
plot_features(x[:8], (6, 6), axes[0])
axes[0].set_title("eight of the images")
plot_features(post.model.feature_posterior().mean[used], (6, 6), axes[1])
axes[1].set_title("the features found")
plt.show()
