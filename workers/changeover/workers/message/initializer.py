"""Makes connections of raw protocols of accepted sockets."""

from collections.abc import Callable

from changeover.workers.channel.connection import Connection, Owner
from changeover.workers.message.connection import MessageConnection
from changeover.workers.message.site import MessageSite
from changeover.workers.serving.handshake import HandshakeOutcome


class MessageInitializer:
    """One initializer of a plugin, in whatever generation serves.

    Args:
        site: What its connections have in common with others.
        name: `plugin:initializer`.
    """

    def __init__(self, site: MessageSite, name: str) -> None:
        self._site = site
        self._name = name

    def protocol(
        self, owner: Owner, opened: Callable[[Connection], None], outcome: HandshakeOutcome | None = None
    ) -> MessageConnection:
        """See `Initializer`."""
        return MessageConnection(self._site, self._name, owner, opened, outcome)

    def refresh(self) -> None:
        """See `Initializer`: nothing goes stale."""

    def stop(self) -> None:
        """See `Initializer`."""
        self._site.stopping = True


class MessageInitializers:
    """All of them.

    Args:
        site: What their connections have in common.
    """

    def __init__(self, site: MessageSite) -> None:
        self._site = site

    def called(self, name: str) -> MessageInitializer:
        """See `Initializers`."""
        return MessageInitializer(self._site, name)

    def stop(self) -> None:
        """See `Initializers`."""
        self._site.stopping = True
