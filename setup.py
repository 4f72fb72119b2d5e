"""Finds the packages: everything else about the build is in pyproject.toml.

Three folders at the top of the repository are one package, and setuptools has no declarative way
to put the packages of a folder below another's name.
"""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["bayesnas", "bayesnas.*"]),
        *(f"bayesnas.{name}" for name in find_packages(include=["models", "models.*"])),
        *(f"bayesnas.{name}" for name in find_packages(include=["inference", "inference.*"])),
    ]
)
