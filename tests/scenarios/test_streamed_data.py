"""Data that are read when they are needed: the numbers of data in memory, and a bounded memory."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

import bayesnas as bn
from bayesnas.models import base

FIT = {"epochs": 3, "batch_size": 8, "lr": 0.02, "progress": False, "device": "cpu"}


@pytest.fixture
def streamed(xy):
    return bn.data.from_dataset(xy, classes=3)


@pytest.fixture
def split(xy):
    return bn.data.Split.of(xy, classes=3)


@pytest.mark.slow_except("eager", "weights")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compile": "trace"},
        {"batch_size": 27},
        {"restarts": 2, "batched": True},
        {"kl_weight": bn.LogUniform(0.1, 10.0), "amortize": "linear"},
        {"sample_weight": torch.arange(27) / 9, "class_weight": "balanced"},
        {"class_weight": {1: 3.0}},
    ],
    ids=["eager", "traced", "whole", "batched", "amortised", "weights", "classes"],
)
def test_the_numbers_are_those_of_data_in_memory(net, split, streamed, numbers, options):
    options = FIT | options
    here = bn.fit(net, split, validation=split, **options)
    there = bn.fit(net, streamed, validation=streamed, **options)
    assert numbers(here) == numbers(there)


@pytest.mark.slow
def test_workers_read_the_same(net, split, xy, numbers):
    ahead = bn.data.from_dataset(xy, classes=3, workers=2)
    assert numbers(bn.fit(net, split, **FIT)) == numbers(bn.fit(net, ahead, **FIT))


@pytest.fixture
def in_parts(monkeypatch):
    """So few rows at once that the sample is read in seven parts, the last of them three rows."""
    monkeypatch.setattr(base, "ROWS_AT_ONCE", 4)


def test_it_is_measured_part_by_part(net, split, streamed, in_parts):
    post = bn.fit(net, split, kl_weight=bn.LogUniform(0.1, 10.0), **FIT)
    here, there = (post.frontier([0.2], data, draws=2) for data in (split, streamed))
    assert here.identical(there)
    post = post.at(1.0)
    for draws in (0, 3):
        here, there = post.evaluate(split, draws=draws), post.evaluate(streamed, draws=draws)
        assert here == pytest.approx(there, rel=1e-6, nan_ok=True)
    assert torch.equal(post.predict(split.x, draws=3), post.predict(streamed, draws=3))
    curves = [post.pruning_curve(data, (0.5,), by=("density",)) for data in (split, streamed)]
    assert curves[0].identical(curves[1])
    assert post.complexity(split, draws=2) == pytest.approx(post.complexity(streamed, draws=2))


def test_latents_of_every_row_are_measured_part_by_part(xy, in_parts):
    """A guide with a latent for each row, in which the KL adds up over all parts."""

    def model(x, y=None):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("y", dist.Normal(z + x[:, 0], 0.5), obs=y)

    def guide(x, y=None):
        slope = pyro.param("slope", torch.tensor(0.3))
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(slope * x[:, 1], 0.8))

    x, y = xy[0], xy[0][:, 2].contiguous()
    pair = bn.models.PyroPair(model, guide)
    post = bn.fit(pair, bn.data.from_dataset((x, y)), **FIT)
    metrics = post.evaluate(bn.data.from_dataset((x, y)))
    slope = post.model.own["slope"].item()
    each = 0.5 * (0.8**2 + (slope * x[:, 1]).square() - 1) - np.log(0.8)
    assert metrics["kl"] == pytest.approx(each.sum().item(), rel=1e-5)
    assert metrics == pytest.approx(post.evaluate((x, y)), rel=1e-6)


def test_an_iterable_is_fitted_in_its_own_order(net, xy, numbers):
    """One pass in the order of the data is what batches of them in that order give."""

    class Passes(torch.utils.data.IterableDataset):
        def __iter__(self):
            return zip(*xy, strict=True)

    data = bn.data.from_dataset(Passes(), n=27, classes=3)
    post = bn.fit(net, data, **FIT | {"batch_size": 27, "epochs": 4})
    assert numbers(post) == numbers(bn.fit(net, xy, **FIT | {"batch_size": 27, "epochs": 4}))
    assert bn.fit(net, data, **FIT).history().sizes["step"] == 12


def test_a_run_on_other_rows_is_not_resumed(net, xy, tmp_path):
    options = FIT | {"out": tmp_path / "run"}
    data = bn.data.from_dataset(xy, classes=3)
    bn.fit(net, data, **options)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["fingerprint"].startswith("rows")
    assert bn.fit(net, data, resume=True, **options).data.n == 27
    other = bn.data.from_dataset((xy[0] + 1, xy[1]), classes=3)
    with pytest.raises(ValueError, match="was on other training data"):
        bn.fit(net, other, resume=True, **options)


def test_a_cast_is_said_once(net, xy, caplog):
    caplog.set_level(logging.INFO, "bayesnas")
    bn.fit(net, bn.data.from_dataset((xy[0].double(), xy[1]), classes=3), **FIT)
    said = [r.getMessage() for r in caplog.records if "cast" in r.getMessage()]
    assert said == [
        "data: x cast from torch.float64 to torch.float32, the type of the model's parameters"
    ]


def test_what_needs_all_rows_at_once_says_so(net, split, streamed):
    post = bn.fit(net, streamed, **FIT)
    with pytest.raises(TypeError, match="data must be in memory here"):
        post.to_arviz(3, streamed)
    assert post.to_arviz(3, streamed.first(5))["constant_data"]["x"].shape == (5, 4)
    with pytest.raises(TypeError, match="validation must be in memory here"):
        post.prune(validation=streamed)
    with pytest.raises(ValueError, match="net has 3 outputs|labels in 0…2|classes"):
        bn.fit(net, bn.data.from_dataset((split.x, split.y), classes=7), **FIT)
    loader = torch.utils.data.DataLoader([(split.x[0], 1)])
    with pytest.raises(TypeError, match=r"from_dataset\(loader\.dataset\)"):
        bn.fit(net, loader, **FIT)


_LIMITED = """
import json, resource, sys
import torch
import bayesnas as bn

