"""Loads applications named as `module:attribute`, and says what to do when it cannot."""

from pathlib import Path

from changeover.workers.errors import ChangeoverError
from changeover.workers.serving.asgi import AsgiCallable


class ApplicationNotLoaded(ChangeoverError):
    """An application could not be loaded; the message says what to do.

    Attributes:
        target: What was asked for.
    """

    def __init__(self, target: str, message: str) -> None:
        self.target = target
        super().__init__(message)


def load(target: str, *, directory: Path | None = None, factory: bool = False) -> AsgiCallable:
    """Import the application that `target` names.

    Args:
        target: `module:attribute`, attributes may be dotted.
        directory: Put in front of `sys.path` when it is not on it.
        factory: Whether the attribute is called, without arguments, to make the application.

    Raises:
        ApplicationNotLoaded: The target is malformed, its module or attribute does not exist, or it is no ASGI 3
            application. An error raised by the module itself is let through as it is.
    """
    raise NotImplementedError


def asgi3(value: object, name: str) -> AsgiCallable:
    """`value` as an ASGI 3 callable.

    Raises:
        ApplicationNotLoaded: It looks like something else; the message says like what.
    """
    raise NotImplementedError
