"""Published tables, run again: our figures beside those of the sources.

A reproduction writes its fits and files into one folder; called again it goes on with what is
there. ``REPRODUCTIONS`` is the registry; a new one is a module or a package of this folder and a
line there.
"""

from __future__ import annotations

from bayesnas.reproductions import (
    ard_vae,
    bayesian_compression,
    darts_cc,
    generalised,
    ibp,
    learned_optimiser,
    lottery_tickets,
    mixed_width,
    pruning,
    redundancy,
    search,
    shared_weights,
    small_nets,
    varhypernet,
)
from bayesnas.reproductions.base import Comparison, Reproduced, Reproduction, Request

__all__ = ["REPRODUCTIONS", "Comparison", "Reproduced", "Reproduction", "Request"]

REPRODUCTIONS: dict[str, Reproduction] = {
    "ard-vae": ard_vae.REPRODUCTION,
    "bayesian-compression": bayesian_compression.REPRODUCTION,
    "bayesian-compression-lenet-5": bayesian_compression.REPRODUCTION_LENET_5,
    "darts-cc": darts_cc.REPRODUCTION,
    "generalised": generalised.REPRODUCTION,
    "ibp": ibp.REPRODUCTION,
    "lottery-tickets": lottery_tickets.REPRODUCTION,
    "learned-optimiser": learned_optimiser.REPRODUCTION,
    "mixed-width": mixed_width.REPRODUCTION,
    "pruning": pruning.REPRODUCTION,
    "redundancy": redundancy.REPRODUCTION,
    "search": search.REPRODUCTION,
    "shared-weights": shared_weights.REPRODUCTION,
    "small-nets": small_nets.REPRODUCTION,
    "varhypernet": varhypernet.REPRODUCTION,
}
"""Reproductions by the name that the command line takes."""
