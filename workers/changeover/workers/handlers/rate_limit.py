"""`rate-limit`: bounds the requests of each client in a time, in each worker."""

import asyncio
import hashlib
import math
from collections import OrderedDict

from changeover.plugin import CallContext, Request, Response, inbound
from changeover.workers.handlers.settings import RateLimit

LONGEST_KEY = 64
"""Longer values of a field are remembered by their digest: what is kept of a client is bounded."""


class Buckets:
    """Token buckets of bounded number. Pure.

    Args:
        size: Tokens in a full bucket.
        rate: Tokens that come back in a second.
        most: Buckets that are kept; one that is forgotten counts as full.
    """

    def __init__(self, size: int, rate: float, most: int) -> None:
        self._size = size
        self._rate = rate
        self._most = most
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now: float) -> float:
        """Take a token.

        Returns:
            0 when there was one, else the seconds until there is one.
        """
        left, filled = self._buckets.get(key, (float(self._size), now))
        left = min(self._size, left + (now - filled) * self._rate)
        taken = left >= 1
        self._buckets[key] = (left - 1 if taken else left, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return 0.0 if taken else (1 - left) / self._rate

    def __len__(self) -> int:
        return len(self._buckets)


class RateLimits:
    """Answers with 429 who asks too often.

    Args:
        settings: As configured.
    """

    def __init__(self, settings: RateLimit) -> None:
        self._field = settings.key.partition(":")[2]
        rate = settings.limit / settings.per
        self.buckets = Buckets(settings.burst or settings.limit, rate, settings.clients)

    @inbound
    def bound(self, request: Request, call: CallContext) -> Response | None:
        """Let a request through, or say when to come again."""
        wait = self.buckets.take(self._key(request), asyncio.get_running_loop().time())
        if not wait:
            return None
        response = Response.problem(429, "Too many requests", "you ask more often than you may")
        response.headers["retry-after"] = str(math.ceil(wait))
        return response

    def _key(self, request: Request) -> str:
        value = request.headers.get(self._field, "") if self._field else ""
        if value:
            short = len(value) <= LONGEST_KEY
            return f"field {value if short else hashlib.sha256(value.encode()).hexdigest()}"
        return request.client[0] if request.client else ""
