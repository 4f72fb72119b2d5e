"""Learned optimisers as fits take them: types, files, checkpoints, traced steps."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn

import bayesnas as bn
from bayesnas.inference.learned.optimizer import LearnedOptimizer
from bayesnas.inference.learned.rules import LstmRule, MomentumRule, log_and_sign
from bayesnas.inference.optim.optimizers import build_optimizer
from bayesnas.tensor_files import read_tensors, write_tensors

SHORT = {"steps": 12, "batch_size": 9, "progress": False}


@pytest.fixture
def learned():
    torch.manual_seed(0)
    return LearnedOptimizer(LstmRule(units=4), {"tasks": "none"})


def by_hand(rule: LstmRule, gradients: torch.Tensor) -> torch.Tensor:
    """Changes of one coordinate over some steps, by torch's own LSTM over the sequence."""
    lstm = nn.LSTM(2, rule.units, rule.layers)
    for layer, cell in enumerate(rule.cells):
        for name, value in cell.named_parameters():
            getattr(lstm, f"{name}_l{layer}").data = value.data
    seen = [
        [math.log(abs(g)) / 10, math.copysign(1, g)]
        if abs(g) >= math.exp(-10)
        else [-1.0, math.exp(10) * g]
        for g in gradients.tolist()
    ]
    outputs, _ = lstm(torch.tensor(seen)[:, None])
    return 0.1 * rule.output(outputs)[:, 0, 0].detach()


def test_steps_are_those_of_a_recurrent_network_for_every_coordinate(learned):
    gradients = torch.tensor([[1.0, -1e-6], [0.3, 0.0], [-2e-5, 4.0]])
    value = nn.Parameter(torch.zeros(2))
    optimizer = learned([value])
    before = value.detach().clone()
    for step, gradient in enumerate(gradients):
        value.grad = gradient.clone()
        optimizer.step()
        moved = value.detach() - before
        for coordinate in range(2):
            expected = by_hand(learned.rule, gradients[: step + 1, coordinate]).sum()
            torch.testing.assert_close(moved[coordinate], expected, rtol=1e-4, atol=1e-6)


def test_the_preprocessing_is_continuous_and_keeps_signs():
    edge = math.exp(-10)
    seen = log_and_sign(torch.tensor([edge * 1.0001, edge * 0.9999, -3.0], dtype=torch.double), 10)
    torch.testing.assert_close(seen[:, 0], seen[:, 1], rtol=2e-4, atol=0)
    assert seen[1, 2] == -1


def test_shape_and_number_of_parameters_make_no_difference(learned, monkeypatch):
    monkeypatch.setattr("bayesnas.inference.learned.optimizer._AT_ONCE", 3)
    flat = nn.Parameter(torch.linspace(-1, 1, 10))
    shaped = [nn.Parameter(flat[:6].detach().view(2, 3).clone()), nn.Parameter(flat[6:].detach())]
    shaped += [nn.Parameter(torch.zeros(0)), nn.Parameter(torch.zeros(()))]
    one, many = learned([flat]), learned(shaped)
    for _ in range(3):
        flat.grad = flat.detach().sin()
        for value in shaped[:3]:
            value.grad = value.detach().sin()
        one.step()
        many.step()
    torch.testing.assert_close(flat[:6].view(2, 3), shaped[0])
    torch.testing.assert_close(flat[6:], shaped[1])
    assert shaped[3] == 0  # that had no gradient


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_steps_are_taken_in_the_type_of_a_parameter(learned, dtype):
    single, other = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3, dtype=dtype))
    for value in (single, other):
        optimizer = learned([value], lr=0.1)
        for _ in range(3):
            value.grad = torch.full_like(value, 0.5)
            optimizer.step()
    assert other.dtype == dtype
    tolerance = 1e-6 if dtype == torch.float64 else 2e-2
    torch.testing.assert_close(other.float(), single, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int64])
def test_another_type_of_parameter_is_refused(learned, dtype):
    value = nn.Parameter(torch.zeros(2, dtype=dtype), requires_grad=dtype.is_complex)
    with pytest.raises(TypeError, match=f"floating-point numbers, got parameter 1 of {dtype}"):
        learned([nn.Parameter(torch.zeros(1)), value])


def test_a_fit_names_the_optimiser_that_refuses(learned):
    value = nn.Parameter(torch.zeros(2, dtype=torch.complex64))
    with pytest.raises(TypeError, match="optimizer must make an optimiser.*complex64"):
        build_optimizer(learned, [value], lr=0.1)


