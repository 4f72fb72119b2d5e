"""What has to stand in a ``run.json``: types by pydantic, values by the checks of arguments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from bayesnas.checks import fraction_in, non_negative, positive, seed_number, whole_number

_Count = Annotated[int, pydantic.Field(ge=1, le=2**53)]
_Number = Annotated[float, pydantic.Field(allow_inf_nan=False)]
_Options = pydantic.ConfigDict(strict=True, allow_inf_nan=False, extra="allow")


class _Model(pydantic.BaseModel):
    """Class and constructor arguments of a model."""

    model_config = _Options
    config: dict[str, Any] | None = None
    reason: str | None = None
    dtype: Literal["float64"] | None = None


class _Data(pydantic.BaseModel):
    """The training data in a few words."""

    model_config = _Options
    name: str
    n: _Count
    classes: _Count | None = None


class _Settings(pydantic.BaseModel):
    """Settings of the fit."""

    model_config = _Options
    kl_weight: _Number | None
    kl_warmup: _Number
    amortization: dict[str, Any] | None
    steps: _Count
    batch_size: _Count
    lr: _Number
    clip: _Number | None
    restarts: _Count
    patience: _Count | None
    seed: int
    kl_weights: list[_Number] | None = None


class _Run(pydantic.BaseModel):
    """A ``run.json``."""

    model_config = _Options
    status: Literal["running", "finished"]
    versions: dict[str, str] = {}
    model: _Model
    settings: _Settings
    data: _Data
    fingerprint: str
    validation: str
    start: str
    weights: str = ""


def check_schema(path: Path, content: Mapping[str, Any]) -> None:
    """Raise ValueError, naming file and place, unless a description is one of ours.

    Args:
        path: of the ``run.json``, for the message.
        content: what stands in it.
    """
    try:
        settings = _Run.model_validate(dict(content)).settings
        for each in settings.kl_weights or (settings.kl_weight or 0.0,):
            non_negative("settings.kl_weight", each)
        fraction_in("settings.kl_warmup", settings.kl_warmup)
        positive("settings.lr", settings.lr)
        seed_number("settings.seed", settings.seed)
        whole_number("settings.batch_size", settings.batch_size)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{path} is damaged: {place}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
