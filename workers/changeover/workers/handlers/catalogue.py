"""Which ready-made handlers there are, where each belongs, and what it can be told. Pure.

The supervisor checks a configuration against this, and imports no handler for it.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from changeover.workers.errors import ChangeoverError
from changeover.workers.handlers import settings
from changeover.workers.handlers.settings import HandlerSettings
from changeover.workers.plugins.manifest import Direction, Handler, HandlerPhase
from changeover.workers.protocol.document import Mistake, nearest, read
from changeover.workers.protocol.snapshot import HandlerRef

S = TypeVar("S", bound=HandlerSettings)


class ReadyMade(msgspec.Struct, frozen=True):
    """One ready-made handler.

    Attributes:
        name: What configurations call it.
        directions: Which ways it sees; one that sees in and out is two parts in a pipeline with one state.
        phase: Where it belongs.
        settings: What it can be told.
        summary: One line for people.
        after: Ready-made handlers that must come before it where both are in one pipeline and phase.
    """

    name: str
    directions: tuple[Direction, ...]
    phase: HandlerPhase
    settings: type[HandlerSettings]
    summary: str
    after: tuple[str, ...] = ()

    @property
    def declared(self) -> Handler:
        """What a plugin's manifest would say of it."""
        return Handler(self.directions[0], self.phase, self.after)


class NotReadyMade(ChangeoverError):
    """A snapshot names a ready-made handler, or settings of one, that this program does not know.

    Attributes:
        ref: What is named.
    """

    def __init__(self, ref: HandlerRef, fact: str) -> None:
        self.ref = ref
        super().__init__(f"ready-made handler {ref.handler}: {fact}")


_IN, _OUT, _AROUND = Direction
_BOTH = (_IN, _OUT)
_SECURITY, _CODEC, _LIMIT, _ = HandlerPhase

CATALOGUE: Mapping[str, ReadyMade] = {
    each.name: each
    for each in (
        ReadyMade("request-id", _BOTH, _SECURITY, settings.RequestId, "Gives each request an id."),
        ReadyMade("access-log", _BOTH, _SECURITY, settings.AccessLog, "Logs each response.", ("request-id",)),
        ReadyMade("cors", _BOTH, _SECURITY, settings.Cors, "Lets pages of other origins ask.", ("access-log",)),
        ReadyMade("compression", (_AROUND,), _CODEC, settings.Compression, "Compresses responses."),
        ReadyMade(
            "errors",
            (_AROUND, _OUT),
            _CODEC,
            settings.Errors,
            "Words errors as `application/problem+json`, or as a page.",
            ("compression",),
        ),
        ReadyMade("rate-limit", (_IN,), _LIMIT, settings.RateLimit, "Bounds the requests of each client in a time."),
        ReadyMade("body-limit", (_AROUND,), _LIMIT, settings.BodyLimit, "Bounds the request's body."),
        ReadyMade("timeout", (_AROUND,), _LIMIT, settings.Timeout, "Bounds the time until the response begins."),
        ReadyMade("load-shed", (_AROUND,), _LIMIT, settings.LoadShed, "Refuses early while what is behind is ill."),
        ReadyMade(
            "retry", (_AROUND,), _LIMIT, settings.Retry, "Tries again what was not ready.", ("timeout", "load-shed")
        ),
        ReadyMade("concurrency-limit", (_AROUND,), _LIMIT, settings.ConcurrencyLimit, "Bounds the requests under way."),
    )
}
"""Name -> handler, in an order that pipelines may have."""


def mistakes_of(name: str, written: Mapping[str, Any], path: str) -> list[Mistake]:
    """Say everything that is wrong with a ready-made handler as it is configured.

    Args:
        name: What stands at `use`.
        written: What stands beside it.
        path: Where, for messages.
    """
    known = CATALOGUE.get(name)
    if known is None:
        fact = f"there is no ready-made handler {name!r}{nearest(name, CATALOGUE)}"
        return [Mistake(path, f"{fact}; a plugin's is written like `plugin:handler`")]
    found: list[Mistake] = []
    _read(written, known.settings, found, path)
    return found


def settings_of(ref: HandlerRef, shape: type[S]) -> S:
    """The settings of a ready-made handler in a snapshot.

    Raises:
        NotReadyMade: They are not those of this program's handler.
    """
    written = msgspec.json.decode(ref.settings, type=dict[str, Any]) if ref.settings else {}
    found: list[Mistake] = []
    value = _read(written, shape, found, "$")
    if value is None:
        raise NotReadyMade(ref, "; ".join(map(str, found)))
    return value


def _read(written: Mapping[str, Any], shape: type[S], found: list[Mistake], path: str) -> S | None:
    value = read(written, shape, found, path)
    wrong = [] if value is None else [Mistake(f"{path}.{key}", message) for key, message in value.wrong()]
    found += wrong
    return None if wrong else value
