"""The documentation runs: its code, its commands, its links."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import bayesnas as bn
from bayesnas.cli.main import build_parser
from bayesnas.testing import ModelContract

TOP = Path(__file__).resolve().parent.parent
README = TOP / "README.md"
PAGES = [*sorted(TOP.glob("*.md")), *sorted((TOP / "docs").rglob("*.md"))]

FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
NAMED_FILE = re.compile(
    r"(?<![\w/.])((?:bayesnas|models|inference|tests|docs)/[\w/.-]+\.(?:py|md))"
)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def fenced(page, language):
    """Line of the fence and content of every block in that language."""
    text = page.read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, match.start()) + 1, match.group(2))
        for match in FENCE.finditer(text)
        if match.group(1) == language
    ]


def prose(page):
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def python_of(page):
    """All Python of a page as one source whose line numbers are those of the page."""
    source = ""
    for line, code in fenced(page, "python"):
        source += "\n" * (line - source.count("\n")) + code
    return source


def relative(page):
    return page.relative_to(TOP).as_posix()


def takes_long(page):
    """Pages whose fits other tests make in small: those of the models, and some more."""
    return page.parent.name == "models" or page.stem in (
        "arviz",
        "choosing",
        "criteria",
        "diagnostics",
        "evidence",
        "graphs",
        "guide",
        "objective",
        "pyro-pair",
        "scikit-learn",
        "search",
        "theory",
        "tour",
    )


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(p, marks=[pytest.mark.slow] if takes_long(p) else [])
        for p in PAGES
        if fenced(p, "python")
    ],
    ids=relative,
)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = compile(python_of(page), str(page), "exec", dont_inherit=True)
    exec(code, {"__name__": page.stem})


@pytest.mark.slow
def test_the_own_model_passes_the_contract_that_its_page_shows(tmp_path):
    """As its reader would do it: the page's code in a test file, run by pytest."""
    source = python_of(TOP / "docs" / "own-model.md")
    (tmp_path / "test_own_model.py").write_text(source, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"]
    command += ["-W", "ignore:\\s*ArviZ is undergoing:FutureWarning", "test_own_model.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    contract = [name for name in dir(ModelContract) if name.startswith("test_")]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed
    assert int(passed.group(1)) >= len(contract)


def public_packages():
    """The packages whose names the reference holds, of docs/conf.py."""
    tree = ast.parse((TOP / "docs" / "conf.py").read_text(encoding="utf-8"))
    assigned = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    return ast.literal_eval(assigned["PUBLIC"])


def examples_of(value):
    """The docstrings of a function, or of a class and its methods."""
    members = vars(value).values() if isinstance(value, type) else ()
    return "".join(getattr(each, "__doc__", None) or "" for each in (value, *members))


def test_every_public_name_has_an_example():
    without = {
        f"{package}.{name}"
        for package in public_packages()
        for name, value in vars_of(package)
        if is_used_by_calling(value) and ">>>" not in examples_of(value)
    }
    assert without == set()


def is_used_by_calling(value):
    """No error, alias or protocol: those are caught, annotated and subclassed."""
    if isinstance(value, type):
        return not issubclass(value, BaseException) and not getattr(value, "_is_protocol", False)
    return inspect.isfunction(value)


def vars_of(package):
    module = importlib.import_module(package)
    return [(name, getattr(module, name)) for name in module.__all__]


def links_of(page):
    return [link for link in LINK.findall(prose(page)) if not re.match(r"[a-z]+:", link)]


def anchors_of(page):
    """What GitHub makes of the headings."""
    headings = HEADING.findall(prose(page))
    kept = (re.sub(r"[^\w\- ]", "", heading.strip().lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in kept}


@pytest.mark.parametrize("page", [p for p in PAGES if links_of(p)], ids=relative)
def test_relative_links_lead_somewhere(page):
    for link in links_of(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(TOP), link
        assert target.exists(), link
        if anchor:
            assert anchor in anchors_of(target), link


def test_every_page_is_linked_from_the_readme():
    linked = {(TOP / link.partition("#")[0]).resolve() for link in links_of(README)}
    included = {
        page for page in PAGES if page.read_text(encoding="utf-8").startswith("```{include}")
    }
    assert set(PAGES) - {README} - included <= linked


@pytest.mark.parametrize("page", ["architecture", "decisions"])
def test_the_files_that_the_architecture_names_are_there(page):
    """A name without a folder is in the folder of the name before it."""
    text = prose(TOP / "docs" / f"{page}.md")
    folder, named = TOP, re.findall(r"`([\w/]+\.py)`", text)
    assert named
    for name in named:
        folder = (TOP / name).parent if "/" in name else folder
        assert (folder / Path(name).name).is_file(), name


def test_files_that_are_named_are_there():
    """In pages, docstrings and comments, by their path from the top, or from the page."""
    code = [
        f
        for top in ("bayesnas", "models", "inference", "tests")
        for f in sorted((TOP / top).rglob("*.py"))
    ]
    missing = [
        f"{relative(file)}: {name}"
        for file in (*PAGES, *code)
        for name in NAMED_FILE.findall(file.read_text(encoding="utf-8"))
        if not (TOP / name).is_file() and not (file.parent / name).is_file()
    ]
    assert missing == []


def commands_of(page):
    """Lines after a prompt in the console blocks, continuation lines joined."""
    text = "".join(content for _, content in fenced(page, "console")).replace("\\\n", " ")
    return [
        line.removeprefix("$ ").split(" #")[0] for line in text.splitlines() if line[:2] == "$ "
    ]


COMMANDS = sorted({c for page in PAGES for c in commands_of(page) if c.startswith("bayesnas ")})


def test_the_pages_show_every_command():
    shown = {command.split()[1] for command in COMMANDS}
    parser = build_parser()
    assert shown == set(parser._subparsers._group_actions[0].choices)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_can_be_parsed(command):
    args = build_parser().parse_args(shlex.split(command)[1:])
    assert args.command == command.split()[1]
    if args.command == "fit" and args.config is None:
        assert args.model in bn.models.available()


def test_contributors_are_told_commands_that_exist():
    """The targets of make, the jobs of CI and the files in the page for contributors."""
    text = (TOP / "CONTRIBUTING.md").read_text(encoding="utf-8")
    makefile = (TOP / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"make (?!sure)([a-z-]+)[` ]", text))
    assert {"test", "test-slow", "lint", "format", "types"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for variable in set(re.findall(r"\b([A-Z]+)=", text)) - {"ATEN_CPU_CAPABILITY"}:
        assert re.search(rf"^{variable} \?=", makefile, re.MULTILINE), variable
    for job in set(re.findall(r"\.ci/run ([a-z]+)", text)) - {"all"}:
        assert (TOP / ".ci" / "jobs" / job).is_file(), job
    files = re.findall(r"(?:bayesnas|models|inference|tests|docs)/[\w/.]*", text)
    assert files
    for name in files:
        assert (TOP / name).exists(), name


def test_make_targets_exist():
    makefile = (TOP / "Makefile").read_text(encoding="utf-8")
    pages = (command for page in PAGES for command in commands_of(page))
    targets = [command.split()[1] for command in pages if command.startswith("make ")]
    assert {"demo", "test"} <= set(targets)
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_model_of_the_zoo_is_in_the_readme():
    text = README.read_text(encoding="utf-8")
    for name, record in bn.models.available().items():
        assert f"`{record.cls.__name__}`" in text, name
