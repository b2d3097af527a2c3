"""ASGI 3 applications as what stands at the end of a pipeline."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiCallable = Callable[[Scope, Receive, Send], Awaitable[None]]


class Application:
    """One application instance with its lifespan; shared by the generations that contain it.

    Args:
        name: The unit's name, for messages.
        call: The ASGI 3 callable.
        root_path: Prefix that a proxy in front strips.

    Attributes:
        state: What its lifespan left for requests; copied for each.
    """

    def __init__(self, name: str, call: AsgiCallable, root_path: str = "") -> None:
        self.name = name
        self.call = call
        self.root_path = root_path
        self.state: dict[str, Any] = {}

    async def start(self, deadline: float) -> None:
        """Run the lifespan's startup; an application without one is started at once.

        Args:
            deadline: Seconds.

        Raises:
            LifespanFailed: The application refused to start, raised, or took longer.
        """
        raise NotImplementedError

    async def stop(self, deadline: float) -> None:
        """Run the lifespan's shutdown. Does nothing when it was not started, or stopped before.

        Args:
            deadline: Seconds.

        Raises:
            LifespanFailed: The application raised, or took longer; it is ended all the same.
        """
        raise NotImplementedError
