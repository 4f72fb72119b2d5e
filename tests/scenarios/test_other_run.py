"""Output folders that hold something else: told apart, and left as they are."""

from __future__ import annotations

import functools

import pyro
import pyro.distributions as dist
import pytest
import torch

import bayesnas as bn

FIT = {"steps": 6, "batch_size": 8}


def test_folder_of_another_run(net, xy, folders, snapshot):
    before = snapshot()
    with pytest.raises(
        FileExistsError, match=r"already holds a run \(run.json, posterior.*resume=True"
    ):
        bn.fit(net, xy, out=folders[3], **FIT)
    assert snapshot() == before


def test_folder_that_is_a_file(net, xy, folders, snapshot):
    before = snapshot()
    with pytest.raises(NotADirectoryError, match="out must be a folder, got the file"):
        bn.fit(net, xy, out=folders[2] / "notes.txt", **FIT)
    with pytest.raises(NotADirectoryError):
        bn.fit(net, xy, out=folders[2] / "notes.txt" / "below", **FIT)
    assert snapshot() == before


def test_resume_without_a_folder(net, xy):
    with pytest.raises(ValueError, match="resume needs out="):
        bn.fit(net, xy, resume=True, **FIT)


def _model(x, y=None):
    w = pyro.sample("w", dist.Normal(0.0, 1.0))
    with pyro.plate("data", len(x)):
        pyro.sample("y", dist.Categorical(logits=w * x), obs=y)


def _guide(x, y=None):
    pyro.sample("w", dist.Normal(pyro.param("loc", torch.tensor(0.0)), 0.1))


OTHER = {
    "kl_weight": ({"kl_weight": 2.0}, "settings kl_weight=1.0, got kl_weight=2.0"),
    "steps": ({"steps": 7}, "settings steps=6, got steps=7"),
    "batch size": ({"batch_size": 9}, "settings batch_size=8, got batch_size=9"),
    "lr": ({"lr": 0.5}, "settings lr=0.01, got lr=0.5"),
    "schedule": ({"schedule": "constant"}, "schedule='cosine', got schedule='constant'"),
    "clip": ({"clip": 1.0}, "clip=None, got clip=1.0"),
    "restarts": ({"restarts": 2}, "restarts=1, got restarts=2"),
    "seed": ({"seed": 1}, "seed=0, got seed=1"),
    "optimizer": ({"optimizer": torch.optim.SGD}, "optimizer='Adam', got optimizer='SGD'"),
    "its settings": (
        {"optimizer": functools.partial(torch.optim.Adam, betas=(0.5, 0.9))},
        r"optimizer='Adam', got optimizer='Adam\(betas=\(0.5, 0.9\)\)'",
    ),
    "validation": (
        {"validation": (torch.zeros(2, 4), torch.tensor([0, 1]))},
        "other validation data",
    ),
    "model": ({"model": bn.models.PyroPair(_model, _guide)}, "GaussianNet, got PyroPair"),
    "prior": (
        {"model": bn.models.GaussianNet(bn.nn.mlp([4, 6, 3]), prior_scale=0.7)},
        "prior_scale=0.5, got prior_scale=0.7",
    ),
    "net": ({"model": bn.models.GaussianNet(bn.nn.mlp([4, 7, 3]), prior_scale=0.5)}, "net="),
    "numbers of the data": ({"data": lambda x, y: (x + 1, y)}, "other training data"),
    "labels": ({"data": lambda x, y: (x, y.roll(1))}, "other training data"),
    "rows": ({"data": lambda x, y: (x[1:], y[1:])}, "data n=27, got n=26"),
}  # fmt: skip


@pytest.mark.parametrize("what", OTHER)
@pytest.mark.parametrize("finished", [True, False])
def test_resume_of_another_run(net, xy, folders, snapshot, what, finished):
    change, message = OTHER[what]
    options = {"model": net, "data": xy, **FIT, **change}
    if callable(options["data"]):
        options["data"] = options["data"](*xy)
    run = folders[3]
    if not finished:
        (run / "run.json").write_text((run / "run.json").read_text().replace("finished", "running"))
    before = snapshot()
    with pytest.raises(ValueError, match=message):
        bn.fit(**options, out=run, resume=True)
    assert snapshot() == before


def test_resume_from_another_start(net, xy, snapshot, tmp_path):
    """Trained networks of one shape, whose weights a description does not hold."""

    def model(seed):
        torch.manual_seed(seed)
        return bn.models.GaussianNet(bn.nn.mlp([4, 6, 3]), initial_loc="net")

    def stop(event):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        bn.fit(model(0), xy, out=tmp_path / "run", on_step=stop, **FIT)
    before = snapshot()
    with pytest.raises(ValueError, match="starts from other values"):
        bn.fit(model(1), xy, out=tmp_path / "run", resume=True, **FIT)
    assert snapshot() == before
    bn.fit(model(0), xy, out=tmp_path / "run", resume=True, **FIT)
