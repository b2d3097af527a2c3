"""The one base of every error about replacing the supervisor's program."""

from changeover.supervisor.errors import SupervisorError


class UpgradeError(SupervisorError):
    """The supervisor's program cannot be replaced; the one that runs goes on."""


class ImageUnfit(UpgradeError):
    """The new program cannot take over.

    Attributes:
        python: The interpreter that was to run it.
        reason: Why not, and what to do.
    """

    def __init__(self, python: str, reason: str) -> None:
        self.python = python
        self.reason = reason
        super().__init__(f"the program that {python} would run cannot take over: {reason}")


class NotExecuted(UpgradeError):
    """The system does not let us become the new program.

    Attributes:
        python: The interpreter that was to run it.
        reason: The system's words.
    """

    def __init__(self, python: str, reason: str) -> None:
        self.python = python
        self.reason = reason
        super().__init__(f"{python} cannot be executed: {reason}")
