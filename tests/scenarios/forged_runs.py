"""Runs whose files were changed by somebody who knows the format."""

from __future__ import annotations

import json
from pathlib import Path

import safetensors
import safetensors.torch

from bayesnas.inference.runs.run_folder import RESULT


def take_digests_away(run: Path) -> None:
    """A result as earlier versions wrote it, which no digest ties to its ``run.json``."""
    path = run / RESULT
    with safetensors.safe_open(path, framework="pt") as stream:
        text = json.loads(stream.metadata()["bayesnas"])
    del text["run"], text["digest"]
    tensors = safetensors.torch.load_file(path)
    safetensors.torch.save_file(tensors, path, {"bayesnas": json.dumps(text)})
