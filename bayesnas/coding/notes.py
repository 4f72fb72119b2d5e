"""What a file says of its layers and tensors, as few bytes of JSON."""

from __future__ import annotations

import json
import zlib
from itertools import accumulate, pairwise
from typing import Any

_LAYERS = (
    '["encoder",{"type":"Embedding","arguments":{"num_embeddings":,"embedding_dim":},'
    '["norm1",{"type":"LayerNorm","arguments":{"normalized_shape":[],"eps":1e-05},'
    '["norm1",{"type":"BatchNorm1d","arguments":{"num_features":,"eps":1e-05,"momentum":0.1},'
    '["norm1",{"type":"BatchNorm2d","arguments":{"num_features":,"eps":1e-05,"momentum":0.1},'
    '"bias":false,"dtype":"float64"}],["type":"Dropout","arguments":{"p":0.5}}],'
    '["activation1",{"type":"Tanh","arguments":{}}],["activation2",{"type":"GELU","arguments":{}}],'
    '{"type":"StandardisedNet","net":,"units":{"standardisation":{"x_mean":[,"x_scale":['
    '[{"format":1,"type":"Sequential","children":[["0",{"type":"Flatten","arguments":{}}],'
    '["1",{"type":"SelectInputs","arguments":{"indices":[]}}],["2",{"type":"Sequential",'
    '"children":[["noise",{"type":"GaussianNoise","arguments":{"scale":0.15}}],'
    '["conv1",{"type":"Conv2d","arguments":{"in_channels":1,"out_channels":20,"kernel_size":[5,5],'
    '"stride":[1,1],"padding":[0,0],"dilation":[1,1]},"dtype":"float32"}],'
    '["conv_activation1",{"type":"ReLU","arguments":{}}],'
    '["pool1",{"type":"MaxPool2d","arguments":{"kernel_size":2,"stride":2}}],'
    '["conv2",{"type":"Conv2d","arguments":{"in_channels":20,"out_channels":50,"kernel_size":[3,3],'
    '"stride":[1,1],"padding":[1,1],"dilation":[1,1]},"dtype":"float32"}],'
    '["conv_activation2",{"type":"ReLU","arguments":{}}],'
    '["pool2",{"type":"MaxPool2d","arguments":{"kernel_size":2,"stride":2}}],'
    '["flatten",{"type":"Flatten","arguments":{}}],'
    '["layer1",{"type":"Linear","arguments":{"in_features":784,"out_features":300},'
    '"dtype":"float32"}],["activation1",{"type":"ReLU","arguments":{}}],'
    '["layer2",{"type":"Linear","arguments":{"in_features":300,"out_features":100},'
    '"dtype":"float32"}],["activation2",{"type":"ReLU","arguments":{}}],'
    '["layer3",{"type":"Linear","arguments":{"in_features":100,"out_features":10},'
    '"dtype":"float32"}]]},'
)
_TENSORS = "".join(
    f'["{name}.weight","float32",[10,1,5,5],"{coding}",[],[]],["{name}.bias","float32",[10],'
    f'"{coding}",[],[]],'
    for coding in ("raw", "sparse-raw", "dense", "sparse", "posterior")
    for name in ("conv1", "conv2", "layer1", "layer2", "layer3")
)
WORDS = (_LAYERS + _TENSORS + "]]").encode()
"""What layers of common networks are called: text that a file refers to and does not say again.

Files are read with it, so it stays as it is: other words are another format of files."""


_STEPS = "+"  # the key of a rising list that is written as its differences
_LONG = 8
_MOST = 2**26  # bytes; a thousandth of it inflates to as many


def packed(notes: Any) -> bytes:
    """JSON values, deflated with :data:`WORDS` as the preset dictionary (RFC 1950).

    Long lists of rising whole numbers, such as the inputs that a network reads, are written as
    their differences, which repeat.

    >>> layers = [["layer1", {"type": "Linear", "arguments": {"in_features": 9}}]]
    >>> len(packed(layers)), len(zlib.compress(json.dumps(layers).encode()))
    (21, 68)
    >>> unpacked(packed(layers)) == layers
    True
    >>> len(packed({"indices": list(range(0, 3000, 3))}))
    38
    """
    text = json.dumps(_with_steps(notes), separators=(",", ":")).encode()
    writer = zlib.compressobj(9, zdict=WORDS)
    return writer.compress(text) + writer.flush()


def unpacked(content: bytes) -> Any:
    """The JSON values of :func:`packed`, or of a deflated text without a dictionary.

    Raises:
        ValueError, zlib.error: they are none.
    """
    reader = zlib.decompressobj(zdict=WORDS)
    text = reader.decompress(content, _MOST)
    if not reader.eof:
        raise ValueError("its notes end too early, or never")
    return json.loads(text, object_hook=_without_steps)


def _with_steps(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_steps(each) for name, each in value.items()}
    if not isinstance(value, (list, tuple)):
        return value
    rises = len(value) > _LONG and all(type(each) is int for each in value)
    if rises and all(a < b for a, b in pairwise(value)):
        return {_STEPS: [value[0], *(b - a for a, b in pairwise(value))]}
    return [_with_steps(each) for each in value]


def _without_steps(value: dict[str, Any]) -> Any:
    return list(accumulate(value[_STEPS])) if value.keys() == {_STEPS} else value
