"""The page of HTML: what stands on it, that it is one file, and that names are text."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from torch import nn

import bayesnas as bn
from bayesnas.report import measure_page, write_html
from bayesnas.report.page.structure_tables import StructureMatrix, structure_tables
from bayesnas.report.page.template import readable

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Reader(HTMLParser):
    """Elements with their attributes, and the text; fails where a tag is not closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def count(self, tag):
        return sum(name == tag for name, _ in self.elements)


@pytest.fixture(scope="module")
def regression():
    data = bn.data.load("diabetes", standardise=True)
    post = bn.fit(bn.models.ArdRegression(10), data.train, steps=60, lr=0.03, seed=2)
    return post, data


@pytest.fixture(scope="module")
def digits():
    data = bn.data.load("digits", validation=0.1)
    model = bn.models.GaussianNet(bn.nn.mlp([64, 10]))
    return bn.fit(model, data.train, steps=40, lr=0.02, restarts=2), data


@pytest.fixture(autouse=True, scope="module")
def few_importance_draws():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bayesnas.report.page.checks._MOST", 30)
        patch.setattr("bayesnas.report.page.checks._FEWEST", 30)
        yield


@pytest.fixture(scope="module")
def regression_page(regression, tmp_path_factory):
    """What stands on it, and where it lies; not to be changed."""
    path = tmp_path_factory.mktemp("page") / "r.html"
    return write_html(*regression, path, draws=2), path


