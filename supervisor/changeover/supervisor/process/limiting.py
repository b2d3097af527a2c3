"""Sets the limits of a zygote, which its workers inherit: from outside, because inside it could raise none any more.

A process that runs as another user can be limited from outside only with CAP_SYS_RESOURCE. Without it there is nothing
to raise either, and the zygote limits itself.
"""

import resource
from collections.abc import Iterable, Iterator
from pathlib import Path

from changeover.supervisor.config.rlimits import Rlimit
from changeover.supervisor.process.errors import ProcessError

STATUS = Path("/proc/self/status")
UIDS = Path("/proc/self/uid_map")
MOST_FILES = Path("/proc/sys/fs/nr_open")
CAP_SYS_RESOURCE = 24
_ALL_UIDS = ["0", "0", str(2**32 - 1)]


class CannotLimit(ProcessError):
    """A limit is above what can be set.

    Attributes:
        limit: Which one.
    """

    def __init__(self, limit: Rlimit, most: int, whose: str, way_out: str) -> None:
        self.limit = limit
        super().__init__(
            f"the limit {limit.name} of workers cannot be raised above {most}, which is {whose}: {way_out}, or ask for "
            "no more"
        )


def refuse_impossible(limits: Iterable[Rlimit]) -> None:
    """Make sure that we may set these limits.

    Raises:
        CannotLimit: We may not.
    """
    for problem in impossible(limits):
        raise problem


def impossible(limits: Iterable[Rlimit]) -> Iterator[CannotLimit]:
    """Those that we may not set."""
    raises = _may_raise()
    for limit in limits:
        _, hard = resource.getrlimit(limit.resource)
        most = int(MOST_FILES.read_text()) if limit.resource == resource.RLIMIT_NOFILE else resource.RLIM_INFINITY
        if limit.exceeds(most):
            yield CannotLimit(limit, most, "the most that this system has", "raise fs.nr_open first (sysctl)")
        elif not raises and limit.exceeds(hard):
            unit, shell = f"Limit{limit.name.upper()}= in a unit of systemd", "`ulimit -H`"
            way_out = f"raise that first ({unit}, {shell})"
            yield CannotLimit(limit, hard, "our own hard limit, without CAP_SYS_RESOURCE", way_out)


def may_limit_others() -> bool:
    """Whether we may limit processes that run as another user."""
    fields = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return bool(int(fields["CapEff"], 16) >> CAP_SYS_RESOURCE & 1)


def _may_raise() -> bool:
    """Whether we may raise hard limits: not in a user namespace, whatever our capabilities."""
    return may_limit_others() and UIDS.read_text().split() == _ALL_UIDS


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
