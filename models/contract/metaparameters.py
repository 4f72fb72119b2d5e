"""What a model says of the numbers that one fit may be over."""

from __future__ import annotations


class Metaparameters:
    """The part of :class:`~bayesnas.models.base.BayesianModel` on metaparameters: none by default.

    A metaparameter is an argument of the constructor, a number that a buffer holds. Like what
    follows a schedule it is written in place: so it is an input of a traced step, and saved with
    the model.
    """

    def metaparameters(self) -> tuple[str, ...]:
        """Names of the numbers that :meth:`set_metaparameter` takes."""
        return ()

    def set_metaparameter(self, name: str, value: float) -> None:
        """Give a metaparameter another value, in place.

        Args:
            name: one of :meth:`metaparameters`.
            value: as the constructor takes it.

        Raises:
            ValueError: for a name the model does not have, or a value that the constructor refuses.
        """
        raise ValueError(
            f"{type(self).__name__} has no metaparameter {name!r}, only "
            f"{list(self.metaparameters())}"
        )