@pytest.fixture(scope="module")
def digits_page(digits, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "r.html"
    return write_html(*digits, path, draws=2), path


def read(path):
    return Reader(path.read_text(encoding="utf-8"))


def test_the_page_is_one_file_that_parses_and_loads_nothing(digits_page):
    page, path = digits_page
    document = read(path)
    for tag, attributes in document.elements:
        for name in ("src", "href", "srcset", "action", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/svg+xml;base64,")), tag
    assert {"script", "iframe", "link", "object"}.isdisjoint(tag for tag, _ in document.elements)
    style = re.search(r"<style>(.*?)</style>", path.read_text(encoding="utf-8"), re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style
    sections = {attributes.get("id") for _, attributes in document.elements}
    links = {a["href"][1:] for tag, a in document.elements if tag == "a"}
    assert links <= sections
    assert document.count("img") == len(page.pictures) == 4
    assert all(a["alt"] for tag, a in document.elements if tag == "img")


def test_the_metrics_are_those_of_evaluate_on_every_part(digits, digits_page):
    post, data = digits
    page, path = digits_page
    text = read(path).text
    rows = {row.name: row for row in page.metrics}
    assert page.parts == ["train", "validation", "test"]
    for index, part in enumerate(page.parts):
        split = getattr(data, part)
        expected = {**post.evaluate(split, draws=2), **post.metrics(split, draws=2)}
        assert rows.keys() == expected.keys()
        for name, value in expected.items():
            assert rows[name].values[index] == value
            assert readable(value) in text
    chains = [post.chain(i).evaluate(data.test, draws=2)["accuracy"] for i in range(2)]
    mean, sd = rows["accuracy"].spread
    assert mean == pytest.approx(np.mean(chains))
    assert sd == pytest.approx(abs(chains[0] - chains[1]) / np.sqrt(2))
    assert f"{readable(mean)} ± {sd:.2g}" in text


def test_the_structure_is_shown_by_name(regression, regression_page):
    post, data = regression
    page, path = regression_page
    (table,) = page.structure
    inclusion = post.structure()["inclusion"]
    values = {row.label: row.value for row in table.rows}
    assert values == {n: pytest.approx(float(inclusion.sel(feature=n))) for n in values}
    assert list(values) == sorted(values, key=lambda name: -values[name])
    assert set(values) == set(data.info.feature_names)
    q = post.model.weight_posterior()
    for row in table.rows:
        at = data.info.feature_names.index(row.label)
        mean, sd = (float(text.replace("−", "-")) for text in row.more)
        assert mean == pytest.approx(q.mean[at].item(), rel=0.01)
        assert sd == pytest.approx(q.variance[at].sqrt().item(), rel=0.1)
    text = read(path).text
    for row in table.rows:
        assert f"{row.label} {row.value:.3f} {' '.join(row.more)}" in text


def test_of_many_values_the_largest_and_the_smallest_are_shown(digits, digits_page):
    page, path = digits_page
    table = page.structure[0]
    assert table.heading == ("layer1.in", "mean over layer1.out")
    assert (len(table.rows), table.left_out) == (18, 64 - 18)
    weights = digits[0].structure()["layer1.weight"].mean("layer1.out")
    ordered = sorted(weights.values, reverse=True)
    expected = [*ordered[:12], *ordered[-6:]]
    assert [row.value for row in table.rows] == pytest.approx(expected)
    assert "… 46 between" in read(path).text


def test_sizes_are_those_of_the_pruned_posterior(digits, digits_page):
    post, data = digits
    sizes = digits_page[0].sizes
    smaller = post.prune(validation=data.validation)
    kept = sum(int(mask.sum()) for mask in smaller.model.keep_masks().values())
    assert [size.weights for size in sizes.rows] == [650, kept]
    assert sizes.superfluous == 650 - kept
    assert sizes.rows[1].score == smaller.evaluate(data.test, draws=0)["accuracy"]
    assert sizes.rows[1].numbers == sum(p.numel() for p in smaller.compact().parameters())
    assert sizes.rows[0].units == "64–10"


def test_operations_of_a_graph_are_a_matrix_with_the_names_of_its_edges():
    torch.manual_seed(0)
    hidden = {"linear": nn.Linear(3, 4), "tanh": nn.Sequential(nn.Linear(3, 4), nn.Tanh())}
    graph = bn.nn.Graph(
        {("x", "h"): hidden, ("h", "y"): nn.Linear(4, 2)}, example=torch.zeros(1, 3)
    )
    model = bn.models.LatentStructureNet(graph)
    post = bn.fit(model, (torch.randn(20, 3), torch.arange(20) % 2), steps=3)
    (matrix,) = structure_tables(post)
    assert isinstance(matrix, StructureMatrix)
    (name,) = post.structure().data_vars
    (row,) = matrix.rows
    assert row[0] == str(post.structure()[name].coords[matrix.row_dim].values[0])
    assert set(matrix.columns) == {"linear", "tanh"}
    assert row[1] == pytest.approx(post.structure()[name].values[0].tolist())


def test_hostile_names_are_text(tmp_path):
    torch.manual_seed(0)
    x = torch.randn(40, 2)
    hostile = "<script>alert(1)</script>"
    data = bn.data.from_arrays(
        x, x[:, 0] + 0.1 * torch.randn(40), name='"><img src=x onerror=y>',
        feature_names=[hostile, "a & b"],
    )  # fmt: skip
    post = bn.fit(bn.models.ArdRegression(2), data.train, steps=20, lr=0.03)
    write_html(post, data, tmp_path / "r.html", draws=2, command="</code><script>0</script>")
    document = read(tmp_path / "r.html")
    assert document.count("script") == 0
    assert all("onerror" not in attributes for _, attributes in document.elements)
    for name in (hostile, "a & b", '"><img src=x onerror=y>', "</code><script>0</script>"):
        assert name in document.text


def test_the_call_on_the_page_makes_the_same_page(regression, regression_page):
    post, data = regression
    _, path = regression_page
    before = path.read_bytes()
    command = html.unescape(re.search(r'id="command">(.*?)</code>', before.decode())[1])
    path.unlink()
    exec(command, {"bn": bn, "post": post, "data": data})
    assert path.read_bytes() == before


def test_along_the_kl_weight_the_page_shows_one_and_what_all_are_worth(digits, tmp_path):
    _, data = digits
    model = bn.models.GaussianNet(bn.nn.mlp([64, 10]))
    fit = bn.fit(model, data.train, kl_weight=bn.LogUniform(0.1, 10), steps=30, lr=0.02)
    page = write_html(fit, data, tmp_path / "r.html", draws=2)
    grid = page.frontier["kl_weight"].values.tolist()
    assert grid == pytest.approx([0.1, 1, 10])
    losses = [fit.at(each).evaluate(data.validation, draws=2)["nll"] for each in grid]
    assert page.findings.post.kl_weight == grid[int(np.argmin(losses))]
    document = read(tmp_path / "r.html")
    assert "the lowest NLL on the validation part, of 3 values" in document.text
    assert document.count("img") == len(page.pictures) + 3
    few = bn.data.DataSet(data.name, data.validation)
    assert measure_page(fit, few, draws=0).findings.post.kl_weight == pytest.approx(1)


@pytest.mark.slow
@pytest.mark.parametrize(("kl_weight", "warned"), [(2.0, False), (10.0, True)])
def test_the_edge_of_the_range_is_warned_of(digits, kl_weight, warned):
    _, data = digits
    model = bn.models.GaussianNet(bn.nn.mlp([64, 10]))
    fit = bn.fit(model, data.train, kl_weight=[1.0, 2.0, 10.0], steps=5)
    page = measure_page(fit, data, draws=1, kl_weight=kl_weight)
    assert page.findings.post.kl_weight == kl_weight
    assert ("edge of the range" in [remark.name for remark in page.remarks]) == warned


def test_other_paths_and_kl_weights_are_refused(regression, tmp_path):
    with pytest.raises(ValueError, match=r"path must end in \.html"):
        write_html(*regression, tmp_path / "r.pdf")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        write_html(*regression, tmp_path / "absent" / "r.html")
    (tmp_path / "r.html").mkdir()
    with pytest.raises(IsADirectoryError, match="path must be a file"):
        write_html(*regression, tmp_path / "r.html")
    with pytest.raises(ValueError, match=r"kl_weight must be 1, .* got 2"):
        measure_page(*regression, kl_weight=2.0)
