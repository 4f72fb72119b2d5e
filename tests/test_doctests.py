"""The examples in the docstrings run and give what they show."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

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
