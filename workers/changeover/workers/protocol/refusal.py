"""A "no" with everything a person needs to act on it."""

import enum

import msgspec


class Stage(enum.Enum):
    """How far a candidate came before it was refused."""

    SCAN = "scan"
    PREFLIGHT = "preflight"
    LOAD = "load"
    LINK = "link"
    INITIALISE = "initialise"
    PREPARE = "prepare"
    COMMIT = "commit"


class Fault(enum.Enum):
    """Whose fault a refusal is; decides what is tried again."""

    CONFIG = "config"
    CONTRACT = "contract"
    CAPABILITY = "capability"
    RESOURCE = "resource"
    TIMEOUT = "timeout"
    CRASH = "crash"
    INTERNAL = "internal"

    @property
    def transient(self) -> bool:
        """Whether the same content may pass later, without anybody changing it."""
        return self in (Fault.TIMEOUT, Fault.RESOURCE)


class Refusal(msgspec.Struct, frozen=True):
    """Why a candidate was refused.

    Attributes:
        stage: How far it came.
        fault: Whose fault it is.
        summary: One line, the exception's own words where there is one.
        unit: The unit that refused, as its `UnitRef` reads (`plugin pricing`); empty when it is the whole candidate.
        hook: The hook that was running, empty when none was.
        where: `file:line` in the user's own code, empty when unknown.
        source: The line of code at `where`.
        traceback: The whole traceback, or all stacks of a process that could not speak.
        output: The end of what its process wrote, where that is kept apart: in a preflight.
        requires: What the unit requires and is refused for, as its `UnitRef` reads; empty for none.
    """

    stage: Stage
    fault: Fault
    summary: str
    unit: str = ""
    hook: str = ""
    where: str = ""
    source: str = ""
    traceback: str = ""
    output: str = ""
    requires: str = ""

    @property
    def placed(self) -> str:
        """The summary, and where it happened in brackets."""
        return self.summary + (f" ({self.where})" if self.where else "")

    @property
    def line(self) -> str:
        """All of it in one line: `plugin pricing on_load: TimeoutError: ... (plugins/pricing.py:41)`."""
        subject = " ".join(part for part in (self.unit, self.hook) if part)
        return f"{subject}: {self.placed}" if subject else self.placed

    def __post_init__(self) -> None:
        """Escape what UTF-8 cannot carry: names of files and words of exceptions are anybody's."""
        for field in ("summary", "unit", "hook", "where", "source", "traceback", "output", "requires"):
            text = getattr(self, field)
            carried = text.encode("utf-8", "backslashreplace").decode()
            if carried != text:
                msgspec.structs.force_setattr(self, field, carried)
