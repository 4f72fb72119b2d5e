"""Streamed parts: what is read is what the source gives, and what is refused is named."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset

import bayesnas as bn
from bayesnas.data.streams.reading_ahead import Wanted
from bayesnas.data.streams.row_randomness import row_seed


class Drawing(Dataset):
    """Every row is what the three global generators give when it is read."""

    def __len__(self):
        return 40

    def __getitem__(self, index):
        drawn = [float(torch.rand(())), float(np.random.rand()), random.random()]
        return torch.tensor([float(index), *drawn]), index % 2


class Passes(IterableDataset):
    def __init__(self, rows):
        super().__init__()
        self.rows, self.epochs = rows, []

    def set_epoch(self, epoch):
        self.epochs.append(epoch)

    def __iter__(self):
        return iter(self.rows)


def rows_of(x, y):
    return list(zip(x, y, strict=True))


@pytest.fixture
def xy():
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    return x, x.argmax(1)


@pytest.mark.slow_except("0")
@pytest.mark.parametrize("workers", [0, 2])
def test_every_source_gives_its_rows(xy, tmp_path, workers):
    x, y = xy
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    sources = [
        bn.data.from_dataset(TensorDataset(x, y), classes=3, workers=workers),
        bn.data.from_dataset(rows_of(x.numpy(), y.tolist()), classes=3, workers=workers),
        bn.data.from_dataset((tmp_path / "x.npy", str(tmp_path / "y.npy")), workers=workers),
        bn.data.from_dataset((mapped, y), workers=workers),
        bn.data.from_dataset((mapped, y), workers=workers, transform=lambda row: row),
        bn.data.from_dataset(Passes(rows_of(x, y)), classes=3, n=40),
    ]
    for split in sources:
        assert (len(split), split.info.classes, split.info.task) == (40, 3, "classification")
        for part in (split.parts(7), split.parts(100)):
            xs, ys = zip(*part, strict=True)
            assert torch.equal(torch.cat(xs), x)
            assert torch.equal(torch.cat(ys), y)
        assert torch.equal(split.targets(), y)
        assert torch.equal(split.first(3).x, x[:3])


def test_what_is_drawn_depends_on_seed_epoch_and_row_alone():
    split = bn.data.from_dataset(Drawing(), classes=2)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    ahead = bn.data.from_dataset(Drawing(), classes=2, workers=2)
    whole, _ = split.read(Wanted(3, 1, torch.arange(40)))
    for indices in (torch.tensor([7, 2]), torch.arange(40).flip(0)):
        assert torch.equal(split.read(Wanted(3, 1, indices))[0], whole[indices])
    (there, _), *_ = ahead.batches(Wanted(3, 1, rows) for rows in torch.arange(40).split(40))
    assert torch.equal(there, whole)
    after = torch.get_rng_state(), np.random.get_state()[1], random.getstate()
    assert torch.equal(before[0], after[0])
    assert np.array_equal(before[1], after[1])
    assert before[2] == after[2]
    drawn = whole[:, 1:].flatten().tolist()
    for seed, epoch in ((4, 1), (3, 2)):
        drawn += split.read(Wanted(seed, epoch, torch.arange(40)))[0][:, 1:].flatten().tolist()
    assert len(set(drawn)) == len(drawn) == 3 * 3 * 40


def test_seeds_of_rows_are_spread_evenly():
    """Bits of 4096 seeds: each is set in half of them, to 5.5 standard errors of 32."""
    seeds = [row_seed(0, epoch, index) for epoch in range(8) for index in range(512)]
    counts = [sum(seed >> bit & 1 for seed in seeds) for bit in range(64)]
    assert max(abs(count - 2048) for count in counts) < 5.5 * 32


def test_an_iterable_is_gone_through_to_where_it_is_asked_for(xy):
    x, y = xy
    passes = Passes(rows_of(x, y))
    split = bn.data.from_dataset(passes, classes=3, n=40)
    passes.epochs.clear()
    for epoch, rows in ((2, range(8, 12)), (2, range(12, 16)), (2, range(4)), (3, range(4, 6))):
        read, _ = split.read(Wanted(0, epoch, torch.tensor(rows)))
        assert torch.equal(read, x[list(rows)])
    assert passes.epochs == [2, 2, 3]


def test_fingerprints_tell_data_apart(xy, tmp_path):
    x, y = xy
    np.save(tmp_path / "x.npy", x)
    one = bn.data.from_dataset((tmp_path / "x.npy", y))
    assert one.fingerprint == bn.data.from_dataset((tmp_path / "x.npy", y)).fingerprint
    assert one.fingerprint.startswith("rows:")
    other = x.clone()
    other[17, 1] += 1
    assert bn.data.from_dataset((other, y)).fingerprint != bn.data.from_dataset((x, y)).fingerprint
    assert bn.data.from_dataset((x, y), fingerprint="v2").fingerprint == "given:v2"


def test_the_classes_of_a_torchvision_set_are_known(xy):
    dataset = TensorDataset(*xy)
    dataset.classes = ["a", "b", "c"]
    assert bn.data.from_dataset(dataset).info.classes == 3


def refusals(x, y):
    rows = rows_of(x, y)
    ragged = [*rows[:5], (x[5, :2], y[5]), *rows[6:]]
    return {
        "no rows": ([], {}, ValueError, "dataset must have one row or more"),
        "no n": (
            Passes(rows),
            {},
            ValueError,
            "n must be given with a dataset that is an iterable",
        ),
        "an iterator": (iter(rows), {"n": 9}, ValueError, "able to begin again"),
        "n of a list": (rows, {"n": 9}, ValueError, "dataset has 40 rows, got n=9"),
        "no pairs": ([x[0], x[1]], {}, TypeError, "must be a pair .*got a Tensor in row 0"),
        "triples": ([(1, 2, 3)], {}, TypeError, "must be a pair .*got a tuple of 3 in row 0"),
        "text": ([("a", 1)], {}, ValueError, "dataset: row 0: x must hold real numbers"),
        "ragged": (ragged, {"classes": 3}, ValueError, r"\[3\] .* in row 0 and \[2\] .* in row 5"),
        "no classes": (rows, {}, ValueError, "classes must be given for a classification"),
        "a number": (3, {}, TypeError, "dataset must be a torch.utils.data.Dataset"),
        "a path": ("x.npy", {}, TypeError, "dataset must be a torch.utils.data.Dataset"),
        "no length": (torch.tensor(0.5), {}, TypeError, "dataset must have a length"),
        "no task": (rows, {"task": "ranking"}, ValueError, "task must be one of"),
        "other length": ((x, y[1:]), {}, ValueError, "same length, got 40 and 39"),
        "workers": (Passes(rows), {"n": 9, "workers": 1}, ValueError, "workers must be 0"),
        "ended": (Passes(rows), {"n": 50, "classes": 3}, ValueError, "give n=50 rows .*got 40"),
    }


@pytest.mark.parametrize("case", list(refusals(torch.zeros(40, 3), torch.zeros(40).long())))
def test_what_can_not_be_read_is_named(xy, case):
    dataset, options, error, message = refusals(*xy)[case]
    with pytest.raises(error, match=message):
        list(bn.data.from_dataset(dataset, **options).parts(64))


def test_a_row_that_is_wrong_is_named_when_it_is_read(xy):
    x, y = xy
    x = x.clone()
    x[38, 2] = float("nan")
    net = bn.models.GaussianNet(bn.nn.mlp([3, 3]))
    options = {"epochs": 1, "batch_size": 8, "progress": False, "device": "cpu"}
    with pytest.raises(ValueError, match=r"dataset: row 38: x must be finite, got nan at \[0, 2\]"):
        bn.fit(net, bn.data.from_dataset((x, y)), **options)
    given = bn.models.PyroPair(lambda x, y=None: None, lambda x, y=None: None)
    with pytest.raises(ValueError, match="dataset: row 38: x must be finite"):
        list(bn.inference.config.inputs.split_of(given, bn.data.from_dataset((x, y))).parts(40))
    wrong = bn.data.from_dataset((xy[0], torch.where(torch.arange(40) == 37, 7, y)), classes=3)
    with pytest.raises(ValueError, match=r"dataset: row 37: labels y must be in 0\.\.2, got 7"):
        bn.fit(net, wrong, **options)
