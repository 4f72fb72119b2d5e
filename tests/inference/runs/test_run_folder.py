"""Runs on disk: what is saved comes back to the bit, without pickle, and only by its own name."""

from __future__ import annotations

import json
import pickle
import pickletools
import shutil
import struct

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

import bayesnas as bn
from bayesnas.inference.runs.checkpoint import CHECKPOINT
from bayesnas.inference.runs.run_folder import RESULT, RUN

FIT = {"steps": 6, "batch_size": 8, "lr": 0.05}


def linear_pair(width=4):
    def model(x, y=None):
        weights = pyro.sample("w", dist.Normal(torch.zeros(width), 1.0).to_event(1))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(x @ weights, 0.5), obs=y)

    def guide(x, y=None):
        scale = pyro.param("scale", torch.full((width,), 0.1), dist.constraints.positive)
        loc = pyro.param("loc", lambda: torch.randn(width))
        pyro.sample("w", dist.Normal(loc, scale).to_event(1))

    return bn.models.PyroPair(model, guide)


class Branching(nn.Module):
    """A network that no description can rebuild: its argument is not kept."""

    def __init__(self, outputs):
        super().__init__()
        self.left, self.right = nn.Linear(4, outputs), nn.Linear(4, outputs, bias=False)

    def forward(self, x):
        return self.left(x) + self.right(x).relu()


def fits(x, y):
    """Fits of every kind that a run can hold; those of the last two need ``model=`` to load."""
    net, target = bn.models.GaussianNet, x.sum(1)
    norm = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))
    image = nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(2, 3))
    return {
        "classification": (net(bn.nn.mlp([4, 6, 3]), prior_scale=0.5), (x, y)),
        "learned prior and noise": (
            net(bn.nn.mlp([4, 6, 1]), prior_scale="learned", likelihood="gaussian"),
            (x, target),
        ),
        "prior scales by layer": (net(bn.nn.mlp([4, 6, 3]), prior_scale=[0.3, 2.0]), (x, y)),
        "weights sampled, noise known": (
            net(bn.nn.mlp([4, 1]), estimator="weight", likelihood="gaussian", noise_scale=0.25),
            (x, target),
        ),
        "running statistics": (net(norm), (x, y)),
        "convolution": (net(image), (x[:, None, :].reshape(-1, 1, 2, 2), y)),
        "two labels": (net(bn.nn.mlp([4, 1]), likelihood="bernoulli"), (x, y % 2)),
        "a user's pair": (linear_pair(), (x, target)),
        "a user's network": (net(Branching(3)), (x, y)),
    }


KINDS = list(fits(torch.zeros(2, 4), torch.tensor([0, 1])))
UNDESCRIBED = {"a user's pair", "a user's network"}


@pytest.mark.parametrize("kind", KINDS)
def test_round_trip_is_exact(xy, numbers, tmp_path, kind):
    model, data = fits(*xy)[kind]
    post = bn.fit(model, data, restarts=2, validation=data, epochs=2, batch_size=8, lr=0.05)
    post.save(tmp_path / "run")
    given = fits(*xy)[kind][0] if kind in UNDESCRIBED else None
    loaded = bn.load(tmp_path / "run", model=given)
    assert numbers(loaded) == numbers(post)
    assert loaded.chains == 2
    assert loaded.best == post.best
    assert loaded.settings == post.settings
    assert loaded.data == post.data
    assert torch.equal(loaded.predict(data[0], 3), post.predict(data[0], 3))
    assert loaded.evaluate(data, draws=4) == post.evaluate(data, draws=4)
    loaded.save(tmp_path / "again")
    for name in (RUN, RESULT):
        first, second = ((tmp_path / run / name).read_bytes() for run in ("run", "again"))
        assert _without_date(first) == _without_date(second)


def _without_date(content):
    if not content.startswith(b"{"):
        return content
    return {key: value for key, value in json.loads(content).items() if key != "created"}


