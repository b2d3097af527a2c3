"""The base of the errors that the control plane raises on purpose."""

from changeover.workers.errors import ChangeoverError


class SupervisorError(ChangeoverError):
    """A fact that the control plane ran into and can name."""
