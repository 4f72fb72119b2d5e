"""What every criterion removes, whole groups, and what is refused."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import nn

from bayesnas.likelihoods import make_likelihood
from bayesnas.pruning.criteria import subject as subject_module
from bayesnas.pruning.criteria.curvature import SampleLoss
from bayesnas.pruning.criteria.group_masks import EmptiedLayerError, group_axes
from bayesnas.pruning.criteria.registry import RULES, rule_of
from bayesnas.pruning.criteria.removal import RemovalPlan
from bayesnas.pruning.criteria.subject import Subject


def a_net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).double()


def a_subject(keep=None, **changes):
    """Everything that a criterion may look at."""
    net = a_net()
    locs = {name: p.detach() for name, p in net.named_parameters()}
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20, 4, generator=generator, dtype=torch.float64)
    penalty = dict.fromkeys(locs, torch.tensor(0.1))
    known = {
        "keep": keep or {name: torch.ones_like(loc).bool() for name, loc in locs.items()},
        "scales": {n: 0.05 + torch.rand(v.shape, generator=generator) for n, v in locs.items()},
        "prior_scales": dict.fromkeys(locs, torch.tensor(1.0)),
        "loss": SampleLoss(net, make_likelihood("categorical"), x, (x[:, 0] > 0).long(), penalty),
    }
    return Subject(locs, **(known | changes))


def gone(masks):
    return sum(int((~mask).sum()) for mask in masks.values())


@pytest.mark.parametrize("by", RULES)
@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.95, 1.0])
def test_exactly_the_share_goes_and_biases_when_asked(by, biases, fraction):
    masks = RemovalPlan(a_subject(), by, biases=biases).at(fraction).masks
    assert gone(masks) == round(fraction * (23 if biases else 18))
    if not biases:
        assert bool(masks["0.bias"].all())
        assert bool(masks["2.bias"].all())


@pytest.mark.parametrize("by", RULES)
def test_what_is_gone_stays_gone_and_counts(by):
    first = RemovalPlan(a_subject(), "random").at(0.5).masks
    second = RemovalPlan(a_subject(first), by).at(0.8).masks
    assert gone(second) == round(0.8 * 23)
    assert all(not bool((second[site] & ~mask).any()) for site, mask in first.items())
    assert gone(RemovalPlan(a_subject(first), by).at(0.2).masks) == gone(first)


@pytest.mark.parametrize("by", [n for n, rule in RULES.items() if rule.limit and rule.scores])
def test_a_threshold_is_the_score_of_the_last_to_go(by):
    """What goes by a share goes by a threshold between its scores and the others'."""
    subject = a_subject()
    scores = torch.cat([s.flatten() for s in RULES[by].scores(subject).values()]).sort().values
    between = 0.5 * float(scores[11] + scores[12])  # 11 of 23 lie above
    threshold = {"density": math.exp(between), "evidence": between}.get(by, -between)
    by_value = RemovalPlan(subject, by).at(threshold=threshold).masks
    by_share = RemovalPlan(subject, by).at(11 / 23).masks
    assert all(torch.equal(mask, by_share[site]) for site, mask in by_value.items())


def test_the_evidence_has_a_threshold_of_its_own():
    subject = a_subject()
    masks = RemovalPlan(subject, "evidence").at().masks
    scores = RULES["evidence"].scores(subject)
    assert all(torch.equal(masks[site], score < 0) for site, score in scores.items())
    with pytest.raises(ValueError, match="fraction or threshold must be given"):
        RemovalPlan(subject, "obd").at()


def test_what_stays_is_moved_by_some_and_what_is_gone_is_not():
    first = RemovalPlan(a_subject(), "random").at(0.4).masks
    for by in RULES:
        removed = RemovalPlan(a_subject(first), by, biases=False).at(0.6)
        assert (removed.moved is not None) == (by in {"obs", "reduction", "relevance"})
        for site, mask in removed.masks.items() if removed.moved else ():
            assert bool((removed.moved[site][~mask] == 0).all())
        if removed.moved:
            assert not torch.equal(removed.moved["0.bias"], a_subject().locs["0.bias"])


def test_a_reduction_goes_on_as_long_as_the_evidence_rises():
    """To the set at which no other weight has a gain, by the exact ratio of densities."""
    subject = a_subject()
    precision, prior = subject.laplace("reduction")
    torch.testing.assert_close(prior, torch.full((23,), 20 * 0.1, dtype=torch.float64))
    mean, covariance = subject.flat(subject.locs), torch.linalg.inv(precision)

    def log_ratio(gone):
        if not bool(gone.any()):
            return 0.0
        at = gone.nonzero().flatten()
        q = torch.distributions.MultivariateNormal(mean[at], covariance[at][:, at])
        p = torch.distributions.Normal(torch.zeros(len(at)).double(), prior[at].rsqrt())
        zero = torch.zeros(len(at)).double()
        return float(q.log_prob(zero) - p.log_prob(zero).sum())

    first = RemovalPlan(subject, "reduction").at(1 / 23).masks
    largest = log_ratio(~subject.flat(first))
    for threshold in (None, 0.5 * largest, largest + 0.01):
        removed = RemovalPlan(subject, "reduction").at(threshold=threshold)
        gone = ~subject.flat(removed.masks)
        assert bool(gone.any()) == (largest >= (threshold or 0.0))
        here = log_ratio(gone)
        for place in (~gone).nonzero().flatten():
            more = gone.clone()
            more[place] = True
            assert log_ratio(more) - here < (threshold or 0.0)


