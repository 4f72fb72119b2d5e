"""What makes a good objective, when a structure gives way to another, and the plain criteria."""

from bayesnas.inference.criteria.cross_validation import CrossValidated, cross_validate
from bayesnas.inference.criteria.information import InformationCriteria, information_criteria
from bayesnas.inference.criteria.requirements import requirements
from bayesnas.inference.criteria.simulation.result import SimulatedCalibration
from bayesnas.inference.criteria.structures import structure_divergence
from bayesnas.inference.criteria.transition import Transition, keeps_optimum, transition

__all__ = [
    "CrossValidated",
    "InformationCriteria",
    "SimulatedCalibration",
    "Transition",
    "cross_validate",
    "information_criteria",
    "keeps_optimum",
    "requirements",
    "structure_divergence",
    "transition",
]
