"""A network written to a file comes back with the same outputs."""

from __future__ import annotations

import pytest
import safetensors.torch
import torch
from torch import nn

from bayesnas.nn import convnet, load_net, mlp, save_net


def test_safetensors_give_the_same_net(tmp_path):
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))
    net(torch.randn(8, 3))  # running statistics that are not the initial ones
    save_net(net, tmp_path / "net.safetensors")
    loaded = load_net(tmp_path / "net.safetensors")
    assert net.training
    assert not loaded.training
    x = torch.randn(5, 3)
    assert torch.equal(loaded(x), net.eval()(x))


def test_safetensors_hold_the_weights_by_name(tmp_path):
    net = mlp([3, 4, 2])
    save_net(net, tmp_path / "net.safetensors")
    tensors = safetensors.torch.load_file(tmp_path / "net.safetensors")
    assert tensors.keys() == net.state_dict().keys()
    assert torch.equal(tensors["layer1.weight"], net.layer1.weight)


def test_pt2_needs_torch_alone_and_takes_any_number_of_rows(tmp_path):
    net = convnet(classes=3, image=12, kernel=3)
    save_net(net, tmp_path / "net.pt2", torch.randn(2, 1, 12, 12))
    program = torch.export.load(tmp_path / "net.pt2").module()
    for rows in (1, 7):
        x = torch.randn(rows, 1, 12, 12)
        torch.testing.assert_close(program(x), net(x))
    assert net.training


class NamedAsAProgramIs(nn.Module):
    """A program of torch has a graph and code of its own."""

    def __init__(self):
        super().__init__()
        self.graph, self.code = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.code(self.graph(x))


@pytest.mark.parametrize("suffix", ["pt2", "onnx"])
def test_parts_may_have_names_that_programs_have(suffix, tmp_path):
    net, path = NamedAsAProgramIs(), tmp_path / f"net.{suffix}"
    x = torch.randn(5, 3)
    save_net(net, path, x)
    if suffix == "pt2":
        outputs = torch.export.load(path).module()(x)
    else:
        session = pytest.importorskip("onnxruntime").InferenceSession(path)
        outputs = torch.tensor(session.run(None, {"x": x.numpy()})[0])
    assert torch.allclose(outputs, net(x), atol=1e-6)


def test_pt2_needs_an_example(tmp_path):
    for example in (None, torch.zeros(1, 3)):
        with pytest.raises(ValueError, match="example must be inputs"):
            save_net(mlp([3, 2]), tmp_path / "net.pt2", example)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_no_row_of_the_data_is_written(tmp_path, suffix):
    """A view of two rows would bring along all the others."""
    if suffix == ".onnx":
        pytest.importorskip("onnxscript", reason="onnxscript is not installed: bayesnas[onnx]")
    rows = torch.full((5000, 3), 0.123456789)
    save_net(mlp([3, 2]), tmp_path / f"net{suffix}", rows[:2])
    content = (tmp_path / f"net{suffix}").read_bytes()
    assert len(content) < 30_000
    assert rows[0].numpy().tobytes() not in content


def test_nothing_is_replaced(tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="net.safetensors is there already"):
        save_net(mlp([3, 2]), path)
    assert path.read_text() == "mine"


def test_bad_paths_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"end in \.safetensors, \.pt2, \.onnx, got 'net\.pkl'"):
        save_net(mlp([3, 2]), "net.pkl")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        save_net(mlp([3, 2]), tmp_path / "absent" / "net.safetensors")
    with pytest.raises(FileNotFoundError):
        load_net(tmp_path / "absent.safetensors")


def test_other_and_truncated_files_are_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    save_net(mlp([3, 2]), path)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match="truncated, damaged or no network"):
        load_net(path)
    safetensors.torch.save_file({"w": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="truncated, damaged or no network"):
        load_net(path)
