"""The figures of Grebenkova, Bakhteev and Strijov (2021), tables 1 to 3: MNIST, five starts."""

from __future__ import annotations

REFERENCE = (
    "Grebenkova, Bakhteev, Strijov, Variational deep learning model optimization with complexity "
    "control, 2021"
)

KL_WEIGHTS = (0.1, 1.0, 10.0, 100.0)

ACCURACY = {
    "a": (0.87686, 0.901570, 0.8674, 0.73031),
    "b": (0.81682, 0.81986, 0.83477, 0.78924),
    "c": (0.87719, 0.87666, 0.87466, 0.83124),
    "d": (0.90262, 0.90167, 0.88876, 0.83902),
    "e": (0.900679, 0.90021, 0.89218, 0.53857),
    "f": (0.90104, 0.91456, 0.89538, 0.80627),
}
"""Test accuracy of the posterior means, by method, in the order of :data:`KL_WEIGHTS`."""

STABILITY = {
    "a": (2.209571, 1.476841, 1.194326, 1.165526),
    "b": (1.518516, 1.537249, 1.473905, 1.362817),
    "c": (1.208003, 1.203938, 1.177115, 1.125796),
    "d": (1.20265, 1.201760, 1.186034, 1.156385),
    "e": (1.206345, 1.205434, 1.208482, 1.216405),
    "f": (1.281112, 1.287463, 1.255834, 1.289508),
}
"""Accuracy over the accuracy with 90 % of the weights removed."""

BOUND = {
    "a": (-9035.229, -24338.234, -56679.427, -128928.671),
    "b": (-32788.838, -51832.864, -186124.637, -696240.551),
    "c": (-24566.315, -30949.930, -56720.932, -166657.021),
    "d": (-19994.677, -27220.746, -55508.397, -132758.414),
    "e": (-24603.767, -28189.602, -58147.425, -177139.477),
    "f": (-20776.473, -26262.996, -57948.826, -134340.962),
}
"""𝓛 of the training sample, in nats."""

UPDATES = {
    "a": 7_458_976_000,
    "b": 298_359_040,
    "c": 4_165_376_600,
    "d": 4_239_966_360,
    "e": 3_729_488_000,
    "f": 3_804_077_760,
}
"""Updates of single parameters. One epoch of fine-tuning is counted once in (d) and (f), not for
each of the four KL weights."""

BATCH_SIZE = 64
"""Batch size, which the text leaves out and the counts give away."""
EXAMPLES = 60_000
EPOCHS = 25
STARTS = 5
