"""How the three folders make one package."""

from __future__ import annotations

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


def pyproject():
    return tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))


def run_isolated(code, folder):
    """What `code` prints in a new interpreter that sees no file of the checkout by its path."""
    command = [sys.executable, "-I", "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.slow
def test_nothing_but_bayesnas_is_installed_at_the_top_level(tmp_path):
    code = (
        "import importlib.util as u, bayesnas.models, bayesnas.inference\n"
        "print(u.find_spec('models'), u.find_spec('inference'), bayesnas.models.__name__)"
    )
    assert run_isolated(code, tmp_path) == ["None", "None", "bayesnas.models"]


@pytest.mark.slow
def test_python_started_in_the_checkout_finds_all_three_folders():
    code = "import bayesnas.models, bayesnas.inference as i; print(i.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=TOP, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == TOP / "inference" / "__init__.py"


HEAVY = ["arviz", "h5netcdf", "matplotlib", "pandas", "sklearn", "torchvision", "xarray"]


def test_importing_bayesnas_loads_nothing_heavy(tmp_path):
    code = "import sys, bayesnas; [getattr(bayesnas, name) for name in bayesnas.__all__]; "
    code += f"print(*(m for m in {HEAVY} if m in sys.modules))"
    assert run_isolated(code, tmp_path) == []


def test_names_come_at_their_first_use(tmp_path):
    code = "import sys, bayesnas as bn; print('torch' in sys.modules, bn.plots.__name__); "
    code += "print(bn.fit.__name__)"
    assert run_isolated(code, tmp_path) == ["False", "bayesnas.plots", "fit"]
    with pytest.raises(AttributeError, match="module 'bayesnas' has no attribute 'nonsense'"):
        bayesnas.nonsense  # noqa: B018


@pytest.mark.slow
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
