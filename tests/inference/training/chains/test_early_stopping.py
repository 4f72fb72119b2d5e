"""EarlyStopping: when it stops and what it keeps, for every short course of losses."""

import itertools
import math

import pytest
import torch

from bayesnas.inference.training.chains.early_stopping import EarlyStopping


def course(losses, *, patience, skipped=0):
    """Losses up to the stop, whose states are numbered by epoch."""
    stopping = EarlyStopping(skipped)
    for epoch, loss in enumerate(losses):
        stopping.end_epoch(loss, patience, lambda at=epoch: {"epoch": torch.tensor(at)})
        if stopping.stopped:
            break
    return stopping


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_it_keeps_the_best_epoch_and_stops_when_patience_is_out(patience):
    for losses in itertools.permutations(range(5)):
        ends = (
            n
            for n in range(1, 6)
            if n - patience > 0 and min(losses[:n]) < min(losses[n - patience : n])
        )
        end = next(ends, 5)
        stopping = course(losses, patience=patience)
        assert stopping.losses == list(losses[:end])
        assert int(stopping.best_state["epoch"]) == losses.index(min(losses[:end]))


def test_epochs_of_a_smaller_kl_weight_do_not_count():
    stopping = course([0.1, 0.2, 0.9, 0.8, 0.85, 0.86], patience=2, skipped=2)
    assert stopping.stopped
    assert len(stopping.losses) == 6
    assert int(stopping.best_state["epoch"]) == 3
    assert course([0.1, 0.2], patience=1, skipped=2).best_state is None


def test_a_loss_that_is_no_number_counts_as_infinite():
    stopping = course([math.nan, 0.5, math.nan, math.nan], patience=2)
    assert stopping.stopped
    assert int(stopping.best_state["epoch"]) == 1
    assert len(course([math.nan] * 5, patience=2).losses) == 3


def test_without_patience_losses_are_noted_and_no_state_is_copied():
    stopping = course([0.3, 0.2, 0.4, 0.5], patience=None)
    assert not stopping.stopped
    assert stopping.losses == [0.3, 0.2, 0.4, 0.5]
    assert stopping.best_state is None


def test_the_best_state_is_a_copy():
    weight, stopping = torch.zeros(2), EarlyStopping()
    stopping.end_epoch(0.5, 3, lambda: {"weight": weight})
    weight += 1
    assert stopping.best_state["weight"].tolist() == [0.0, 0.0]
