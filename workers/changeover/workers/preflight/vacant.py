"""Keeps the place of an application in a rehearsal that is not for it: answers nothing, and has no lifespan."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]


async def application(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Do not serve."""
    raise NotImplementedError(f"nobody serves {scope['type']} in a rehearsal")
