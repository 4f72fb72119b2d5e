"""A plain network as an ONNX file, which other runtimes read."""

from __future__ import annotations

import importlib.util

import torch
from torch.export import ExportedProgram

from bayesnas.nn.network_files.exported_program import METADATA


def check_onnx() -> None:
    """Raise ImportError where the packages that write ONNX are not installed."""
    for package in ("onnx", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            raise ImportError(
                f"an .onnx file needs {package}, got none: pip install 'bayesnas[onnx]'"
            )


def onnx_bytes(program: ExportedProgram, metadata: str) -> bytes:
    """An .onnx file with input ``x``, output ``output``, and JSON text in its metadata."""
    exported = torch.onnx.export(
        program, dynamo=True, input_names=["x"], output_names=["output"], verbose=False
    )
    assert exported is not None
    exported.model.metadata_props[METADATA] = metadata
    content: bytes = exported.model_proto.SerializeToString()
    return content