def test_files_hold_all_of_it(learned, tmp_path):
    path = tmp_path / "learned.safetensors"
    learned.save(path)
    loaded = LearnedOptimizer.load(path)
    assert repr(loaded) == repr(learned)
    assert loaded.training == learned.training
    for name, value in learned.rule.state_dict().items():
        assert torch.equal(loaded.rule.state_dict()[name], value)
    with pytest.raises(FileExistsError, match="learned.safetensors"):
        learned.save(path)
    rate = LearnedOptimizer(MomentumRule(0.3, 0.9))
    rate.save(tmp_path / "rate.safetensors")
    actual = LearnedOptimizer.load(tmp_path / "rate.safetensors")
    assert actual.rule.fingerprint() == rate.rule.fingerprint()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors, header: header.update(kind="run"), "holds no learned optimiser"),
        (lambda tensors, header: header.update(format=9), "is of format 9"),
        (lambda tensors, header: header.update(rule="pickle"), "rule must be one of"),
        (
            lambda tensors, header: header["arguments"].update(units=5),
            "truncated, damaged or no learned",
        ),
        (
            lambda tensors, header: header["arguments"].update(depth=5),
            "truncated, damaged or no learned",
        ),
        (lambda tensors, header: header.pop("arguments"), "truncated, damaged or no learned"),
        (lambda tensors, header: tensors.pop("output.bias"), "truncated, damaged or no learned"),
        (lambda tensors, header: tensors["output.bias"].fill_(math.nan), "not all finite"),
    ],
)
def test_damaged_files_are_refused(learned, tmp_path, change, message):
    path = tmp_path / "learned.safetensors"
    learned.save(path)
    tensors, header = read_tensors(path)
    change(tensors, header)
    write_tensors(path, tensors, header)
    with pytest.raises(ValueError, match=message):
        LearnedOptimizer.load(path)


def test_a_cut_off_file_is_refused(learned, tmp_path):
    path = tmp_path / "learned.safetensors"
    learned.save(path)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ValueError, match="truncated"):
        LearnedOptimizer.load(path)
    with pytest.raises(FileNotFoundError):
        LearnedOptimizer.load(tmp_path / "none.safetensors")


def test_a_fit_says_which_optimiser_it_had(learned, net, xy, tmp_path):
    post = bn.fit(net, xy, optimizer=learned, out=tmp_path / "run", **SHORT)
    settings = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    assert settings["optimizer"] == f"LearnedSteps(weights='lstm {learned.rule.fingerprint()}')"
    assert settings["lr"] == post.settings.lr == 0.1
    assert bn.fit(net, xy, optimizer=learned, lr=0.02, **SHORT).settings.lr == 0.02
    assert post.refine(xy, steps=2, optimizer=learned, progress=False).settings.lr == 0.1


@pytest.mark.parametrize("options", [{}, {"kl_weight": bn.LogUniform(0.1, 10.0)}], ids=str)
def test_recorded_steps_are_the_eager_ones(learned, net, xy, options):
    eager, traced = (
        bn.fit(net, xy, optimizer=learned, compile=how, **SHORT, **options)
        for how in (False, "trace")
    )
    for (name, a), (_, b) in zip(
        eager.records()[0].fitted.items(), traced.records()[0].fitted.items(), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5, msg=name)


def test_batched_chains_have_the_numbers_they_have_alone(learned, net, xy):
    alone, together = (
        bn.fit(net, xy, optimizer=learned, restarts=2, batched=batched, compile="trace", **SHORT)
        for batched in (False, True)
    )
    for a, b in zip(alone.records(), together.records(), strict=True):
        torch.testing.assert_close(a.history, b.history, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("options", [{}, {"kl_weight": bn.LogUniform(0.1, 10.0)}], ids=str)
def test_a_fit_goes_on_from_a_checkpoint(learned, net, xy, tmp_path, numbers, options):
    options = {**SHORT, **options, "optimizer": learned, "checkpoint_every": 4}
    whole = bn.fit(net, xy, **options)

    def stop(event):
        if event.step == 8:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        bn.fit(net, xy, out=tmp_path / "run", on_step=stop, **options)
    resumed = bn.fit(net, xy, out=tmp_path / "run", resume=True, **options)
    assert numbers(resumed) == numbers(whole)
    other = LearnedOptimizer(LstmRule(units=4))
    with pytest.raises((ValueError, FileExistsError), match="optimizer"):
        bn.fit(net, xy, out=tmp_path / "run", resume=True, **options | {"optimizer": other})


def test_a_learned_rate_is_sgd_in_a_fit(net, xy):
    rate = LearnedOptimizer(MomentumRule(rate=0.05, momentum=0.5))
    actual = bn.fit(net, xy, optimizer=rate, **SHORT)

    def sgd(parameters, lr):
        return torch.optim.SGD(parameters, lr=0.05 * lr, momentum=0.5)

    expected = bn.fit(net, xy, optimizer=sgd, lr=1.0, **SHORT)
    torch.testing.assert_close(actual.records()[0].history, expected.records()[0].history)


def test_what_is_no_rule_is_refused():
    with pytest.raises(TypeError, match="rule must be an UpdateRule"):
        LearnedOptimizer(nn.Linear(2, 1))
