"""Files of networks opened in a process that can't import bayesnas, as on another machine."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import bayesnas as bn

OPEN = {
    "pt2": """
import torch
extra = {"bayesnas.json": ""}
net = torch.export.load("net.pt2", extra_files=extra).module()
outputs, about = net(torch.from_numpy(rows)).detach().numpy(), extra["bayesnas.json"]
""",
    "onnx": """
import onnxruntime
session = onnxruntime.InferenceSession("net.onnx")
(outputs,) = session.run(None, {"x": rows})
about = session.get_modelmeta().custom_metadata_map["bayesnas"]
""",
    "safetensors": """
from safetensors import safe_open
with safe_open("net.safetensors", "np") as file:
    about = file.metadata()["bayesnas"]
    weights = [file.get_tensor(name) for name in file.keys()]
outputs = np.array(len(weights))
""",
}
PROGRAM = """
import json, sys
sys.modules["bayesnas"] = None  # an import of it fails
import numpy as np
rows = np.load("rows.npy")
{opened}
assert not [name for name in sys.modules if name.startswith("bayesnas.")]
np.save("outputs.npy", outputs)
print(about)
"""


@pytest.fixture(scope="module")
def post():
    generator = torch.Generator().manual_seed(0)
    x = 100 + 20 * torch.randn(120, 3, generator=generator)
    y = np.array(["no", "yes"])[(x[:, 0] > x[:, 1]).long().numpy()]
    data = bn.data.from_arrays(x, y, standardise=True)
    return bn.fit(bn.models.GaussianNet(bn.nn.mlp([3, 8, 2])), data.train, steps=60, progress=False)


@pytest.mark.parametrize("kind", OPEN)
def test_raw_rows_go_in_and_names_come_out(post, tmp_path, kind):
    rows = (100 + 20 * np.random.default_rng(1).normal(size=(7, 3))).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    post.export(tmp_path / f"net.{kind}")
    words = [sys.executable, "-W", "ignore", "-c", PROGRAM.format(opened=OPEN[kind])]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    about = json.loads(done.stdout.splitlines()[-1])
    assert about["outputs"]["classes"] == ["no", "yes"]
    outputs = np.load(tmp_path / "outputs.npy")
    if kind != "safetensors":
        expected = post.compact(standardise=True)(torch.from_numpy(rows)).detach().numpy()
        assert np.abs(outputs - expected).max() < 1e-5