@pytest.mark.parametrize("kind", ["classification", "running statistics", "a user's network"])
def test_pruned_posterior_comes_back_pruned(xy, numbers, tmp_path, kind):
    model, data = fits(*xy)[kind]
    post = bn.fit(model, data, **FIT).prune(fraction=0.6)
    post.save(tmp_path / "run")
    loaded = bn.load(tmp_path / "run", model=model if kind in UNDESCRIBED else None)
    assert numbers(loaded) == numbers(post)
    assert loaded.complexity() == post.complexity()
    assert loaded.complexity()["parameters_kept"] < 0.5 * post.complexity()["parameters"]
    masks = post.model.keep_masks()
    for site, values in loaded.sample(3).items():
        assert bool((values[:, ~masks[site]] == 0).all())
        assert bool((values[:, masks[site]] != 0).all())
    assert torch.equal(loaded.predict(data[0], 3), post.predict(data[0], 3))


def test_what_the_fit_saves_is_what_it_returns(net, xy, numbers, tmp_path):
    post = bn.fit(net, xy, out=tmp_path / "run", **FIT)
    assert numbers(bn.load(tmp_path / "run")) == numbers(post)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [RESULT, RUN]


def test_data_description_comes_back(tmp_path):
    data = bn.data.load("diabetes", standardise=True, seed=4)
    model = bn.models.GaussianNet(bn.nn.mlp([10, 1]), likelihood="gaussian")
    bn.fit(model, data.train, steps=3, out=tmp_path / "run")
    info = bn.load(tmp_path / "run").data
    assert info == data.train.info
    assert info.standardisation is not None
    assert info.standardisation == data.train.info.standardisation
    assert info.feature_names == data.train.info.feature_names


def test_tied_weights_are_saved(xy, numbers, tmp_path):
    """Tensors that share memory, which the file format does not know."""

    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(4, 3), nn.Linear(4, 3)
            self.scale = nn.Parameter(torch.ones(3))
            self.same_scale = self.scale

        def forward(self, x):
            return self.first(x) * self.scale + self.last(x) * self.same_scale

    model = bn.models.GaussianNet(Tied())
    post = bn.fit(model, xy, out=tmp_path / "run", checkpoint_every=2, **FIT)
    loaded = bn.load(tmp_path / "run", model=model)
    assert numbers(loaded) == numbers(post)
    assert loaded.model.net.scale is loaded.model.net.same_scale


# No pickle ------------------------------------------------------------------------------------


def test_files_are_json_and_safetensors(net, xy, tmp_path):
    out = tmp_path / "run"
    seen = set()

    def look(event):
        for path in out.iterdir():
            seen.add(path.name)
            _check_plain(path)

    bn.fit(net, xy, out=out, checkpoint_every=2, on_step=look, **FIT)
    assert seen == {RUN, CHECKPOINT}
    for path in out.iterdir():
        _check_plain(path)


def _check_plain(path):
    """Raise unless a file is exactly JSON, or a header of JSON and the bytes it describes."""
    content = path.read_bytes()
    if path.suffix == ".json":
        assert isinstance(json.loads(content), dict)
    else:
        (length,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + length])
        assert set(header.pop("__metadata__")) == {"bayesnas"}
        ends = [entry["data_offsets"][1] for entry in header.values()]
        assert max(ends) == len(content) - 8 - length
    with pytest.raises(ValueError, match="opcode|pickle|expected"):
        list(pickletools.genops(content))


def test_loading_needs_no_pickle(net, xy, numbers, tmp_path, monkeypatch):
    post = bn.fit(net, xy, out=tmp_path / "run", **FIT)

    def refuse(*arguments, **options):
        raise AssertionError("pickle was used")

    for owner, name in (
        (torch, "load"), (torch, "save"), (pickle, "load"), (pickle, "loads"),
        (pickle, "Unpickler"), (torch.serialization, "load"),
    ):  # fmt: skip
        monkeypatch.setattr(owner, name, refuse)
    loaded = bn.load(tmp_path / "run")
    loaded.save(tmp_path / "again")
    assert numbers(loaded) == numbers(post)


