"""The page of every model of the zoo, in a browser as wide as a phone and as a desk."""

from __future__ import annotations

import html
import re
import shutil
import subprocess

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

import bayesnas as bn
from bayesnas.report import write_html

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
WIDTHS = (390, 1280)
# The page stands in a frame of the width that is asked for, for a window can't be as narrow as a
# phone; the frame shares its origin, so that its sizes can be read.
FRAME = """<iframe width="{width}" height="800" srcdoc="{page}"></iframe>
<pre id="found"></pre><script>
document.querySelector("iframe").onload = (event) => {{
  const page = event.target.contentDocument, root = page.documentElement;
  const broken = [...page.images].filter((image) => !image.naturalWidth).length;
  const outside = [...page.querySelectorAll("h1, h2, p, li, figure, pre, summary, .tile, .scroll")]
    .filter((e) => e.getBoundingClientRect().right > root.clientWidth + 1).length;
  document.getElementById("found").textContent =
    `${{root.clientWidth}} ${{root.scrollWidth}} ${{broken}} ${{outside}}`;
}};
</script>"""


def measured(path, width, tmp_path):
    """Width of the view and of the page, pictures that don't show, elements beyond the edge."""
    frame = tmp_path / "frame.html"
    page = html.escape(path.read_text(encoding="utf-8"))
    frame.write_text(FRAME.format(width=width, page=page), encoding="utf-8")
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1400,1000",
        f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000", "--dump-dom",
        frame.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return [int(word) for word in re.search(r'id="found">([\d ]+)<', done.stdout)[1].split()]


def classes():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 4, generator=generator)
    names = [
        "a",
        "b",
        "a_name_that_is_longer_than_a_phone_is_wide_and_has_no_space_in_it_at_all",
        "d",
    ]
    return bn.data.from_arrays(x, (x[:, 0] > 0).long(), feature_names=names)


def numbers():
    return bn.data.load("diabetes", standardise=True)


def images():
    return bn.data.load("digits").reconstructing()


def rows():
    x = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    return bn.data.DataSet("rows", bn.data.from_arrays(x, x, test=0).train)


def graph():
    hidden = {"linear": nn.Linear(4, 4), "tanh": nn.Sequential(nn.Linear(4, 4), nn.Tanh())}
    return bn.nn.Graph({("x", "h"): hidden, ("h", "y"): nn.Linear(4, 2)}, example=torch.zeros(1, 4))


def pyro_pair():
    def model(x, y=None):
        logits = pyro.sample("logits", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Categorical(logits=logits.expand(len(x), 2)), obs=y)

    def guide(x, y=None):
        loc = pyro.param("loc", torch.zeros(2))
        pyro.sample("logits", dist.Normal(loc, 0.1).to_event(1))

    return bn.models.PyroPair(model, guide)


ZOO = {
    "gaussian-net": (lambda: bn.models.GaussianNet(bn.nn.mlp([4, 5, 2])), classes),
    "bayesian-compression": (
        lambda: bn.models.BayesianCompressionNet(bn.nn.mlp([4, 5, 2])), classes
    ),
    "spike-and-slab-net": (lambda: bn.models.SpikeAndSlabNet(bn.nn.mlp([4, 5, 2])), classes),
    "supermask-net": (lambda: bn.models.SupermaskNet(bn.nn.mlp([4, 5, 2])), classes),
    "ard-regression": (lambda: bn.models.ArdRegression(10), numbers),
    "spike-and-slab-regression": (lambda: bn.models.SpikeAndSlabRegression(10), numbers),
    "latent-structure-net": (lambda: bn.models.LatentStructureNet(graph()), classes),
    "ard-vae": (lambda: bn.models.ArdVae(64, latents=4, hidden=[8]), images),
    "indian-buffet-vae": (lambda: bn.models.IndianBuffetVae(64, latents=4, hidden=[8]), images),
    "latent-features": (lambda: bn.models.LatentFeatures(4, latents=3), rows),
    "pyro-pair": (pyro_pair, classes),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to open the page with")
@pytest.mark.parametrize(
    ("name", "kl_weight"),
    [
        *((name, 1.0) for name in ZOO),
        ("gaussian-net", bn.LogUniform(0.1, 10)),
        ("latent-structure-net", [0.1, 1.0]),
        ("ard-vae", bn.LogUniform(0.1, 10)),
    ],
)
def test_nothing_is_wider_than_the_screen(name, kl_weight, tmp_path, monkeypatch):
    monkeypatch.setattr("bayesnas.report.page.checks._FEWEST", 30)
    monkeypatch.setattr("bayesnas.report.page.checks._MOST", 30)
    make_model, make_data = ZOO[name]
    torch.manual_seed(0)
    data = make_data()
    post = bn.fit(make_model(), data.train, steps=5, kl_weight=kl_weight, restarts=2)
    write_html(post, data, tmp_path / "page.html", draws=2)
    for width in WIDTHS:
        view, page, broken, outside = measured(tmp_path / "page.html", width, tmp_path)
        assert width - 20 <= view <= width  # less a scroll bar
        assert (page, broken, outside) == (view, 0, 0)
