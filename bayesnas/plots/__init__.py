"""Pictures of posteriors, one function a panel."""

from bayesnas.plots.fit import (
    plot_history,
    plot_pruning_curve,
    plot_signal_to_noise,
)
from bayesnas.plots.frontier import frontier_figure, plot_frontier
from bayesnas.plots.p_values import plot_p_values
from bayesnas.plots.predictions import plot_calibration, plot_predictions
from bayesnas.plots.structure.cascade import cascade_figure, plot_cascade
from bayesnas.plots.structure.features import plot_features
from bayesnas.plots.structure.graph import plot_graph
from bayesnas.plots.structure.groups import plot_footprints, plot_group_sweep, plot_inputs
from bayesnas.plots.structure.latents import (
    TRAVERSED,
    latents_figure,
    plot_relevance,
    plot_traversals,
)
from bayesnas.plots.structure.neurons import plot_neurons

__all__ = [
    "TRAVERSED",
    "cascade_figure",
    "frontier_figure",
    "latents_figure",
    "plot_calibration",
    "plot_cascade",
    "plot_features",
    "plot_footprints",
    "plot_frontier",
    "plot_graph",
    "plot_group_sweep",
    "plot_history",
    "plot_inputs",
    "plot_neurons",
    "plot_p_values",
    "plot_predictions",
    "plot_pruning_curve",
    "plot_relevance",
    "plot_signal_to_noise",
    "plot_traversals",
]
