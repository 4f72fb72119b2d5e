"""Recurrent and attention nets with posteriors on all their weights, against deterministic twins.

- ``lstm``: the digits of scikit-learn, row by row: 8 times 8 numbers, 10 classes.
- ``transformer``: which of six packages of Python's standard library a run of 12 to 24 words is
  from; tokens of the 800 commonest words and a mask. Files are in one part only.

A twin is the same net by maximum likelihood, with the same optimiser, steps and early stopping on
the validation part. λ of the LSTM was chosen there, by ``--choose``, before the test part was
looked at; that of the transformer is 1.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sysconfig
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

import bayesnas as bn

PACKAGES = ("asyncio", "email", "idlelib", "multiprocessing", "tkinter", "xml")
WORDS, LONGEST, SHORTEST = 800, 24, 12


class RowByRow(nn.Module):
    """An LSTM over the rows of an image."""

    def __init__(self, hidden: int = 48) -> None:
        super().__init__()
        self.lstm, self.out = nn.LSTM(8, hidden, batch_first=True), nn.Linear(hidden, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.out(self.lstm(x.view(-1, 8, 8))[0][:, -1])
        return logits


class Encoder(nn.Module):
    """A transformer encoder over words, averaged over those that are there."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS + 2, width, padding_idx=0)
        self.places = nn.Embedding(LONGEST, width)
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.out = nn.Linear(width, len(PACKAGES))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        encoded = self.encoder(self.words(tokens) + self.places(places), src_key_padding_mask=~mask)
        kept = mask[..., None].to(encoded.dtype)
        mean: Tensor = self.out((encoded * kept).sum(1) / kept.sum(1))
        return mean


def digits() -> bn.data.DataSet:
    """Rows of images."""
    return bn.data.load("digits", validation=0.15)


def library() -> dict[str, bn.data.Split]:
    """Words of the standard library's source, as tokens and mask, in three parts by file."""
    shuffled = np.random.default_rng(0)
    texts: dict[str, list[tuple[int, list[str]]]] = {"train": [], "validation": [], "test": []}
    for label, package in enumerate(PACKAGES):
        folder = Path(sysconfig.get_path("stdlib")) / package
        files = sorted(f for f in folder.rglob("*.py") if "test" not in str(f.relative_to(folder)))
        for place, index in enumerate(shuffled.permutation(len(files))):
            share = place / len(files)
            part = "test" if share < 0.25 else "validation" if share < 0.4 else "train"
            words = re.findall(r"[a-z]+", files[index].read_text(encoding="utf-8").lower())
            while len(words) >= SHORTEST:
                length = int(shuffled.integers(SHORTEST, LONGEST + 1))
                texts[part].append((label, words[:length]))
                words = words[length:]
    counted = Counter(word for _, words in texts["train"] for word in words)
    numbers = {word: place + 2 for place, (word, _) in enumerate(counted.most_common(WORDS))}
    return {part: _part(rows, numbers) for part, rows in texts.items()}


def _part(rows: list[tuple[int, list[str]]], numbers: dict[str, int]) -> bn.data.Split:
    tokens = torch.zeros(len(rows), LONGEST, dtype=torch.long)
    for row, (_, words) in enumerate(rows):
        tokens[row, : len(words)] = torch.tensor([numbers.get(word, 1) for word in words])
    x = bn.data.Inputs({"tokens": tokens, "mask": tokens > 0})
    labels = torch.tensor([label for label, _ in rows])
    return bn.data.Split.of((x, labels), classes=len(PACKAGES))


class Task(NamedTuple):
    """A net, its data, and how it is fitted."""

    net: Callable[[], nn.Module]
    parts: dict[str, bn.data.Split]
    kl_weight: float
    options: dict[str, Any]


def task(name: str) -> Task:
    """The task of a name."""
    shared: dict[str, Any] = {
        "lr": 0.01,
        "batch_size": 128,
        "progress": False,
        "device": "cpu",
        "patience": 6,
    }
    if name == "lstm":
        data = digits()
        assert data.validation is not None
        assert data.test is not None
        parts = {"train": data.train, "validation": data.validation, "test": data.test}
        return Task(RowByRow, parts, 0.1, shared | {"epochs": 60, "batch_size": 64})
    return Task(Encoder, library(), 1.0, shared | {"epochs": 12, "lr": 0.004})


def fitted(of: Task, seed: int, kl_weight: float | None) -> bn.Posterior:
    """The posterior at a λ, or the deterministic twin."""
    torch.manual_seed(seed)
    stochastic: dict[str, Any] = {"stochastic": "none"} if kl_weight is None else {}
    model = bn.models.GaussianNet(of.net(), **stochastic)
    options = of.options | {"validation": of.parts["validation"], "seed": seed}
    post = bn.fit(model, of.parts["train"], kl_weight=kl_weight or 0.0, **options)
    assert isinstance(post, bn.Posterior)
    return post


def right(post: bn.Posterior, part: bn.data.Split, draws: int = 16) -> Tensor:
    """Which rows are classified rightly, by predictions averaged over draws."""
    return post.predict(part.x, draws=draws).mean(0).argmax(-1) == part.y


def main() -> None:
    """Print a table a task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=("lstm", "transformer"), action="append")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--choose", action="store_true", help="λ on the validation part")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.task or ("lstm", "transformer"):
        chosen = task(name)
        sizes = ", ".join(f"{part} {len(rows):,}" for part, rows in chosen.parts.items())
        if args.choose:
            print(f"\n{name}: {sizes}\n\n| λ | validation accuracy | nll |\n|---|---|---|")
            for kl_weight in (None, 1.0, 0.3, 0.1, 0.03):
                got = fitted(chosen, 0, kl_weight).evaluate(chosen.parts["validation"], draws=16)
                print(f"| {kl_weight} | {got['accuracy']:.4f} | {got['nll']:.4f} |", flush=True)
            continue
        print(f"\n{name}: {sizes}; λ = {chosen.kl_weight}\n")
        print("| seed | twin: accuracy | nll | posterior: accuracy | nll | half pruned |")
        print("|---|---|---|---|---|---|")
        differences = []
        for seed in range(args.seeds):
            twin, post = fitted(chosen, seed, None), fitted(chosen, seed, chosen.kl_weight)
            test = chosen.parts["test"]
            cells = [twin.evaluate(test, draws=0), post.evaluate(test, draws=16)]
            half = post.prune(fraction=0.5).evaluate(test, draws=16)["accuracy"]
            differences.append(cells[1]["accuracy"] - cells[0]["accuracy"])
            words = " | ".join(f"{c['accuracy']:.4f} | {c['nll']:.4f}" for c in cells)
            print(f"| {seed} | {words} | {half:.4f} |", flush=True)
        mean = statistics.mean(differences)
        print(f"\nposterior less twin: {100 * mean:+.2f} points of accuracy on average")


if __name__ == "__main__":
    main()
