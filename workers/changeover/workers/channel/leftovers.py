"""What is left of connections that another process goes on with: transports that nobody reads or writes."""

import asyncio
from collections.abc import Set

from changeover.workers.channel.connection import Connection

LATER = 0.03
"""Seconds after which a transport is closed: clients wait for who is to answer them, and closing takes the processor
for as long as parting does."""
MOST = 128
"""How many wait for that: each has a descriptor."""


class Leftovers:
    """Closes transports a little later, together."""

    __slots__ = ("_connections",)

    def __init__(self) -> None:
        self._connections: set[Connection] = set()

    def without(self, connections: Set[Connection]) -> Set[Connection]:
        """All of `connections` that are none of these."""
        return connections - self._connections

    def add(self, connection: Connection) -> None:
        """Close it later."""
        if not self._connections:
            asyncio.get_running_loop().call_later(LATER, self.close)
        self._connections.add(connection)
        if len(self._connections) >= MOST:
            self.close()

    def close(self) -> None:
        """Close those that wait now: somebody needs their descriptors."""
        connections, self._connections = self._connections, set()
        for connection in connections:
            connection.abort()
