"""How a changed setting comes to be in force. Pure."""

import enum

from changeover.supervisor.config.sources import KeyPath


class Change(enum.Enum):
    """What a setting needs."""

    SWAP = "swap"
    """A reload, in the workers that live."""
    ROLL = "roll"
    """A reload, which makes new workers."""
    RESTART = "restart"
    """The end of this supervisor and the start of another: a reload names it and leaves it as it is."""


BY_AREA = {
    **dict.fromkeys(("plugins", "pipelines", "watch", "tls", "channels", "proxies"), Change.SWAP),
    "app": Change.ROLL,
}
"""The first part of a key -> what its settings need."""
BY_KEY = {("bind",): Change.ROLL, ("python",): Change.ROLL, ("app", "reload"): Change.SWAP}
"""Settings that differ from their area."""


def change_of(key: KeyPath) -> Change:
    """What a setting needs."""
    return BY_KEY.get(key, BY_AREA.get(key[0], Change.RESTART))
