"""The last upgrade that was refused, as people see it."""

import msgspec

from changeover.supervisor.core.entries import Origin


class RefusedUpgrade(msgspec.Struct, frozen=True):
    """An upgrade of the supervisor that did not come about.

    Attributes:
        at: When it was refused, wall clock.
        origin: Who asked for it.
        python: The interpreter that was to run the new program; empty for the one that runs this one.
        reason: Why.
    """

    at: float
    origin: Origin
    python: str
    reason: str
