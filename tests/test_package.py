"""How the three folders make one package, and which of them may import which."""

from __future__ import annotations

import ast
import importlib.metadata
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import bayesnas

TOP = Path(__file__).resolve().parent.parent
FOLDERS = ("bayesnas", "models", "inference")
FILES = sorted(file for folder in FOLDERS for file in (TOP / folder).rglob("*.py"))
VOCABULARY, MODELS, INFERENCE, FACE = range(4)
FACE_NAMES = (
    "__init__",
    "__main__",
    "cli",
    "report",
    "reproductions",
    "testing",
)


def pyproject():
    return tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))


def run_isolated(code, folder):
    """What `code` prints in a new interpreter that sees no file of the checkout by its path."""
    command = [sys.executable, "-I", "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_nothing_but_bayesnas_is_installed_at_the_top_level(tmp_path):
    code = (
        "import importlib.util as u, bayesnas.models, bayesnas.inference\n"
        "print(u.find_spec('models'), u.find_spec('inference'), bayesnas.models.__name__)"
    )
    assert run_isolated(code, tmp_path) == ["None", "None", "bayesnas.models"]


def test_python_started_in_the_checkout_finds_all_three_folders():
    code = "import bayesnas.models, bayesnas.inference as i; print(i.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=TOP, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == TOP / "inference" / "__init__.py"


HEAVY = ["arviz", "h5netcdf", "matplotlib", "pandas", "sklearn", "torchvision", "xarray"]


def test_importing_bayesnas_loads_nothing_heavy(tmp_path):
    code = f"import sys, bayesnas; print(*(m for m in {HEAVY} if m in sys.modules))"
    assert run_isolated(code, tmp_path) == []


def test_every_package_folder_is_installed(tmp_path):
    folders = sorted({file.parent.relative_to(TOP).as_posix() for file in FILES})
    names = [".".join(f.split("/")) for f in folders]
    names = [n if n.split(".")[0] == "bayesnas" else f"bayesnas.{n}" for n in names]
    code = f"import importlib\nfor n in {names}: print(importlib.import_module(n).__name__)"
    assert run_isolated(code, tmp_path) == names
    assert all((TOP / folder / "__init__.py").is_file() for folder in folders)


def test_the_package_says_that_it_is_typed():
    assert (Path(bayesnas.__file__).parent / "py.typed").is_file()


def test_one_version_everywhere():
    version = pyproject()["project"]["version"]
    assert importlib.metadata.version("bayesnas") == version
    assert bayesnas.__version__ == version
    citation = (TOP / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {version}\n" in citation


def rank_of_module(name):
    """How high an imported module stands; None for one of other people's."""
    parts = name.split(".")
    if parts[0] in ("models", "inference"):
        raise AssertionError(f"{name} is only importable as bayesnas.{name}")
    if parts[0] != "bayesnas":
        return None
    if len(parts) == 1 or parts[1] in FACE_NAMES:
        return FACE
    return {"models": MODELS, "inference": INFERENCE}.get(parts[1], VOCABULARY)


def rank_of_file(file):
    parts = file.relative_to(TOP).with_suffix("").parts
    if parts[0] != "bayesnas":
        return {"models": MODELS, "inference": INFERENCE}[parts[0]]
    return FACE if parts[1] in FACE_NAMES else VOCABULARY


def imported_modules(source):
    """Every module that a source names in an import, also inside functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno} imports relatively"
            yield node.module


def upward_imports(source, rank):
    ranks = {name: rank_of_module(name) for name in imported_modules(source)}
    return [name for name, found in ranks.items() if found is not None and found > rank]


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(TOP).as_posix())
def test_imports_run_one_way(file):
    assert upward_imports(file.read_text(encoding="utf-8"), rank_of_file(file)) == []


@pytest.mark.parametrize(
    ("source", "rank", "expected"),
    [
        ("from bayesnas.models.base import BayesianModel", VOCABULARY, ["bayesnas.models.base"]),
        ("def f():\n    import bayesnas.inference", VOCABULARY, ["bayesnas.inference"]),
        ("import bayesnas as bn", VOCABULARY, ["bayesnas"]),
        ("from bayesnas import fit", INFERENCE, ["bayesnas"]),
        ("from bayesnas.inference.fit import fit", MODELS, ["bayesnas.inference.fit"]),
        ("from bayesnas.testing import ModelContract", INFERENCE, ["bayesnas.testing"]),
        ("from bayesnas.models.base import BayesianModel", INFERENCE, []),
        ("from bayesnas.nn.mlp import mlp\nimport torch", MODELS, []),
        ("from bayesnas.inference.fit import fit", FACE, []),
    ],
)
def test_an_upward_import_is_seen(source, rank, expected):
    assert upward_imports(source, rank) == expected