# Groups -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [name for name, rule in RULES.items() if rule.group is not None])
def test_groups_go_whole_and_as_few_as_are_needed(by):
    subject = a_subject()
    axes = group_axes(a_net())
    for fraction in (0.0, 0.1, 0.2):  # never a whole layer
        masks = RemovalPlan(subject, by, axes=axes, biases=False).at(fraction).masks
        columns = [masks[site].all(0) for site in axes]
        assert all(torch.equal(c, masks[s].any(0)) for c, s in zip(columns, axes, strict=True))
        assert 0 <= gone(masks) - round(fraction * 18) < 3


def test_a_group_is_as_long_as_its_members_together():
    weight = torch.tensor([[3.0, 0.1, 2.0], [4.0, 0.1, 2.0]])
    everything = {"w": torch.ones(2, 3).bool()}
    plan = RemovalPlan(Subject({"w": weight}, everything), "magnitude", axes={"w": 1})
    assert plan.at(threshold=2.9).masks["w"].any(0).tolist() == [True, False, False]
    assert plan.at(threshold=2.8).masks["w"].any(0).tolist() == [True, False, True]


def test_filters_are_groups_and_their_biases_stay():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    with torch.no_grad():
        net[0].weight[1:3] = 0.0
    locs = {name: p.detach() for name, p in net.named_parameters()}
    subject = Subject(locs, {name: torch.ones_like(loc).bool() for name, loc in locs.items()})
    masks = RemovalPlan(subject, "magnitude", axes=group_axes(net)).at(threshold=0.0).masks
    assert masks["0.weight"].flatten(1).any(1).tolist() == [True, False, False, True]
    assert bool(masks["0.bias"].all())


@pytest.mark.parametrize("amount", [{"fraction": 0.95}, {"threshold": 100.0}])
def test_a_layer_keeps_a_group(amount):
    plan = RemovalPlan(a_subject(), "magnitude", axes=group_axes(a_net()), biases=False)
    with pytest.raises(EmptiedLayerError, match=r"all groups of '\d.weight' would be removed"):
        plan.at(**amount)


def test_groups_have_no_order_by_relevance():
    with pytest.raises(ValueError, match="groups must be False for by='relevance'"):
        RemovalPlan(a_subject(), "relevance", axes=group_axes(a_net()))


def test_groups_are_reduced_by_their_joint_evidence():
    """The first to go is the one with the largest ratio of densities at zero."""
    subject = a_subject()
    precision, prior = subject.laplace("reduction")
    mean, covariance = subject.flat(subject.locs), torch.linalg.inv(precision)
    ratios = {}
    for site, offset, columns in (("0.weight", 0, 4), ("2.weight", 15, 3)):
        rows = 12 // columns if site == "0.weight" else 2
        for column in range(columns):
            at = offset + torch.arange(rows) * columns + column
            q = torch.distributions.MultivariateNormal(mean[at], covariance[at][:, at])
            p = torch.distributions.Normal(torch.zeros(rows).double(), prior[at].rsqrt())
            zero = torch.zeros(rows).double()
            ratios[site, column] = float(q.log_prob(zero) - p.log_prob(zero).sum())
    site, column = max(ratios, key=ratios.get)
    plan = RemovalPlan(subject, "reduction", axes=group_axes(a_net()), biases=False)
    masks = plan.at(0.05).masks
    assert not bool(masks[site][:, column].any())
    assert gone(masks) == masks[site].shape[0]


# What is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["density", "evidence"])
def test_criteria_of_a_posterior_need_one(by):
    with pytest.raises(TypeError, match=f"by='{by}' needs a posterior on the weights, got a plain"):
        RemovalPlan(a_subject(scales={}), by).at(0.5)


def test_the_evidence_needs_a_gaussian_prior():
    with pytest.raises(TypeError, match="by='evidence' needs Gaussian priors of mean 0"):
        RemovalPlan(a_subject(prior_scales={}), "evidence").at(0.5)


@pytest.mark.parametrize("by", ["obd", "fisher", "obs", "reduction", "relevance"])
def test_criteria_of_the_loss_need_data_and_parameters(by):
    with pytest.raises(ValueError, match=f"by='{by}' looks at the loss on the training data"):
        RemovalPlan(a_subject(loss=None), by).at(0.5)
    loss = a_subject().loss
    other = SampleLoss(nn.Linear(4, 2), loss.likelihood, loss.x, loss.y)
    with pytest.raises(TypeError, match=f"by='{by}' needs weights that are parameters of one"):
        RemovalPlan(a_subject(loss=other), by).at(0.5)


def test_a_reduction_needs_a_prior_on_what_goes():
    subject = a_subject()
    penalty = {name: torch.tensor(0.1) for name in subject.locs if name != "0.bias"}
    loss = dataclasses.replace(subject.loss, penalty=penalty)
    with pytest.raises(ValueError, match="by='reduction' needs a Gaussian prior .* with 3 without"):
        RemovalPlan(a_subject(loss=loss), "reduction").at(0.5)
    assert RemovalPlan(a_subject(loss=loss), "reduction", biases=False).at(0.5).moved


@pytest.mark.parametrize("by", ["obs", "reduction", "relevance"])
def test_whole_matrices_are_for_few_weights(by, monkeypatch):
    monkeypatch.setattr(subject_module, "MOST_WEIGHTS", 22)
    with pytest.raises(ValueError, match=f"by='{by}' takes a matrix .* at most 22 of them, got 23"):
        RemovalPlan(a_subject(), by).at(0.5)


def test_an_unknown_criterion_is_named_with_the_nearest():
    with pytest.raises(ValueError, match=r"got 'magnitud'; did you mean 'magnitude'\?"):
        rule_of("magnitud")
    with pytest.raises(ValueError, match=r"by must be one of \['density', .*\], got 3"):
        rule_of(3)
