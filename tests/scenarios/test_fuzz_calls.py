"""Thousands of wrong calls of all that is public: each a named error, none accepted, no hang."""

from __future__ import annotations

import collections
import itertools
import os
import pickle
import random
import warnings
from pathlib import Path

import fuzz_auto
import fuzz_calls
import fuzz_calls_fits
import fuzz_calls_search
import numpy as np
import pytest
import torch
from fuzz_call import shown
from fuzz_kinds import POOL, Thing
from fuzz_objects import MAKERS, Objects
from fuzz_reference import documented_errors
from fuzz_surface import bare
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bayesnas import sklearn

VALUES = st.one_of(
    st.sampled_from(range(len(POOL))).map(lambda index: POOL[index]),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
    st.lists(
        st.one_of(st.none(), st.integers(-3, 3), st.floats(), st.text(max_size=3)), max_size=3
    ),
)

# What makes modules, whose weights torch draws, and what draws where it is given no seed.
DRAWING = {
    "mlp", "convnet", "cells", "ArdVae", "IndianBuffetVae", "LatentFeatures", "LstmRule",
    "MetaLevelNet", "sample_widths", "ArdVae.generate", "bound_terms", "from_pyro_svi",
    "Classifier", "Regressor",
}  # fmt: skip
# What estimators are given is checked by ``fit``, as scikit-learn wants it.
UNCHECKED = (sklearn.BayesianStructureClassifier, sklearn.BayesianStructureRegressor)
# Seconds a call that works.
SLOW = (
    "compress",
    "to_inference_data",
    "measure_page",
    "write_html",
    "vsbc",
    "write_report",
    "report_figure",
    "Page.html",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where what is written by mistake does no harm."""
    return tmp_path_factory.mktemp("calls")


@pytest.fixture(scope="module")
def written(folder):
    """Calls in tables by hand, which know ranges and what belongs together."""
    parts = (fuzz_calls, fuzz_calls_search, fuzz_calls_fits)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [call for part in parts for call in part.calls(folder)]


@pytest.fixture(scope="module")
def reached(written):
    return {bare(call.call) for call in written}


@pytest.fixture(scope="module")
def objects(folder):
    objects = Objects(folder)
    fuzz_auto.make_files(objects)
    return objects


def random_states():
    return (
        random.getstate(),
        pickle.dumps(np.random.get_state()),
        torch.random.get_rng_state().tolist(),
    )


def tally(ways, count):
    """How ``count`` wrong calls ended, and what those were that ended badly.

    Every argument of every call has its turn, again and again.
    """
    places = [(way, argument) for way in ways for argument in way.good]
    turns = itertools.cycle(random.Random(0).sample(places, len(places)))
    ends: collections.Counter[str] = collections.Counter()
    bad = []

    @settings(
        max_examples=10 * count,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(VALUES)
    def wrong(value):
        if sum(ends.values()) >= count:
            return
        way, argument = next(turns)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if way.good[argument](value):
                return
        end, said = way.outcome(argument, value)
        ends[end] += 1
        if end != "named":
            bad.append(f"{end}: {way.name}({argument}={shown(value)}) {said}")

    wrong()
    return ends, bad


def check(ways, count):
    ends, bad = tally(ways, count)
    text = f"{dict(ends)}\n" + "\n".join(sorted(bad))
    if report := os.environ.get("FUZZ_REPORT"):
        Path(report).write_text(text)
    assert sum(ends.values()) == count
    assert not ends["hang"], text
    assert ends["bare"] <= 0.02 * count, text
    assert ends["accepted"] <= 0.01 * count, text


def outcomes(objects, reached):
    """Calls of all the rest, made from signatures."""
    calls = fuzz_auto.calls(objects, reached)
    return [call for call in calls if call.call not in UNCHECKED and not call.name.endswith(SLOW)]


@pytest.mark.filterwarnings("ignore:k̂:UserWarning")
def test_good_calls_are_good(written):
    """What the wrong calls are made from works, and leaves the random states of the caller."""
    for way in written:
        if way.name != "load_net":
            before = random_states()
            way.with_()
            assert way.name in DRAWING or random_states() == before, way.name


def test_every_public_callable_is_called(objects, reached):
    """A new one that fails here needs values in ``fuzz_auto`` and, a class, a line in MAKERS."""
    names, own = fuzz_auto.by_name(objects), fuzz_auto.special(objects)
    missing = []
    for entry in fuzz_auto.rest(reached).values():
        has = names | own.get(entry.name.removeprefix("bayesnas."), {})
        needed = [each for each in fuzz_auto.parameters_of(entry) if each.default is each.empty]
        missing += [f"{entry.name}: {each.name}" for each in needed if each.name not in has]
        if entry.owner is not None and entry.owner not in MAKERS:
            missing.append(f"{entry.name}: no object")
    assert missing == []


def undocumented(ways):
    """Errors of wrong calls that the docstring of what was called does not name."""
    for way in ways:
        documented = documented_errors(way.call)
        for argument, good in way.good.items():
            error = way.error(argument, Thing()) if documented and not good(Thing()) else None
            if error is not None and not documented & {
                each.__name__ for each in type(error).__mro__
            }:
                yield f"{way.name}({argument}=a thing): {type(error).__name__}, not {documented}"


def test_errors_are_those_of_the_reference(written, monkeypatch, folder):
    monkeypatch.chdir(folder)
    assert list(undocumented(written)) == []


@pytest.mark.slow
def test_all_errors_are_those_of_the_reference(objects, reached, monkeypatch):
    monkeypatch.chdir(objects.folder)
    assert list(undocumented(outcomes(objects, reached))) == []


def test_a_few_hundred_wrong_calls(written, folder, monkeypatch):
    monkeypatch.chdir(folder)
    check(written, int(os.environ.get("FUZZ_CALLS", "600")))


@pytest.mark.slow
def test_five_thousand_wrong_calls(written, objects, reached, monkeypatch):
    monkeypatch.chdir(objects.folder)
    check([*written, *outcomes(objects, reached)], 5000)
