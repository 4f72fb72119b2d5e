"""What a network gains by changing its own weights, on regressions one after another.

    python tests/benchmarks/meta_levels.py

Three networks of four normal units a seed: as trained; the same with its modifying units cut off;
and one that never had any, trained alike. Mean squared errors on 500 fresh sequences of two lines
of ten examples: over the later examples (six to ten) of the second line, with Student's t over the
sequences, paired; and for every example of it. The variance of a target is 2.
"""

from __future__ import annotations

import argparse
import time

import torch
from scipy.stats import ttest_rel

from bayesnas.inference.learned.meta_levels.net import MetaLevelNet
from bayesnas.inference.learned.meta_levels.regressions import (
    errors,
    regressions,
    train_on_regressions,
)

EXAMPLES = 10


def trained(seed: int, steps: int, modifies: bool) -> tuple[MetaLevelNet, float]:
    """A network and the CPU seconds of its training."""
    torch.manual_seed(seed)
    start = time.process_time()
    net = MetaLevelNet(1, 1, hidden=4, modifies=modifies)
    net = train_on_regressions(net, steps=steps, lr=0.02, examples=EXAMPLES, seed=seed)
    return net, time.process_time() - start


def main() -> None:
    """Print a line a network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    sequences = regressions(500, tasks=2, examples=EXAMPLES, seed=12345)
    for seed in range(args.seeds):
        whole, seconds = trained(seed, args.steps, True)
        by_name = {"as trained": errors(whole, sequences)}
        whole.modifies = False
        by_name["cut off"] = errors(whole, sequences)
        without, others = trained(seed, args.steps, False)
        by_name["never had any"] = errors(without, sequences)
        late = {name: each[:, EXAMPLES + 5 :].mean(1) for name, each in by_name.items()}
        for name, each in by_name.items():
            curve = " ".join(f"{value:.2f}" for value in each.mean(0)[EXAMPLES:])
            test = (
                ""
                if name == "as trained"
                else (
                    f", as trained lower: p = "
                    f"{ttest_rel(late['as trained'], late[name], alternative='less').pvalue:.1g}"
                )
            )
            print(f"seed {seed}, {name}: later {late[name].mean():.3f}{test}; {curve}", flush=True)
        print(f"  CPU: {seconds:.0f} s, without {others:.0f} s", flush=True)


if __name__ == "__main__":
    main()
