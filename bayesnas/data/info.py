"""What is known of a data set beside its numbers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_args

from bayesnas.checks import shown, whole_number
from bayesnas.data.provenance import DataSource
from bayesnas.data.standardisation import Standardisation
from bayesnas.data.tables.encoding import TableEncoding
from bayesnas.typed import typed

Task = Literal["classification", "regression"]
Part = Literal["train", "validation", "test", "all"]


@typed()
@dataclass(frozen=True)
class DataInfo:
    """What is known of a part of a data set beside its numbers.

    Args:
        name: of the data set.
        part: "train", "validation", "test", or "all" where the set was not split.
        task: "classification" or "regression".
        n: rows in this part.
        classes: number of classes; None for a regression.
        class_names: a name for each class, where there are names.
        feature_names: a name for each column of x, where there are names.
        image_shape: `(channels, height, width)` of a row that is an image, also where x is flat.
        standardisation: what x (and y of a regression) were divided by; None: as they came.
        source: what `load` was told; None where the numbers did not come from it.
        encoding: how a table with categories, dates or missing cells became x; None where it was
            numbers.

    Raises:
        ValueError: an unknown part or task, classes that do not go with the task, or a number of
            class names other than the number of classes.

    Example:
        >>> info = DataInfo("coins", "train", "classification", n=8, classes=2)
        >>> DataInfo.from_dict(info.to_dict()) == info
        True
    """

    name: str
    part: Part
    task: Task
    n: int
    classes: int | None = None
    class_names: tuple[str, ...] | None = None
    feature_names: tuple[str, ...] | None = None
    image_shape: tuple[int, ...] | None = None
    standardisation: Standardisation | None = None
    source: DataSource | None = None
    encoding: TableEncoding | None = None

    def __post_init__(self) -> None:
        if self.part not in get_args(Part):
            raise ValueError(
                f"part must be one of {', '.join(get_args(Part))}, got {shown(self.part)}"
            )
        check_task(self.task)
        object.__setattr__(self, "n", whole_number("n", self.n, 0))
        if (self.classes is None) != (self.task == "regression"):
            raise ValueError(
                "classes must be a number for a classification and None for a regression, "
                f"got {self.classes} for a {self.task}"
            )
        if self.classes is not None:
            object.__setattr__(self, "classes", whole_number("classes", self.classes))
        if self.class_names is not None and len(self.class_names) != self.classes:
            raise ValueError(
                f"class_names must name each of {self.classes} classes, got {len(self.class_names)}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        values: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Standardisation | DataSource | TableEncoding):
                value = value.to_dict()
            values[field.name] = list(value) if isinstance(value, tuple) else value
        return values

    @classmethod
    @typed()
    def from_dict(cls, values: dict[str, Any]) -> DataInfo:
        """The inverse of `to_dict`.

        Raises:
            ValueError: a field without a default is missing, or a value is not a possible one.
        """
        fields = dataclasses.fields(cls)
        missing = [f.name for f in fields if f.default is dataclasses.MISSING]
        missing = [name for name in missing if name not in values]
        if missing:
            raise ValueError(f"stored data info lacks {', '.join(missing)}")
        arguments = {f.name: values[f.name] for f in fields if f.name in values}
        arguments = {n: tuple(v) if isinstance(v, list) else v for n, v in arguments.items()}
        if arguments.get("standardisation") is not None:
            arguments["standardisation"] = Standardisation.from_dict(arguments["standardisation"])
        if arguments.get("encoding") is not None:
            arguments["encoding"] = TableEncoding.from_dict(arguments["encoding"])
        if arguments.get("source") is not None:
            arguments["source"] = DataSource.from_dict(arguments["source"])
        return cls(**arguments)


def check_task(task: str) -> None:
    """Raises ValueError unless task is "classification" or "regression"."""
    if not isinstance(task, str) or task not in get_args(Task):
        raise ValueError(f"task must be one of {', '.join(get_args(Task))}, got {shown(task)}")
