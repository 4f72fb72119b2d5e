"""What a shape may be given as."""

from __future__ import annotations

import torch

Shape = torch.Size | list[int] | tuple[int, ...]
