"""What a record is once it is in words."""

import msgspec

from changeover.supervisor.telemetry.stream import Level


class Worded(msgspec.Struct, frozen=True):
    """A record in words."""

    level: Level
    line: str
