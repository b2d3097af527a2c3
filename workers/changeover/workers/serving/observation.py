"""Who hears of what happens in pipelines, and how to tell: the seam that handlers and connections note events at."""

from typing import Protocol

from changeover.workers.protocol.observed import PipelineEvent, PipelineEventKind

__all__ = ["NOBODY", "Nobody", "Observer", "PipelineEvent", "PipelineEventKind"]


class Observer(Protocol):
    """Hears of events; may be told on the loop's thread only, as often as they happen."""

    def note(self, event: PipelineEvent) -> None:
        """Take note of an event; never waits and never raises."""


class Nobody:
    """Hears nothing."""

    def note(self, event: PipelineEvent) -> None:
        """See `Observer`."""


NOBODY: Observer = Nobody()
"""Where nobody observes: outside a server, and in tests that are about something else."""
