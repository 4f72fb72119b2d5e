"""The documentation site: `make docs` builds it into build/site, and a warning ends the build."""

from __future__ import annotations

import importlib
import inspect
import os
from importlib import metadata
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

TOP = Path(__file__).resolve().parent.parent
PUBLIC = (
    "bayesnas",
    "bayesnas.models",
    "bayesnas.inference",
    "bayesnas.inference.mcmc",
    "bayesnas.inference.search",
    "bayesnas.distributions",
    "bayesnas.likelihoods",
    "bayesnas.nn",
    "bayesnas.data",
    "bayesnas.plots",
    "bayesnas.report",
    "bayesnas.export",
    "bayesnas.loggers",
    "bayesnas.sklearn",
)
"""Packages whose ``__all__`` the reference has to hold."""
AT_THE_TOP = {
    "README": "index",
    "CHANGELOG": "changelog",
    "CONTRIBUTING": "contributing",
    "SECURITY": "security",
}
"""Pages that stand at the top of the repository, and the document that includes each."""

FILES = ("LICENSE", "CITATION.cff", "complexity.py")
"""What pages link to and the site does not have."""

project = "bayesnas"
author = "the bayesnas developers"
release = metadata.version("bayesnas")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["gallery"]
suppress_warnings = ["config.cache"]  # the gallery's order is a class, which can't be pickled

myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 4

napoleon_use_ivar = True
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
toc_object_entries_show_parents = "hide"

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_math_renderer = "mathml"  # which browsers show by themselves, also without a network
html_theme = "pydata_sphinx_theme"
html_title = "bayesnas"
html_show_sourcelink = False
html_sidebars = {"*": []}  # pages at the top have no neighbours to list
html_theme_options = {
    "show_prev_next": False,
    "show_toc_level": 2,
}

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "filename_pattern": "/plot_",
    "abort_on_example_error": True,
    "plot_gallery": os.environ.get("BAYESNAS_DOCS_GALLERY", "True") == "True",
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 1e9,  # how long this machine took says nothing
}


def link_to_pages(app: Sphinx, doctree: nodes.document) -> None:
    """Point links to files at the top of the repository at the pages that include them."""
    for node in list(doctree.findall(addnodes.pending_xref)):
        name = str(node["reftarget"]).partition("#")[0].rsplit("/", 1)[-1].removesuffix(".md")
        if name in AT_THE_TOP:
            uri = app.builder.get_relative_uri(app.env.docname, AT_THE_TOP[name])
            anchor = node.get("reftargetid") or str(node["reftarget"]).partition("#")[2]
            node.replace_self(
                nodes.reference("", "", *node.children, refuri=f"{uri}#{anchor}" if anchor else uri)
            )
        elif name in FILES:
            node.replace_self(node.children)


def skip_members_of_others(
    app: Sphinx, what: str, name: str, member: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out what classes have from torch and Pyro, which document it themselves."""
    owner = getattr(member, "fget", None) or getattr(member, "func", None) or member
    described = getattr(owner, "__objclass__", owner)  # methods written in C have no module
    module = getattr(described, "__module__", None) or "bayesnas"
    return None if module.startswith("bayesnas") else True


def warn_of_missing_names(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn, and so end the build, where a public name has no page in the reference."""
    documented = {_object(name) for name in env.get_domain("py").objects}
    for package in PUBLIC:
        module = importlib.import_module(package)
        for name in module.__all__:
            value = getattr(module, name)
            is_called = inspect.isclass(value) or inspect.isfunction(value)
            if is_called and id(value) not in documented:
                logging.getLogger(__name__).warning("%s.%s is not in docs/api", package, name)


def _object(name: str) -> int | None:
    """The identity of what a dotted name leads to."""
    package, _, attribute = name.rpartition(".")
    try:
        return id(getattr(importlib.import_module(package), attribute))
    except (ImportError, AttributeError, ValueError):  # a method, or an attribute of a class
        return None


def write_formula(translator: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    """Write a formula of a line or of its own as MathML, or warn of what has no translation."""
    is_block = isinstance(node, nodes.math_block)
    try:
        formula = latex2mathml.tex2mathml(node.astext().strip(), as_block=is_block)
    except MathError as error:
        where = (translator.builder.current_docname, node.line)
        logging.getLogger(__name__).warning("%s: %s", error, node.astext(), location=where)
        raise nodes.SkipNode from error
    if is_block:
        # Not of the class "math", which the theme aligns as MathJax wants it.
        tag = translator.starttag(node, "div", style="overflow: auto hidden; margin: 1rem 0")
        formula = f"{tag}{formula}</div>"
    translator.body.append(formula)
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Connect the functions above."""
    app.add_html_math_renderer("mathml", (write_formula, None), (write_formula, None))
    app.connect("autodoc-skip-member", skip_members_of_others)
    app.connect("doctree-read", link_to_pages)
    app.connect("env-check-consistency", warn_of_missing_names)
