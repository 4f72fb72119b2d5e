"""A network that grew, what every step did, and both as files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import nn

from bayesnas.files import path_of, write_new
from bayesnas.nn.network_files.save import load_net, save_net
from bayesnas.tensor_files import read_json
from bayesnas.typed import typed

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "bayesnas growth 1"
_STEPS, _MODULE = "growth.json", "module.safetensors"


@dataclass(frozen=True)
class Grown:
    """A network that a search made larger and smaller step by step.

    Attributes:
        module: a plain module in evaluation mode.
        steps: what is known of each step, see :attr:`history`.
        settings: what decides the numbers, as JSON values.
    """

    module: nn.Module
    steps: Sequence[Mapping[str, Any]] = field(repr=False)
    settings: Mapping[str, Any] = field(repr=False)

    @property
    def history(self) -> pd.DataFrame:
        """One row a step, in their order; the columns are those of the search."""
        import pandas as pd

        return pd.DataFrame.from_records(list(self.steps))

    @typed()
    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the network and the steps into a folder, without pickle.

        Raises:
            FileExistsError: the folder has a result; it stays as it is.
            OSError: naming the path, where it can't be written.
            TypeError: for what is no path.
        """
        place = path_of("folder", folder)
        place.mkdir(parents=True, exist_ok=True)
        if (place / _STEPS).exists():
            raise FileExistsError(f"{place / _STEPS} is there already; give another folder")
        # The steps come last: a folder that has them is whole.
        (place / _MODULE).unlink(missing_ok=True)
        save_net(self.module, place / _MODULE)
        content = {"format": FORMAT, "settings": dict(self.settings), "steps": list(self.steps)}
        write_new(place / _STEPS, json.dumps(content, indent=1).encode())

    @classmethod
    @typed()
    def load(cls, folder: str | os.PathLike[str]) -> Grown:
        """What :meth:`save` wrote.

        Raises:
            FileNotFoundError: there is none.
            ValueError: naming the file, where it is cut off, or not such a result.
        """
        place = path_of("folder", folder)
        content = read_json(place / _STEPS)
        if content.get("format") != FORMAT or not {"settings", "steps"} <= content.keys():
            raise ValueError(
                f"{place / _STEPS} must be of format {FORMAT!r}, got {content.get('format')!r:.100}"
            )
        return cls(load_net(place / _MODULE).eval(), content["steps"], content["settings"])
