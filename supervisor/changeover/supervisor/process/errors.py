"""The one base of every error about the operating system's objects that the supervisor holds."""

from changeover.supervisor.errors import SupervisorError


class ProcessError(SupervisorError):
    """Something of the operating system's is not as the supervisor needs it."""
