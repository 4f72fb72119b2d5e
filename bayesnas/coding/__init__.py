"""Networks as few bytes: shared weights, sparse indices, Huffman codes, one file."""

from bayesnas.coding.encoding import decode, encode

__all__ = ["decode", "encode"]
