"""Where a data set came from: what `load` has to be told to give it again."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from bayesnas.checks import fraction_in, seed_number
from bayesnas.typed import typed


@typed()
@dataclass(frozen=True)
class DataSource:
    """The arguments of `load`, as a saved run keeps them. Paths are absolute.

    Args:
        name_or_path: of the data set.
        root: folder of downloaded sets; None: where `load` looks by itself.
        test: fraction held out for testing; None: the default.
        validation: fraction held out for validation.
        seed: of the split.
        standardise: whether x (and y of a regression) were standardised.
        flatten: whether images lie flat; None: the default of the set.
        task: None: by the type of the targets.
        target: column of a table; None: the last.
        drop: columns of a table that were left out.
        streamed: whether it was `load_streamed` that was told.

    Raises:
        TypeError: naming an argument of another type.
        ValueError: naming a fraction outside [0, 1), or a seed below 0.

    Example:
        >>> import bayesnas.data
        >>> source = bayesnas.data.load("digits", test=0.3).info.source
        >>> len(bayesnas.data.load(**source.to_dict()).test)
        540
    """

    name_or_path: str
    root: str | None = None
    test: float | None = None
    validation: float = 0.0
    seed: int = 0
    standardise: bool = False
    flatten: bool | None = None
    task: str | None = None
    target: str | None = None
    drop: tuple[str, ...] = ()
    streamed: bool = False

    def __post_init__(self) -> None:
        """Check numbers, which go into files, and keep them as Python's."""
        seed_number("seed", self.seed)
        checked = {"validation": fraction_in("validation", self.validation, "[0, 1)")}
        if self.test is not None:
            checked["test"] = fraction_in("test", self.test, "[0, 1)")
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def to_dict(self) -> dict[str, Any]:
        """Arguments by name, ready for JSON and, unless streamed, for `load(**arguments)`."""
        values = {**dataclasses.asdict(self), "drop": list(self.drop)}
        if not self.streamed:
            del values["streamed"]
        return values

    @classmethod
    @typed()
    def from_dict(cls, values: dict[str, Any]) -> DataSource:
        """The inverse of `to_dict`.

        Raises:
            ValueError: `values` lacks name_or_path.
        """
        if "name_or_path" not in values:
            raise ValueError("a stored data source lacks name_or_path")
        known = {field.name for field in dataclasses.fields(cls)}
        given = {name: value for name, value in values.items() if name in known}
        return cls(**{**given, "drop": tuple(given.get("drop", ()))})
