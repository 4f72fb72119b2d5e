"""Names that the parser knows without torch are those of the registries."""

from __future__ import annotations

import inspect

import bayesnas as bn
from bayesnas.cli.arguments import names
from bayesnas.inference.evaluation.frontier import SUPERFLUOUS_DENSITY
from bayesnas.models.compression.bayesian_compression import PRIORS
from bayesnas.reproductions import REPRODUCTIONS


def test_names_are_those_of_the_registries():
    assert set(names.DATA_SETS) == set(bn.data.available())
    assert list(names.LIKELIHOODS) == bn.likelihoods.available()
    assert names.GROUP_PRIORS == PRIORS
    assert names.SUPERFLUOUS_DENSITY == SUPERFLUOUS_DENSITY
    assert {name: entry.title for name, entry in REPRODUCTIONS.items()} == names.REPRODUCTIONS


def test_options_of_a_model_are_arguments_of_its_class():
    made = {"hidden", "activation"}  # from which the command line makes a net
    for name, options in names.MODEL_OPTIONS.items():
        cls = bn.models.available()[name].cls
        assert set(options) - made <= set(inspect.signature(cls).parameters) | made, name
