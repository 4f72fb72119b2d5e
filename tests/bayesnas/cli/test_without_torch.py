"""What is answered before torch is imported, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import sys
from bayesnas.cli.main import main
try:
    code = main({words!r})
except SystemExit as stop:
    code = stop.code
print("CODE", code, *(name for name in ("torch", "numpy", "pyro") if name in sys.modules))
"""


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--help"], 0, "COMMAND"),
        (["fit", "gaussian-net", "--help"], 0, "--prior-scale"),
        (["fit", "gaussian-net", "--mass", "3"], 2, "gaussian-net does not take --mass"),
        (["fit", "gaussian-net", "--learning-rate", "3"], 2, "unrecognized arguments"),
        (["fit", "gaussian-net", "--resume"], 2, "--resume needs out"),
        (["fit", "gaussian-net", "--knots", "3"], 2, "--knots needs a range"),
        (["report"], 2, "required: RUN"),
        (["report", "nowhere"], 2, "nowhere holds no run: run.json is missing"),
        (["compare", "nowhere", "there"], 2, "nowhere holds no run"),
        (["fti"], 2, "did you mean 'fit'"),
        (["fit", "gaussian-net", "--kl-weigth", "3"], 2, "did you mean '--kl-weight'"),
        (["fit", "gaussian-net", "--out", "/dev/null/a"], 2, "--out: can't write /dev/null/a: "),
        (["fit", "gausian-net"], 2, "did you mean 'gaussian-net'"),
        (["fit", "gaussian-net", "--data", "mnits"], 2, "did you mean 'mnist'"),
        (["fit", "gaussian-net", "--data", "absent.csv"], 2, "there is no data file absent.csv"),
        (["fit", "gaussian-net", "--target", "price"], 2, "target goes with a file of your own"),
        (["fit", "gaussian-net", "--lr", "-1"], 2, "--lr must be a finite number > 0, got -1"),
        (["fit", "gaussian-net", "--epochs", "0"], 2, "--epochs must be a whole number >= 1"),
        (["fit", "gaussian-net", "--kl-weight", "1,-1"], 2, "--kl-weight must be a finite number"),
        (["fit", "gaussian-net", "--activation", "rleu"], 2, "did you mean 'relu'"),
        (["fit", "gaussian-net", "--config", "absent.toml"], 2, "config: there is no file"),
        (["reproduce", "varhypernets"], 2, "did you mean 'varhypernet'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_words_are_answered_without_torch(words, code, said):
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(words=words)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == f"CODE {code}"
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_help_of_a_model_shows_its_options_alone(capsys):
    from bayesnas.cli.arguments.names import MODEL_OPTIONS
    from bayesnas.cli.main import main

    every = {option for options in MODEL_OPTIONS.values() for option in options}
    for model, options in MODEL_OPTIONS.items():
        with pytest.raises(SystemExit):
            main(["fit", model, "--help"])
        shown = capsys.readouterr().out.replace("\n", " ")
        listed = {
            name for name in every if f"  --{name.replace('_', '-')} " in shown.replace("\n", " ")
        }
        assert listed == set(options), model


def test_import_alone_does_not_load_torch():
    code = "import sys, bayesnas; assert 'torch' not in sys.modules; assert bayesnas.__version__"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
