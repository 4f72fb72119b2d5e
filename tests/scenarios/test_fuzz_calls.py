"""Thousands of wrong calls of the public names: each a named error, none accepted, no hang."""

from __future__ import annotations

import collections
import os
import pickle
import random
import warnings
from pathlib import Path

import fuzz_calls
import fuzz_calls_fits
import fuzz_calls_search
import numpy as np
import pytest
import torch
from fuzz_call import shown
from fuzz_kinds import POOL
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


def random_states():
    return (
        random.getstate(),
        pickle.dumps(np.random.get_state()),
        torch.random.get_rng_state().tolist(),
    )


def calls(folder):
    """Of all of the public surface."""
    parts = (fuzz_calls, fuzz_calls_search, fuzz_calls_fits)
    return [call for part in parts for call in part.calls(folder)]


def tally(folder, count):
    """How ``count`` wrong calls ended, and what those were that ended badly."""
    ways = calls(folder)
    for way in ways[:1]:
        way.call(**way.given)
    places = [(way, argument) for way in ways for argument in way.good]
    ends: collections.Counter[str] = collections.Counter()
    bad = []

    @settings(
        max_examples=10 * count,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(range(len(places))), VALUES)
    def wrong(place, value):
        way, argument = places[place]
        if sum(ends.values()) >= count:
            return
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


def check(folder, count):
    here = Path.cwd()
    os.chdir(folder)  # where what is written by mistake does no harm
    try:
        ends, bad = tally(folder, count)
    finally:
        os.chdir(here)
    text = f"{dict(ends)}\n" + "\n".join(sorted(bad))
    if report := os.environ.get("FUZZ_REPORT"):
        Path(report).write_text(text)
    assert sum(ends.values()) == count
    assert not ends["hang"], text
    assert ends["bare"] <= 0.02 * count, text
    assert ends["accepted"] <= 0.01 * count, text


@pytest.mark.filterwarnings("ignore:k̂:UserWarning")
def test_good_calls_are_good(tmp_path):
    """What the wrong calls are made from works, and leaves the random states of the caller."""
    for way in calls(tmp_path):
        if way.name != "load_net":
            before = random_states()
            way.call(**way.given)
            assert way.name in DRAWING or random_states() == before, way.name


def test_a_few_hundred_wrong_calls(tmp_path):
    check(tmp_path, int(os.environ.get("FUZZ_CALLS", "600")))


@pytest.mark.slow
def test_five_thousand_wrong_calls(tmp_path):
    check(tmp_path, 5000)
