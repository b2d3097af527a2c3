"""What a process that loads one plugin for its author is told, and what it answers."""

import msgspec

from changeover.workers.protocol.refusal import Refusal

PROGRAM = "changeover.workers.generation.trial"
"""The module that such a process runs; its arguments are descriptors of two files: the `Trial`, and the `Tried`."""


class Trial(msgspec.Struct, frozen=True):
    """A plugin to load.

    Attributes:
        plugin: Its folder or file.
        config: Its configuration, MessagePack.
        beside: Folder or file of each plugin that it requires -> its configuration.
        hook: Seconds for one hook, one import, or one lifespan's startup.
    """

    plugin: str
    config: bytes
    beside: dict[str, bytes] = {}
    hook: float = 30.0


class Tried(msgspec.Struct, frozen=True):
    """How it went. What wrote it is not trusted.

    Attributes:
        refusal: Why it does not load; None when it does.
        reason: Why it could not even be tried; empty when it could.
        caveats: What becomes of its state, where its author may not expect that.
    """

    refusal: Refusal | None = None
    reason: str = ""
    caveats: tuple[str, ...] = ()
