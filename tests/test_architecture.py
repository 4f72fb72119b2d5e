"""The order of rooms: which may import which, no circles, no file or folder too large."""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent
FOLDERS = ("bayesnas", "models", "inference")

# Rooms from the lowest to the highest; those of a line stand side by side. None imports one of its
# own line or of a later one.
ORDER = """
files scalars
checks memory words
densities log_beta untrusted_files
typed runtime tensor_files
export likelihoods
nn.torch_private
nn.modules nn.lazy
nn.functional_call nn.costs
nn.rebuilding pruning
nn.user_networks
nn.hypernetworks nn.graphs nn.grown
nn.network_files
nn
distributions data coding
complexity plots
models.contract
models.site_kinds
models.base models.checks
models.programs
models.networks models.nonparametric models.regression models.pyro_pair
models.compression models.architecture models.autoencoders
models.registry models.plain_network
models.for_data
models
inference.elbo
inference.config inference.evaluation
inference.evidence
inference.optim inference.runs
inference.compile
inference.bilevel
inference.steps inference.learned
inference.training
inference.posterior
inference.fit inference.mcmc
inference.compression inference.criteria
inference.search.conditions
inference.search.variables
inference.search.space
inference.search.strategy
inference.search.judges inference.search.trials
inference.search.strategies inference.search.growth
inference.search
inference
bayesnas
testing report sklearn loggers
reproductions
cli
__main__
"""
RANKS = {room: rank for rank, line in enumerate(ORDER.split("\n")) for room in line.split()}
MOST_ARROWS = 55  # between rooms inside inference
MOST_FILES = 12  # in a folder, its __init__.py left out
MOST_LINES = 300


def module_name(file):
    parts = file.relative_to(TOP).with_suffix("").parts
    parts = parts if parts[0] == "bayesnas" else ("bayesnas", *parts)
    return ".".join(parts).removesuffix(".__init__")


MODULES = {
    module_name(file): file for folder in FOLDERS for file in sorted((TOP / folder).rglob("*.py"))
}


def imported(source):
    """Every module that a source imports, also inside functions and for types alone."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno} imports relatively"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module


IMPORTS = {
    name: {m for m in imported(file.read_text(encoding="utf-8")) if m in MODULES and m != name}
    for name, file in MODULES.items()
}


def room(module):
    """The longest beginning of a module's name, without the package's, that is a room."""
    parts = module.split(".")[1:]
    for length in range(len(parts), 0, -1):
        if ".".join(parts[:length]) in RANKS:
            return ".".join(parts[:length])
    return "bayesnas" if not parts else f"{module}, which is in no room"


def upward(module, imports):
    """Imports of another room that does not stand below that of the module."""
    here = room(module)
    return sorted(m for m in imports if room(m) != here and RANKS[room(m)] >= RANKS[here])


def test_every_file_is_in_a_room():
    assert {room(module) for module in MODULES} == set(RANKS)


def test_no_room_imports_a_higher_one():
    wrong = {module: upward(module, imports) for module, imports in IMPORTS.items()}
    assert {module: names for module, names in wrong.items() if names} == {}


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        (
            "bayesnas.inference.elbo.bound",
            "def f():\n    from bayesnas.inference.steps.step import Step",
            ["bayesnas.inference.steps.step"],
        ),
        (
            "bayesnas.inference.runs.checkpoint",
            "from bayesnas.inference.optim.adam import adam_update",
            ["bayesnas.inference.optim.adam"],
        ),
        ("bayesnas.nn.graphs.graph", "import bayesnas.data", ["bayesnas.data"]),
        ("bayesnas.models.base", "import bayesnas as bn", ["bayesnas"]),
        ("bayesnas.inference.steps.step", "from bayesnas.inference.elbo import bound", []),
        ("bayesnas.cli.main", "import bayesnas as bn", []),
    ],
)
def test_an_upward_import_is_seen(module, source, expected):
    assert upward(module, imported(source)) == expected


def test_no_module_imports_itself_by_way_of_others():
    tuple(graphlib.TopologicalSorter(IMPORTS).static_order())  # raises CycleError, with the circle


def test_few_arrows_between_the_rooms_of_inference():
    inside = "bayesnas.inference."

    def folder(module):
        return ".".join(room(module).split(".")[:2])  # those of search count as one

    arrows = {
        (folder(module), folder(other))
        for module, others in IMPORTS.items()
        for other in others
        if module.startswith(inside) and other.startswith(inside)
    }
    assert sum(a != b for a, b in arrows) <= MOST_ARROWS


def test_no_folder_holds_too_many_files():
    folders = {file.parent for file in MODULES.values()}
    sizes = {
        folder.relative_to(TOP).as_posix(): sum(
            f.name != "__init__.py" for f in folder.glob("*.py")
        )
        for folder in folders
    }
    assert {folder: size for folder, size in sizes.items() if size > MOST_FILES} == {}


def test_no_file_is_too_long():
    sizes = {
        file.relative_to(TOP).as_posix(): len(file.read_text(encoding="utf-8").splitlines())
        for file in MODULES.values()
    }
    assert {file: size for file, size in sizes.items() if size > MOST_LINES} == {}
