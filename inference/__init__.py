"""How a model is fitted, read and saved."""

from bayesnas.inference.bilevel.evaluate import hypergradient
from bayesnas.inference.bilevel.generalised_objective import GeneralisedObjective
from bayesnas.inference.bilevel.hypergradients import Greedy, Implicit, Unrolled
from bayesnas.inference.bilevel.options import Bilevel
from bayesnas.inference.compression.compress import compress
from bayesnas.inference.compression.compressed import Compressed
from bayesnas.inference.compression.plain_networks.lottery import lottery_tickets
from bayesnas.inference.compression.plain_networks.prune import prune
from bayesnas.inference.compression.plain_networks.pruned import Pruned
from bayesnas.inference.compression.plain_networks.quantise import quantise
from bayesnas.inference.compression.plain_networks.tickets import LotteryTickets, Ticket
from bayesnas.inference.compression.relative_entropy.code import code
from bayesnas.inference.compression.relative_entropy.coded import Coded
from bayesnas.inference.compression.smallest import smallest
from bayesnas.inference.config.distributed import Distributed
from bayesnas.inference.criteria.comparison import compare
from bayesnas.inference.criteria.simulation.result import SimulatedCalibration
from bayesnas.inference.criteria.simulation.vsbc import vsbc
from bayesnas.inference.elbo.bound import BoundTerms, bound_terms
from bayesnas.inference.elbo.messengers import kl_weighted
from bayesnas.inference.elbo.nonfinite import NonFiniteLossError
from bayesnas.inference.evidence.result import Evidence
from bayesnas.inference.fit import fit
from bayesnas.inference.learned.optimizer import LearnedOptimizer
from bayesnas.inference.learned.training import learn_optimizer
from bayesnas.inference.posterior.amortized import AmortizedPosterior
from bayesnas.inference.posterior.choosing.kl_weight import choose_kl_weight
from bayesnas.inference.posterior.kl_weight_list import Posteriors
from bayesnas.inference.posterior.load import load
from bayesnas.inference.posterior.posterior import Posterior
from bayesnas.inference.training.events import StepEvent
from bayesnas.runtime.processes.lost import ProcessLostError

__all__ = [
    "AmortizedPosterior",
    "Bilevel",
    "BoundTerms",
    "Coded",
    "Compressed",
    "Distributed",
    "Evidence",
    "GeneralisedObjective",
    "Greedy",
    "Implicit",
    "LearnedOptimizer",
    "LotteryTickets",
    "NonFiniteLossError",
    "Posterior",
    "Posteriors",
    "ProcessLostError",
    "Pruned",
    "SimulatedCalibration",
    "StepEvent",
    "Ticket",
    "Unrolled",
    "bound_terms",
    "choose_kl_weight",
    "code",
    "compare",
    "compress",
    "fit",
    "hypergradient",
    "kl_weighted",
    "learn_optimizer",
    "load",
    "lottery_tickets",
    "prune",
    "quantise",
    "smallest",
    "vsbc",
]
