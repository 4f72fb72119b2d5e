"""Posteriors as xarray trees that ArviZ reads."""

from bayesnas.export.along_kl_weight import along_kl_weight, at_kl_weight
from bayesnas.export.datatree import to_datatree, to_inference_data
from bayesnas.export.psis import pareto_k, tempered_log_weights
from bayesnas.export.tempered_loo import elpd_data, tempered_loo

__all__ = [
    "along_kl_weight",
    "at_kl_weight",
    "elpd_data",
    "pareto_k",
    "tempered_log_weights",
    "tempered_loo",
    "to_datatree",
    "to_inference_data",
]
