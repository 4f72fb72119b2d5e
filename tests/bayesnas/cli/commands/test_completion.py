"""Completion scripts, asked by bash itself."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from bayesnas.cli.arguments.names import MODEL_OPTIONS
from bayesnas.words import DATA_SETS

ASK = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shtab_bayesnas; '
ASK += 'printf "%s\\n" "${COMPREPLY[@]}"'


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_commands_options_and_names(call, tmp_path):
    pytest.importorskip("shtab", reason="shtab is not installed: bayesnas[completion]")
    code, out, err = call("completion", "bash")
    assert code == 0, err
    (tmp_path / "script").write_text(out, encoding="utf-8")

    def completed(*words):
        command = ["bash", "-c", ASK, "bash", str(tmp_path / "script"), "bayesnas", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return set(done.stdout.split())

    assert completed("re") == {"report", "reproduce"}
    assert completed("fit", "gau") == {"gaussian-net"}
    assert completed("fit", "") >= set(MODEL_OPTIONS)
    assert completed("fit", "gaussian-net", "--prior-s") == {"--prior-scale"}
    assert completed("fit", "gaussian-net", "--data", "") == set(DATA_SETS)


def test_a_missing_package_is_named(call, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    code, _, err = call("completion", "bash")
    assert code == 2
    assert "pip install 'bayesnas[completion]'" in err
