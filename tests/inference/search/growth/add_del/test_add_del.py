"""AddDel: the alternation, features against enumeration, neurons."""

from __future__ import annotations

import itertools
import math
import os
import signal

import numpy as np
import pytest
import torch

import bayesnas as bn
from bayesnas.data import Split
from bayesnas.inference.search import AddDel, HiddenNeurons, LinearFeatures, add_del
from bayesnas.inference.search.growth.add_del.elements import Change
from bayesnas.likelihoods import make_likelihood
from bayesnas.pruning.criteria.curvature import SampleLoss, curvature_diagonal
from bayesnas.runtime.interrupt import InterruptedFitWarning


class Table:
    """Subsets of {0, 1, 2}, each with an error; the least element is the least salient."""

    def __init__(self, errors):
        self.errors = {frozenset(subset): error for subset, error in errors.items()}

    def start(self):
        return frozenset()

    def add(self, model):
        left = {0, 1, 2} - model
        if not left:
            return None
        element = min(left, key=lambda each: self.errors[model | {each}])
        return Change(element, model | {element})

    def delete(self, model):
        return Change(min(model), model - {min(model)}) if model else None

    def error(self, model):
        return self.errors[model]

    def size(self, model):
        return len(model)

    def module(self, model):
        return torch.nn.Identity()

    def config(self):
        return {}


HILL = {
    (): 5.0,
    (0,): 4.0,
    (1,): 4.5,
    (2,): 4.6,
    (0, 1): 4.2,
    (0, 2): 4.3,
    (1, 2): 1.0,
    (0, 1, 2): 1.5,
}


def walked(record):
    return [(step["phase"], step["element"], step["error"], step["kept"]) for step in record.steps]


def test_without_rises_a_phase_ends_at_the_first_rise():
    record = add_del(Table(HILL))
    assert walked(record) == [
        ("start", None, 5.0, True),
        ("add", 0, 4.0, True),
        ("add", 1, 4.2, False),
        ("del", 0, 5.0, False),
        ("add", 1, 4.2, False),
        ("del", 0, 5.0, False),
    ]
    assert (record.size, record.error) == (1, 4.0)
    assert record.history.element.isna().tolist() == [True] + [False] * 5


def test_rises_lead_over_a_hill_and_deletion_finds_what_addition_passed_by():
    record = add_del(Table(HILL), add_rise=0.5)
    assert [step["error"] for step in record.steps if step["kept"]] == [5.0, 4.0, 4.2, 1.5, 1.0]
    assert (record.size, record.error) == (2, 1.0)


def test_of_equal_errors_the_smallest_model_is_taken():
    flat = dict.fromkeys(HILL, 1.0) | {(): 2.0}
    assert add_del(Table(flat), add_rise=1.0, delete_rise=1.0).size == 1


def test_no_more_iterations_than_are_allowed():
    record = add_del(Table(HILL), add_rise=0.5, most_iterations=1)
    assert {step["iteration"] for step in record.steps} == {0, 1}


