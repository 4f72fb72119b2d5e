"""The parts of a data set together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from bayesnas.data.info import DataInfo
from bayesnas.data.split import AnyPart, Split
from bayesnas.typed import typed

if TYPE_CHECKING:  # Python has defaults from 3.13 on
    from typing_extensions import TypeVar

    PartT = TypeVar("PartT", bound=AnyPart, default="Split")
else:
    from typing import TypeVar

    PartT = TypeVar("PartT")


@typed()
@dataclass(frozen=True, eq=False)
class DataSet(Generic[PartT]):
    """A data set in parts, in memory, or of `load_streamed` read when they are needed.

    Args:
        name: of the data set.
        train: what is fitted to.
        validation: what early stopping looks at; None where there is no such part.
        test: what results are reported on; None where there is no such part.

    Raises:
        TypeError: naming an argument of another type.

    Example:
        >>> import bayesnas.data
        >>> data = bayesnas.data.load("digits", validation=0.1)
        >>> len(data.train), len(data.validation), len(data.test)
        (1257, 180, 360)
    """

    name: str
    train: PartT
    validation: PartT | None = None
    test: PartT | None = None

    @property
    def info(self) -> DataInfo:
        """What is known of the training part."""
        return self.train.info

    def reconstructing(self) -> DataSet[PartT]:
        """The same parts, in which every example is its own target: what autoencoders fit.

        Example:
            >>> import bayesnas.data
            >>> data = bayesnas.data.load("digits").reconstructing()
            >>> data.test.y.shape, data.info.task
            (torch.Size([360, 64]), 'regression')
        """
        return DataSet(
            self.name,
            self.train.reconstructing(),
            None if self.validation is None else self.validation.reconstructing(),
            None if self.test is None else self.test.reconstructing(),
        )
