"""Names that the parser knows without torch are those of the registries."""

from __future__ import annotations

import inspect

import bayesnas as bn
from bayesnas.cli.arguments import names
from bayesnas.inference.evaluation.tradeoff.frontier import SUPERFLUOUS_DENSITY
from bayesnas.inference.runs.run_folder import RUN
from bayesnas.models.compression.bayesian_compression import PRIORS
from bayesnas.models.for_data import model_for_data
from bayesnas.reproductions import REPRODUCTIONS
from bayesnas.words import DATA_SETS


def test_names_are_those_of_the_registries():
    assert set(DATA_SETS) == set(bn.data.available())
    assert list(names.LIKELIHOODS) == bn.likelihoods.available()
    assert names.GROUP_PRIORS == PRIORS
    assert names.SUPERFLUOUS_DENSITY == SUPERFLUOUS_DENSITY
    assert {name: entry.title for name, entry in REPRODUCTIONS.items()} == names.REPRODUCTIONS


def test_models_and_the_file_of_a_run():
    zoo = bn.models.available()
    assert {name: record.cls.__name__ for name, record in zoo.items()} == names.MODELS
    assert names.RUN == RUN


def refused(model, part, option, word):
    """Whether a model refuses the word as a value of the option."""
    try:
        model_for_data(model, part, **{option: None if word == "none" else word})
    except ValueError as error:
        return "must be" in str(error) and option in str(error)
    return False


def test_every_choice_is_taken_and_no_other():
    parts = {name: bn.data.load(name).train for name in ("digits", "diabetes")}
    models = {option: name for name, options in names.MODEL_OPTIONS.items() for option in options}
    for option, words in names.CHOICES.items():
        part = parts["diabetes" if option == "hyperparameters" else "digits"]
        taken = [word for word in words if not refused(models[option], part, option, word)]
        assert tuple(taken) == words
        assert refused(models[option], part, option, "another"), option


def test_options_of_a_model_are_arguments_of_its_class():
    made = {
        "hidden",
        "activation",
        "graph",
        "operations",
    }  # from which the command line makes a net
    for name, options in names.MODEL_OPTIONS.items():
        cls = bn.models.available()[name].cls
        assert set(options) - made <= set(inspect.signature(cls).parameters) | made, name
