"""The one base of every error about the operating system's objects that the supervisor holds."""

from changeover.workers.errors import ChangeoverError


class ProcessError(ChangeoverError):
    """Something of the operating system's is not as the supervisor needs it."""
