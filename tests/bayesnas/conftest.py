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