def test_a_description_runs_nothing(edit, net, xy, tmp_path):
    post = bn.fit(net, xy, **FIT)
    for change in (
        {"class": "os.system"},
        {"config": {"net": {"format": 1, "type": "os.system", "arguments": {"command": "x"}}}},
        {"config": {"net": {"format": 1, "type": "Module", "arguments": {"x": "y"}}}},
    ):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        post.save(tmp_path / "run")
        edit(tmp_path / "run", lambda content, change=change: content["model"].update(change))
        with pytest.raises(ValueError, match=r"run\.json: the .* can't be rebuilt"):
            bn.load(tmp_path / "run")


@pytest.fixture
def run(net, xy, tmp_path):
    bn.fit(net, xy, out=tmp_path / "run", **FIT)
    return tmp_path / "run"


# Which model -----------------------------------------------------------------------------------


def test_undescribed_model_has_to_be_given(xy, tmp_path):
    for kind in sorted(UNDESCRIBED):
        model, data = fits(*xy)[kind]
        bn.fit(model, data, out=tmp_path / kind, **FIT)
        with pytest.raises(ValueError, match=r"model="):
            bn.load(tmp_path / kind)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (bn.models.GaussianNet(bn.nn.mlp([4, 5, 3]), prior_scale=0.5), "net="),
        (bn.models.GaussianNet(bn.nn.mlp([4, 6, 3]), prior_scale=0.7), "prior_scale=0.5, got"),
        (
            bn.models.GaussianNet(bn.nn.mlp([4, 6, 3]), prior_scale=0.5, likelihood="bernoulli"),
            "likelihood='categorical', got likelihood='bernoulli'",
        ),
        (linear_pair(), "GaussianNet, got PyroPair"),
        (bn.models.GaussianNet(Branching(3), prior_scale=0.5), "can't be described"),
    ],
)
def test_given_model_has_to_be_the_one(run, other, said):
    with pytest.raises(ValueError, match=said):
        bn.load(run, model=other)


def test_given_pair_has_to_be_the_one(xy, tmp_path):
    bn.fit(linear_pair(), (xy[0], xy[0].sum(1)), out=tmp_path / "run", **FIT)
    with pytest.raises(ValueError, match="of another model"):
        bn.load(tmp_path / "run", model=linear_pair(width=1))


# Going on with a run ---------------------------------------------------------------------------


def test_finished_run_is_returned(net, xy, run, numbers):
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    steps = []
    post = bn.fit(net, xy, out=run, resume=True, on_step=steps.append, **FIT)
    assert steps == []
    assert numbers(post) == numbers(bn.load(run)) == numbers(bn.fit(net, xy, **FIT))
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_finished_run_with_leftovers_is_returned_and_tidied(net, xy, run, numbers):
    post = bn.load(run)
    for name in (CHECKPOINT, f".{CHECKPOINT}.partial", f".{RUN}.partial"):
        (run / name).write_bytes(b"half a fi")
    assert numbers(bn.fit(net, xy, out=run, resume=True, **FIT)) == numbers(post)
    assert sorted(path.name for path in run.iterdir()) == [RESULT, RUN]


def test_date_is_that_of_the_beginning(edit, net, xy, tmp_path):
    run = tmp_path / "run"

    def stop(event):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        bn.fit(net, xy, out=run, on_step=stop, **FIT)
    edit(run, lambda content: content.update(created="2001-01-01"))
    bn.fit(net, xy, out=run, resume=True, **FIT)
    assert json.loads((run / RUN).read_text())["created"] == "2001-01-01"


def test_saving_over_a_run_is_refused(net, xy, run):
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    with pytest.raises(FileExistsError, match="already holds a run"):
        bn.fit(net, xy, **FIT).save(run)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_loaded_numbers_do_not_change_with_the_file(run, numbers):
    post = bn.load(run)
    before = numbers(post)
    with (run / RESULT).open("r+b") as file:  # in place, as a copy over it would be
        file.write(bytes((run / RESULT).stat().st_size))
    assert numbers(post) == before
