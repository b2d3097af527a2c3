"""Ready-made handlers as parts of pipelines.

What such a handler remembers (counts, who waits) belongs to its pipeline's name and to its settings: while any
generation that lives here has both, all of them have the same instance. So a plugin that is swapped beside it resets
nothing.
"""

from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakValueDictionary

from changeover.workers.handlers.access_log import AccessLogs
from changeover.workers.handlers.body_limit import BodyLimits
from changeover.workers.handlers.catalogue import CATALOGUE, NotReadyMade, settings_of
from changeover.workers.handlers.compression import Compressions
from changeover.workers.handlers.concurrency_limit import ConcurrencyLimits
from changeover.workers.handlers.cors import CrossOrigins
from changeover.workers.handlers.errors import ProblemErrors
from changeover.workers.handlers.load_shed import LoadSheds
from changeover.workers.handlers.rate_limit import RateLimits
from changeover.workers.handlers.request_id import RequestIds
from changeover.workers.handlers.retry import Retries
from changeover.workers.handlers.timeout import Timeouts
from changeover.workers.protocol.snapshot import HandlerRef
from changeover.workers.serving.handlers import Handler, kind_of

MAKERS: dict[str, Callable[[Any], object]] = {
    "request-id": RequestIds,
    "access-log": AccessLogs,
    "cors": CrossOrigins,
    "compression": Compressions,
    "errors": ProblemErrors,
    "rate-limit": RateLimits,
    "body-limit": BodyLimits,
    "timeout": Timeouts,
    "load-shed": LoadSheds,
    "retry": Retries,
    "concurrency-limit": ConcurrencyLimits,
}
"""Name in the catalogue -> what makes its instance out of its settings."""


class ReadyMadeHandlers:
    """The instances that live in this worker."""

    def __init__(self) -> None:
        self._instances: WeakValueDictionary[tuple[str, HandlerRef], object] = WeakValueDictionary()

    def parts(self, pipeline: str, ref: HandlerRef) -> tuple[Handler, ...]:
        """What a ready-made handler is in a pipeline.

        Args:
            pipeline: The pipeline's name.
            ref: The handler, with its settings.

        Raises:
            NotReadyMade: This program has no such handler, or it has other settings.
        """
        instance = self._instances.get((pipeline, ref))
        if instance is None:
            instance = self._instances[pipeline, ref] = _make(ref)
        return tuple(_parts(ref, instance))

    def __len__(self) -> int:
        return len(self._instances)


def _make(ref: HandlerRef) -> object:
    known = CATALOGUE.get(ref.handler)
    if known is None:
        raise NotReadyMade(ref, "this program has none of that name")
    return MAKERS[ref.handler](settings_of(ref, known.settings))


def _parts(ref: HandlerRef, instance: object) -> Iterator[Handler]:
    phase = CATALOGUE[ref.handler].phase.value
    for attribute, value in vars(type(instance)).items():
        kind = kind_of(value)
        if kind is not None:
            yield Handler(str(ref), kind, getattr(instance, attribute), phase)