torch.set_num_threads(1)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

path, limit, where = sys.argv[1], int(sys.argv[2]), sys.argv[3]
net = bn.models.GaussianNet(bn.nn.mlp([784, 20, 10]))
small = (torch.randn(512, 784), torch.arange(512) % 10)
options = {"batch_size": 256, "progress": False, "device": "cpu", "compile": "trace"}
bn.fit(net, small, steps=3, **options).evaluate(small)  # all that torch sets up once
pages = [int(n) for n in open("/proc/self/statm").read().split()]
before = peak()
resource.setrlimit(resource.RLIMIT_AS, (pages[0] * resource.getpagesize() + limit,) * 2)
if where == "memory":
    import numpy as np
    np.load(path)
data = bn.data.from_dataset((path, torch.arange(int(sys.argv[4])) % 10))
post = bn.fit(net, data, epochs=1, **options)
metrics = post.evaluate(data, draws=2)
print(json.dumps({"grown": peak() - before, "nll": metrics["nll"]}))
"""


@pytest.mark.slow
def test_a_set_four_times_the_allowed_memory_is_fitted_and_measured(tmp_path):
    """Under ``ulimit -v``; loading it there fails, which shows that the limit holds."""
    limit = 64 * 2**20
    rows = 4 * limit // (784 * 4) + 1
    path = tmp_path / "x.npy"
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(rows, 784))
    for start in range(0, rows, 4096):
        part = array[start : start + 4096]
        part[:] = np.random.default_rng(start).standard_normal(part.shape, dtype=np.float32)
    array.flush()
    del array

    def run(where: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", _LIMITED, str(path), str(limit), where, str(rows)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    assert path.stat().st_size > 4 * limit
    assert "MemoryError" in run("memory").stderr
    streamed = run("file")
    assert streamed.returncode == 0, streamed.stderr
    measured = json.loads(streamed.stdout)
    assert measured["grown"] < limit
    assert measured["nll"] < 10
