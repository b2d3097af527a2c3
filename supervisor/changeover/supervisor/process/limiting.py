"""Sets the limits of a zygote, which its workers inherit: from outside, because inside it could raise none any more."""

import resource
from collections.abc import Iterable
from pathlib import Path

from changeover.supervisor.config.rlimits import Rlimit
from changeover.supervisor.process.errors import ProcessError

STATUS = Path("/proc/self/status")
CAP_SYS_RESOURCE = 24


class CannotLimit(ProcessError):
    """A limit is above what we may set.

    Attributes:
        limit: Which one.
    """

    def __init__(self, limit: Rlimit, hard: int) -> None:
        self.limit = limit
        super().__init__(
            f"the limit {limit.name} of workers cannot be raised above {hard}, which is our own hard limit, without "
            f"CAP_SYS_RESOURCE: raise that first (Limit{limit.name.upper()}= in a unit of systemd, `ulimit -H`)"
        )


def refuse_impossible(limits: Iterable[Rlimit]) -> None:
    """Make sure that we may set these limits.

    Raises:
        CannotLimit: We may not.
    """
    if may_raise():
        return
    for limit in limits:
        _, hard = resource.getrlimit(limit.resource)
        if limit.exceeds(hard):
            raise CannotLimit(limit, hard)


def may_raise() -> bool:
    """Whether we may raise hard limits."""
    fields = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return bool(int(fields["CapEff"], 16) >> CAP_SYS_RESOURCE & 1)


def limit_process(pid: int, limits: Iterable[Rlimit]) -> None:
    """Set the limits of a process.

    Raises:
        OSError: The system refuses one; the message names it.
    """
    for limit in limits:
        try:
            resource.prlimit(pid, limit.resource, (limit.soft, limit.hard))
        except (OSError, ValueError) as error:
            raise OSError(f"its limit {limit.name} cannot be set to {limit.soft}:{limit.hard}: {error}") from error
