"""Why a step is not traced."""


class NotTraceableError(Exception):
    """Why a step of a model must not be traced: it would be trained otherwise."""