@pytest.fixture
def regression():
    """Six correlated features, of which three matter."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(90, 6, generator=generator, dtype=torch.float64)
    x[:, 3] = x[:, 0] + 0.4 * x[:, 3]
    y = 2 + x[:, 0] - 1.5 * x[:, 2] + 0.5 * x[:, 5]
    y += 0.5 * torch.randn(90, generator=generator, dtype=torch.float64)
    return (x[:50], y[:50]), (x[50:], y[50:])


def by_numpy(regression, features):
    """Validation error of a subset, by the normal equations with an intercept."""
    (x, y), (test_x, test_y) = ((a.numpy(), b.numpy()) for a, b in regression)
    columns = np.column_stack([np.ones(len(x)), x[:, list(features)]])
    test_columns = np.column_stack([np.ones(len(test_x)), test_x[:, list(features)]])
    weights = np.linalg.solve(columns.T @ columns, columns.T @ y)
    return float(np.mean((test_y - test_columns @ weights) ** 2))


def test_errors_of_all_subsets_are_those_of_the_normal_equations(regression):
    elements = LinearFeatures(*regression)
    for size in range(7):
        for features in itertools.combinations(range(6), size):
            expected = by_numpy(regression, features)
            assert elements.error(elements._fitted(features)) == pytest.approx(expected)


def test_the_feature_added_is_the_best_of_all(regression):
    elements = LinearFeatures(*regression)
    model = elements.start()
    for _ in range(6):
        left = set(range(6)) - set(model.features)
        best = min(left, key=lambda each: by_numpy(regression, (*model.features, each)))
        change = elements.add(model)
        assert change.element == best
        model = change.model
        assert elements.error(model) == pytest.approx(by_numpy(regression, model.features))
    assert elements.add(model) is None


def test_the_feature_deleted_has_the_least_saliency(regression):
    (x, y), _ = regression
    elements = LinearFeatures(*regression)
    net = torch.nn.Linear(6, 1).double()
    model = elements._fitted((0, 1, 2, 3, 4, 5))
    with torch.no_grad():
        net.weight.copy_(model.coefficients)
    likelihood = make_likelihood("gaussian", noise_scale=1.0)
    loss = SampleLoss(net, likelihood, x - x.mean(0), y)
    saliency = 0.5 * curvature_diagonal(loss, ["weight"])["weight"] * net.weight.detach() ** 2
    assert elements.delete(model).element == int(saliency.argmin())


def test_with_rises_it_finds_the_best_of_all_subsets(regression):
    record = add_del(LinearFeatures(*regression), add_rise=1e3, delete_rise=1e3)
    subsets = [s for size in range(7) for s in itertools.combinations(range(6), size)]
    best = min(subsets, key=lambda features: by_numpy(regression, features))
    assert record.module[0].indices == list(best)
    assert record.error == pytest.approx(by_numpy(regression, best))
    assert record.error <= by_numpy(regression, range(6))
    test_x, test_y = regression[1]
    with torch.no_grad():
        outputs = record.module.double()(test_x)[:, 0]
    assert float((outputs - test_y).square().mean()) == pytest.approx(record.error, rel=1e-5)


def test_a_copy_of_a_feature_is_never_worth_adding(regression):
    (x, y), (test_x, test_y) = regression
    doubled = LinearFeatures((torch.cat([x, x], 1), y), (torch.cat([test_x, test_x], 1), test_y))
    once = LinearFeatures(*regression)
    record, alone = (add_del(each, add_rise=1.0) for each in (doubled, once))
    assert record.error == pytest.approx(alone.error)
    assert len({feature % 6 for feature in record.module[0].indices}) == record.size


def test_without_a_useful_feature_the_mean_stays():
    x = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
    y = torch.tensor([1.0, 1.0, 3.0, 3.0])
    record = add_del(LinearFeatures((x, y), (x, y)))
    assert record.size == 0
    assert record.module(x).flatten().tolist() == [2.0] * 4


@pytest.fixture
def waves():
    x = torch.linspace(-2, 2, 60)[:, None]
    y = (2 * x).sin()
    return (x[::2], y[::2]), (x[1::2], y[1::2])


@pytest.mark.slow
def test_neurons_come_until_the_curve_is_met(waves):
    """One start of a neuron in ten or so ends in a poor optimum; all five of them do not."""
    record = add_del(HiddenNeurons(*waves, candidates=5, steps=80), most_iterations=1)
    assert record.size >= 2
    rest = record.error - 0.5 * math.log(2 * math.pi)
    assert rest < 0.02 < record.steps[0]["error"] - 0.5 * math.log(2 * math.pi)
    with torch.no_grad():
        outputs = record.module(waves[1][0])
    half = 0.5 * float((outputs - waves[1][1]).square().mean())
    assert half == pytest.approx(rest, rel=1e-3, abs=1e-6)


def test_the_first_model_is_a_constant_and_the_least_salient_neuron_goes(waves):
    elements = HiddenNeurons(*waves, candidates=1, steps=60)
    start = elements.start()
    assert elements.size(start) == 0
    assert elements.delete(start) is None
    module = elements.module(start)
    assert torch.equal(module(waves[0][0]), module[2].bias.expand(30, 1))
    two = elements.add(elements.add(start).model).model
    with torch.no_grad():
        two[2].weight[:, 0] = 0  # what nobody reads costs nothing but its penalty
        two[0].weight[0] = 0
    change = elements.delete(two)
    assert (change.element, elements.size(change.model)) == (0, 1)


def test_a_new_neuron_is_the_best_of_the_candidates(waves):
    elements = HiddenNeurons(*waves, candidates=3, steps=30)
    start = elements.start()
    errors = [elements.error(elements._widened(start, place)) for place in range(3)]
    assert elements.error(elements.add(start).model) == min(errors)


def test_labels_are_classified(xy):
    x, y = xy
    elements = HiddenNeurons((x, y), (x, y), candidates=1, steps=30, lr=0.1)
    record = add_del(elements, most_iterations=1)
    assert record.error < record.steps[0]["error"]
    assert record.module(x).shape == (27, 3)


def test_a_seed_gives_one_result_and_leaves_the_random_state(waves):
    before = torch.get_rng_state()
    runs = [
        add_del(HiddenNeurons(*waves, candidates=1, steps=3, seed=seed), most_iterations=1)
        for seed in (3, 3, 4)
    ]
    assert torch.equal(torch.get_rng_state(), before)
    assert runs[0].steps == runs[1].steps != runs[2].steps


def test_files_give_the_result_back(regression, tmp_path):
    record = add_del(LinearFeatures(*regression))
    record.save(tmp_path / "result")
    loaded = AddDel.load(tmp_path / "result")
    assert (loaded.steps, loaded.settings) == (record.steps, record.settings)
    x = regression[1][0].float()
    assert torch.equal(loaded.module(x), record.module(x))
    with pytest.raises(FileExistsError, match="another folder"):
        record.save(tmp_path / "result")
    (tmp_path / "result" / "growth.json").write_text("{}")
    with pytest.raises(ValueError, match="format"):
        AddDel.load(tmp_path / "result")
    with pytest.raises(FileNotFoundError):
        AddDel.load(tmp_path / "nothing")


def test_an_interrupt_gives_the_model_as_it_stood(regression, monkeypatch):
    elements = LinearFeatures(*regression)
    add = elements.add

    def interrupted(model):
        os.kill(os.getpid(), signal.SIGINT)
        return add(model)

    monkeypatch.setattr(elements, "add", interrupted)
    with pytest.warns(InterruptedFitWarning, match="after 2 steps"):
        assert add_del(elements).size == 1


def test_what_does_not_fit_is_refused(regression, xy):
    train, held_out = regression
    for call, message in [
        (lambda: add_del(Table(HILL), add_rise=-1.0), "add_rise"),
        (lambda: add_del(Table(HILL), delete_rise=float("nan")), "delete_rise"),
        (lambda: add_del(Table(HILL), most_iterations=0), "most_iterations"),
        (lambda: add_del(Table({**HILL, (): math.nan})), "error after start"),
        (lambda: LinearFeatures(Split.of(xy), held_out), "data: y must be for regression"),
        (lambda: LinearFeatures(train, (held_out[0][:, :2], held_out[1])), "validation: x must"),
        (
            lambda: LinearFeatures((train[0], torch.stack([train[1]] * 2, 1)), held_out),
            "one number",
        ),
        (lambda: HiddenNeurons(xy, (xy[0], xy[1] + 1)), "validation: y must be below 3"),
        (lambda: HiddenNeurons(xy, xy, candidates=0), "candidates"),
        (lambda: HiddenNeurons(xy, xy, steps=0), "steps"),
        (lambda: HiddenNeurons(xy, xy, lr=0.0), "lr"),
        (lambda: HiddenNeurons(xy, xy, l2=-1.0), "l2"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="elements must be LinearFeatures"):
        add_del(bn)
