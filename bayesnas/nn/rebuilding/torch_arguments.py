"""Constructor arguments of layers of ``torch.nn`` that don't keep them under the same names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import nn

_ACTIVATIONS = {F.relu: "relu", F.gelu: "gelu"}


def _recurrent(net: Any) -> dict[str, Any]:
    names = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout")
    arguments = {name: getattr(net, name) for name in (*names, "bidirectional")}
    if isinstance(net, nn.LSTM) and net.proj_size:
        arguments["proj_size"] = net.proj_size
    if type(net) is nn.RNN:
        arguments["nonlinearity"] = net.nonlinearity
    return arguments


def _attention(net: Any) -> dict[str, Any]:
    return {
        "embed_dim": net.embed_dim,
        "num_heads": net.num_heads,
        "dropout": net.dropout,
        "bias": net.in_proj_bias is not None,
        "add_bias_kv": net.bias_k is not None,
        "add_zero_attn": net.add_zero_attn,
        "kdim": net.kdim,
        "vdim": net.vdim,
        "batch_first": net.batch_first,
    }


def _transformer_layer(net: Any) -> dict[str, Any]:
    return {
        "d_model": net.linear1.in_features,
        "nhead": net.self_attn.num_heads,
        "dim_feedforward": net.linear1.out_features,
        "dropout": net.dropout.p,
        "activation": _ACTIVATIONS.get(net.activation, net.activation),
        "layer_norm_eps": net.norm1.eps,
        "batch_first": net.self_attn.batch_first,
        "norm_first": net.norm_first,
        "bias": net.linear1.bias is not None,
    }


def _encoder(net: Any) -> dict[str, Any]:
    return {
        "encoder_layer": net.layers[0],
        "num_layers": net.num_layers,
        "norm": net.norm,
        "enable_nested_tensor": net.enable_nested_tensor,
        "mask_check": net.mask_check,
    }


READERS: dict[type[nn.Module], Callable[[Any], dict[str, Any]]] = {
    nn.RNN: _recurrent,
    nn.LSTM: _recurrent,
    nn.GRU: _recurrent,
    nn.MultiheadAttention: _attention,
    nn.TransformerEncoderLayer: _transformer_layer,
    nn.TransformerDecoderLayer: _transformer_layer,
    nn.TransformerEncoder: _encoder,
}
"""How the arguments of a layer are read from it, by class."""
