"""The examples in the docstrings run and give what they show."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import bayesnas
import bayesnas.inference
import bayesnas.models
from bayesnas.models import registry

PACKAGES = (bayesnas, bayesnas.models, bayesnas.inference)


def module_names():
    for package in PACKAGES:
        yield package.__name__
        walk = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        yield from (module.name for module in walk if not module.name.endswith("__main__"))


def examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    for name in sorted(set(module_names())):
        for test in finder.find(importlib.import_module(name)):
            if test.examples:
                yield pytest.param(test, id=test.name)


@pytest.mark.parametrize("example", list(examples()))
def test_example(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_registered", {})  # what an example registers is its own
    report = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    failed, attempted = runner.run(example, out=report.append)
    assert attempted > 0
    assert failed == 0, "".join(report)


def public_packages():
    """Those whose names the reference of the site has."""
    tree = ast.parse(Path(__file__, "../../docs/conf.py").resolve().read_text(encoding="utf-8"))
    values = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    return ast.literal_eval(values["PUBLIC"])


def without_example(value):
    methods = [v for v in vars(value).values() if inspect.isfunction(v) or isinstance(v, property)]
    texts = [value.__doc__, *(method.__doc__ for method in methods)]
    return not any(">>> " in (text or "") for text in texts)


@pytest.mark.parametrize("package", public_packages())
def test_every_public_name_has_an_example(package):
    module = importlib.import_module(package)
    values = {name: getattr(module, name) for name in module.__all__}
    coded = {n: v for n, v in values.items() if inspect.isclass(v) or inspect.isfunction(v)}
    coded = {n: v for n, v in coded.items() if not hasattr(v, "__origin__")}  # dict[str, ...]
    assert [name for name, value in coded.items() if without_example(value)] == []
