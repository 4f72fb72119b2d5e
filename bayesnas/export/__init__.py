"""Posteriors as xarray trees that ArviZ reads."""

from bayesnas.export.datatree import along_kl_weight, to_datatree, to_inference_data
from bayesnas.export.psis import pareto_k, tempered_log_weights

__all__ = [
    "along_kl_weight",
    "pareto_k",
    "tempered_log_weights",
    "to_datatree",
    "to_inference_data",
]
