"""The command line, called in this process."""

from __future__ import annotations

import json

import pytest

from bayesnas.cli.main import main


@pytest.fixture
def call(capsys):
    def call(*words):
        code = main([str(word) for word in words])
        streams = capsys.readouterr()
        return code, streams.out, streams.err

    return call


@pytest.fixture
def call_json(call):
    def call_json(*words):
        code, out, err = call(*words, "--json")
        assert code == 0, err
        return json.loads(out)

    return call_json


@pytest.fixture
def refused(call, capsys):
    """Assert that a command line ends with 2, and with an error that says so and so."""

    def check(words, said):
        try:
            code, _, err = call(*words)
        except SystemExit as stop:  # argparse's own
            code, err = stop.code, capsys.readouterr().err
        assert code == 2
        assert said in err
        assert "Traceback" not in err

    return check
