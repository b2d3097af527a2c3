"""Steps of the core at which no supervisor is killed on purpose, and why; a test finds a step that is in no list."""

from collections.abc import Iterator
from types import UnionType
from typing import Any, get_args

from changeover.supervisor.core import effects, entries, events
from changeover.workers.protocol import messages

_TOLD = "tells somebody, or counts: nothing is decided by it, and nothing waits for it"
_TIME = "time alone: what the end of a wait sets off are steps of their own"
_NOTHING = "nothing is on disk of the cutover yet: `before Scan` and `before write EpochGiven` are its neighbours"
_START = "nothing was done yet: `before write TermBegun` is its neighbour"
_DISK = "only where a disk fails, or a journal was put back: the simulation kills there"
_MISHAP = "only where another process fails first, or is silent: two at a time are for `make chaos`"
_ELSE = "no step of a cutover: scaling, stops and upgrades have stories of their own"

EXEMPT: dict[str, str] = {
    **dict.fromkeys(("Tell", "Resolve", "Answer", "Asked", "TakeCounts", "hear Counted", "hear Beat"), _TOLD),
    **dict.fromkeys(("hear LeasesEnded", "hear FarewellsSaid", "hear PipelineEventsTold", "hear Degraded"), _TOLD),
    **dict.fromkeys(("hear Proved", "hear HookStalled", "hear StateNotTaken", "hear PluginsMoved"), _TOLD),
    **dict.fromkeys(("send Pulse", "send AskRegistry", "send AskLeases", "send AskPipelines"), _TOLD),
    **dict.fromkeys(("send AskPlugins", "send AskLeaks", "hear TellRegistry", "hear TellLeases"), _TOLD),
    **dict.fromkeys(("hear TellPipelines", "hear TellLeaks", "hear TellPlugins"), _TOLD),
    **dict.fromkeys(("SetTimer", "CancelTimer", "TimerFired"), _TIME),
    **dict.fromkeys(("CutoverRequested", "Scanned"), _NOTHING),
    "Booted": _START,
    **dict.fromkeys(("PersistFailed", "Reread", "RereadFailed", "write EpochRaised", "EpochRaised written"), _DISK),
    **dict.fromkeys(("DumpStacks", "StacksDumped", "ForkFailed", "Hold", "EndPreflight", "PreflightSkipped"), _MISHAP),
    **dict.fromkeys(("ScaleRequested", "StopRequested", "Exit", "UpgradeRequested", "UpgradeDecided"), _ELSE),
    **dict.fromkeys(("RehearseImage", "ExecuteImage", "ImageRehearsed", "ImageRefused"), _ELSE),
}
"""Step -> why."""

_SPELLED_OUT = ("Persist", "Broadcast", "Unicast", "Persisted", "Received")
"""They are as many steps as there are entries, or messages."""


def steps() -> frozenset[str]:
    """Every step that the core has: what it can want done, and what it can hear."""
    plain = (each.__name__ for base in (effects.Effect, events.Event) for each in base.__subclasses__())
    return frozenset(
        (
            *(name for name in plain if name not in _SPELLED_OUT),
            *(f"write {name}" for name in _names(entries.JournalEntry)),
            *(f"{name} written" for name in _names(entries.JournalEntry)),
            *(f"send {name}" for name in _names(messages.SupervisorMessage)),
            *(f"hear {name}" for name in _names(messages.WorkerMessage)),
        )
    )


def _names(union: UnionType | Any) -> Iterator[str]:
    return (each.__name__ for each in get_args(union))
