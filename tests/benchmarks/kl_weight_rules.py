"""Which rule for the default λ holds on data that it was not chosen on.

.venv/bin/python tests/benchmarks/defaults.py --out runs/defaults --only weights
.venv/bin/python tests/benchmarks/kl_weight_rules.py --out runs/defaults

The loss of a rule on a data set is the mean log loss of validation rows at the λ that it says, less
that at the best λ of the grid; of the mean over the priors of a model, which share a default. Each
data set in turn is left out, the rule with the smallest mean loss on the others is taken, and its
loss on the one left out is printed beside those of the constants. A rule with a number of rows says
one λ below it and another from it on. Nothing is seen of a test part.
"""

from __future__ import annotations

import argparse
import itertools
import json
import pathlib
from collections.abc import Callable

from defaults import KL_WEIGHTS, loaded

Losses = dict[str, dict[float, float]]  # by data set and λ
Rule = Callable[[int], float]
ROWS = (500, 1000, 2000)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the fits")
    cells = json.loads((parser.parse_args().out / "cells.json").read_text())
    by_model = losses_of(cells)
    names = {name for losses in by_model.values() for name in losses}
    rows = {name: len(loaded(name).train) for name in names}
    constants = " | ".join(f"λ = {weight:g}" for weight in KL_WEIGHTS)
    print(f"| model | left out | rows | chosen on the others | its loss | {constants} |")
    print("|---|---|---|---|---|" + "---|" * len(KL_WEIGHTS))
    for model, losses in by_model.items():
        for name in losses if len(losses) > 1 else ():
            print(f"| {model} | {name} | {rows[name]:,} | {left_out(name, losses, rows)} |")


def losses_of(cells: dict[str, dict[str, float]]) -> dict[str, Losses]:
    """Mean validation log loss over the priors of a model, by model, data set and λ."""
    results: dict[str, dict[str, dict[float, list[float]]]] = {}
    for key, value in cells.items():
        name, title, fit = key.split(" | ")
        if fit.startswith("λ"):
            by_weight = results.setdefault(title.split(",")[0], {}).setdefault(name, {})
            by_weight.setdefault(value["kl_weight"], []).append(value["validation_nll"])
    return {
        model: {
            name: {weight: sum(each) / len(each) for weight, each in by_weight.items()}
            for name, by_weight in by_name.items()
        }
        for model, by_name in results.items()
    }


def left_out(name: str, losses: Losses, rows: dict[str, int]) -> str:
    """The rule chosen on the other data sets, and losses on this one."""

    def loss(rule: Rule, of: str) -> float:
        return losses[of][rule(rows[of])] - min(losses[of].values())

    results = rules()
    others = [other for other in losses if other != name]
    chosen = min(results, key=lambda rule: sum(loss(results[rule], other) for other in others))
    constants = [f"{loss(results[f'λ = {weight:g}'], name):.3f}" for weight in KL_WEIGHTS]
    return f"{chosen} | {loss(results[chosen], name):.3f} | " + " | ".join(constants)


def rules() -> dict[str, Rule]:
    """Candidates by name; constants first, which win where losses are equal."""
    results = {f"λ = {weight:g}": by_rows(weight, weight, 0) for weight in KL_WEIGHTS}
    for few, many in itertools.permutations(KL_WEIGHTS, 2):
        for least in ROWS:
            name = f"λ = {few:g}, from {least:,} rows {many:g}"
            results[name] = by_rows(few, many, least)
    return results


def by_rows(few: float, many: float, least: int) -> Rule:
    """One λ for fewer rows than so many, another from there on."""
    return lambda n: many if n >= least else few


if __name__ == "__main__":
    main()
