"""Ends units in reverse build order, each exactly once."""

import asyncio
from collections.abc import Callable, Iterable

from changeover.workers.generation.units import Unit
from changeover.workers.plugins.refused import Site, refusal_of
from changeover.workers.protocol.refusal import Refusal, Stage

OnDegraded = Callable[[Refusal], None]


async def end(units: Iterable[Unit], on_degraded: OnDegraded) -> None:
    """End units in the reverse of the order given; no failure keeps the others from their end."""
    for unit in reversed(list(units)):
        try:
            told = await unit.end()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - the others must end all the same, and the failure is reported
            told = refusal_of(error, Site(Stage.COMMIT, str(unit.key.ref)))
        if told is not None:
            on_degraded(told)
