"""What leaves the package takes raw rows, gives the units of the targets, and says what it is."""

from __future__ import annotations

import functools
import importlib.util
import json

import arviz as az
import numpy as np
import pyro.distributions as dist
import pytest
import safetensors
import safetensors.torch
import torch
from torch import nn

import bayesnas as bn

ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime"))
SUFFIXES = [
    ".safetensors",
    ".pt2",
    pytest.param(
        ".onnx",
        marks=pytest.mark.skipif(not ONNX, reason="no onnx and onnxruntime: bayesnas[onnx]"),
    ),
]
SHORT = {"steps": 10, "batch_size": 96, "lr": 0.1, "progress": False}
NAMES = ["year", "dose", "depth"]
CLASSES = ["dry", "wet"]


def raw_rows():
    """Columns, and a target, in units far from 0 and 1."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 3)) * [20.0, 0.01, 3.0] + [1990.0, 5.0, -70.0]
    return x.astype("float32"), (x @ [3.0, 2000.0, -1.0] + 5000 + rng.normal(size=120))


@functools.cache
def fitted(likelihood):
    """A posterior on the standardised rows: of one target, of two, or of classes."""
    x, y = raw_rows()
    names = {"feature_names": NAMES}
    if likelihood == "categorical":
        names |= {"class_names": CLASSES}
        y, width = (y > y.mean()).astype(int), 2
    elif likelihood == "two targets":
        y, width, likelihood = np.stack([y, 1e-3 * y], 1), 2, "gaussian"
    else:
        width = 2 if likelihood == "heteroscedastic" else 1
    data = bn.data.from_arrays(x, y, standardise=True, **names)
    model = bn.models.GaussianNet(bn.nn.mlp([3, 6, width]), likelihood=likelihood)
    return bn.fit(model, data.train, **SHORT)


def expected(post, likelihood):
    """By NumPy in double precision, around the network of the posterior means."""
    units = post.data.standardisation
    x = (raw_rows()[0].astype(float) - units.x_mean) / units.x_scale
    with torch.no_grad():
        net = post.model.plain_module().double()
        output = net(torch.tensor(x)).numpy()
    if likelihood == "categorical":
        return output
    if likelihood == "heteroscedastic":
        mean, scale = output[:, :1], output[:, 1:]
        factor = units.y_scale[0]
        return np.concatenate([mean * factor + units.y_mean[0], scale + np.log(factor)], 1)
    return output * np.array(units.y_scale) + np.array(units.y_mean)


def opened(path):
    """A function from raw rows to outputs, without bayesnas where the format allows."""
    if path.suffix == ".pt2":
        return torch.export.load(path).module()
    if path.suffix == ".safetensors":
        return bn.nn.load_net(path)
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    return lambda x: torch.tensor(session.run(None, {"x": x.numpy()})[0])


@pytest.mark.slow_except("gaussian-.safetensors", "heteroscedastic-.pt2", "two targets-.onnx")
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "likelihood", ["gaussian", "two targets", "heteroscedastic", "categorical"]
)
def test_a_file_takes_raw_rows_and_gives_the_units_of_the_targets(tmp_path, likelihood, suffix):
    post, path = fitted(likelihood), tmp_path / f"net{suffix}"
    post.export(path)
    right = expected(post, likelihood)
    for rows in (120, 1):  # any number of rows
        outputs = opened(path)(torch.tensor(raw_rows()[0][:rows])).detach().numpy()
        np.testing.assert_allclose(outputs, right[:rows], rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        outputs = post.compact(standardise=True)(torch.tensor(raw_rows()[0])).numpy()
    np.testing.assert_allclose(outputs, right, rtol=1e-5, atol=1e-5)


def test_few_bytes_take_raw_rows_too(tmp_path):
    post = fitted("gaussian")
    net = post.compact(standardise=True)
    bn.encode(net, tmp_path / "net.bin")
    x = torch.tensor(raw_rows()[0])
    assert torch.equal(bn.decode(tmp_path / "net.bin")(x), net(x))


def metadata(path):
    if path.suffix == ".pt2":
        extra = {"bayesnas.json": ""}
        torch.export.load(path, extra_files=extra)
        return json.loads(extra["bayesnas.json"])
    if path.suffix == ".safetensors":
        with safetensors.safe_open(path, "pt") as stream:
            return json.loads(stream.metadata()["bayesnas"])
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    return json.loads(session.get_modelmeta().custom_metadata_map["bayesnas"])


@pytest.mark.slow_except(".safetensors", ".pt2")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_names_features_classes_and_outputs(tmp_path, suffix):
    post, path = fitted("categorical"), tmp_path / f"net{suffix}"
    post.export(path)
    described = metadata(path)
    assert described["inputs"] == {"shape": ["n", 3], "names": NAMES}
    assert described["outputs"]["classes"] == CLASSES
    assert described["outputs"]["are"] == "logits of the classes"
    assert described["standardisation"]["x_mean"] == list(post.data.standardisation.x_mean)


def test_weights_in_safetensors_have_the_names_of_the_layers(tmp_path):
    post = fitted("gaussian")
    post.export(tmp_path / "net.safetensors")
    tensors = safetensors.torch.load_file(tmp_path / "net.safetensors")
    bare = post.compact().state_dict()
    units = {"x_mean", "x_scale", "factor", "shift"}
    assert tensors.keys() == {f"net.{name}" for name in bare} | units


def test_netcdf_opens_in_arviz(tmp_path):
    post = fitted("gaussian")
    post.export(tmp_path / "post.nc", draws=7)
    tree = az.from_netcdf(tmp_path / "post.nc")
    assert tree["posterior"].sizes["draw"] == 7
    assert [path.name for path in tmp_path.iterdir()] == ["post.nc"]


def test_rows_that_were_not_standardised_have_a_bare_network():
    x, y = raw_rows()
    model = bn.models.GaussianNet(bn.nn.mlp([3, 6, 1]), likelihood="gaussian")
    post = bn.fit(model, (torch.tensor(x), torch.tensor(y)), **SHORT)
    assert not isinstance(post.compact(standardise=True), bn.nn.StandardisedNet)


def test_images_are_standardised_channel_by_channel():
    x = 200 + 50 * torch.rand(20, 2, 6, 6)
    data = bn.data.from_arrays(x, torch.arange(20) % 2, standardise=True)
    net = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(108, 2))
    post = bn.fit(bn.models.GaussianNet(net), data.train, steps=2, progress=False)
    bare = post.compact()
    right = bare(post.data.standardisation.apply(x))
    torch.testing.assert_close(post.compact(standardise=True)(x), right, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_what_compress_gives_takes_rows_as_the_fit_or_raw_ones():
    x, y = raw_rows()
    data = bn.data.from_arrays(x, y, standardise=True)
    small = bn.compress(bn.nn.mlp([3, 8, 1]), data.train, likelihood="gaussian", progress=False)
    units = data.info.standardisation
    inner = small.module(units.apply(torch.tensor(x)))
    right = inner.detach().numpy() * units.y_scale[0] + units.y_mean[0]
    outputs = small.in_data_units()(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(outputs, right, rtol=1e-5)
    assert np.corrcoef(outputs[:, 0], y)[0, 1] > 0.9


class Laplace:
    task = "regression"

    def __call__(self, output):
        return dist.Laplace(output.squeeze(-1), 0.5)


def test_a_likelihood_that_does_not_know_its_units_is_refused(tmp_path):
    x, y = raw_rows()
    data = bn.data.from_arrays(x, y, standardise=True)
    model = bn.models.GaussianNet(bn.nn.mlp([3, 1]), likelihood=Laplace())
    post = bn.fit(model, data.train, steps=3, progress=False)
    with pytest.raises(TypeError, match="compact\\(\\)"):
        post.export(tmp_path / "net.pt2")
    assert list(tmp_path.iterdir()) == []
    assert post.compact()(torch.zeros(2, 3)).shape == (2, 1)


@pytest.mark.parametrize("suffix", [".pt2", ".nc"])
def test_nothing_is_replaced_and_nothing_half_written(tmp_path, suffix, monkeypatch):
    post, path = fitted("gaussian"), tmp_path / f"there{suffix}"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="is there already"):
        post.export(path)
    assert path.read_text() == "mine"
    path.unlink()
    with pytest.raises(ValueError, match="path must end in .nc, .safetensors"):
        post.export(tmp_path / "net.pkl")

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OSError, match="could not write .*there"):
        post.export(path, draws=2)
    assert list(tmp_path.iterdir()) == []


def test_onnx_without_its_packages_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"needs onnx, got none: pip install 'bayesnas\[onnx\]'"):
        fitted("gaussian").export(tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []
