"""What the ready-made handlers can be told, one Struct each, as it stands beside `use` in the configuration. Pure.

Sizes are bytes (written as such or as `"80MB"`, `"64KiB"`), times are seconds (written as such or as `"30s"`, `"5m"`).
The descriptions below are the ones in the documentation, which is generated from them.
"""

import re
from collections.abc import Iterator
from typing import Literal

import msgspec

from changeover.workers.protocol.document import Bytes

Wrong = tuple[str, str]
"""A setting, and what it must be."""

_ORIGIN = re.compile(r"https?://(\*\.)?[^/\s*]+|\*|null")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_TOKEN = "a header's name, such as `x-request-id`"


class HandlerSettings(msgspec.Struct, frozen=True):
    """What a handler can be told: nothing, for one that has no settings."""

    def wrong(self) -> Iterator[Wrong]:
        """Say everything that the settings must not be beyond their types."""
        yield from ()


class RequestId(HandlerSettings, frozen=True):
    """What `request-id` is told.

    Attributes:
        header: Field that carries the id, in requests and in responses.
        accept: Whether an id that the client sends is taken; otherwise, and where it is malformed, one is made.
    """

    header: str = "x-request-id"
    accept: bool = True

    def wrong(self) -> Iterator[Wrong]:
        if not _HEADER.fullmatch(self.header):
            yield "header", f"{self.header!r} must be {_TOKEN}"


class AccessLog(HandlerSettings, frozen=True):
    """What `access-log` is told.

    Attributes:
        logger: Name of the logger that gets one line, at level INFO, for each response; standard error, where the
            application configured no logging.
        format: `text`, or `json` for one object in each line.
        skip: Paths, with everything below them, that are not logged.
    """

    logger: str = "changeover.access"
    format: Literal["text", "json"] = "text"
    skip: tuple[str, ...] = ()

    def wrong(self) -> Iterator[Wrong]:
        if not self.logger:
            yield "logger", "names no logger"
        for index, path in enumerate(self.skip):
            if not path.startswith("/"):
                yield f"skip[{index}]", f"{path!r} must start with `/`"


class Cors(HandlerSettings, frozen=True):
    """What `cors` is told.

    Attributes:
        origins: Whose pages may ask: `https://shop.example`, `https://*.shop.example` for every subdomain, or `*`.
        origin_regex: An expression that a whole origin may match instead.
        methods: What preflights allow.
        headers: Fields that requests may carry beside the harmless ones; `*` for those that are asked for.
        expose: Fields of responses that pages may read.
        credentials: Whether cookies and authorization come along.
        max_age: For how long a browser may remember a preflight.
    """

    origins: tuple[str, ...] = ()
    origin_regex: str = ""
    methods: tuple[str, ...] = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
    headers: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()
    credentials: bool = False
    max_age: float = 600.0

    def wrong(self) -> Iterator[Wrong]:
        if not self.origins and not self.origin_regex:
            yield "origins", "allows nobody: name origins, or an `origin_regex`"
        for index, origin in enumerate(self.origins):
            if not _ORIGIN.fullmatch(origin):
                yield f"origins[{index}]", f"{origin!r} is no origin: scheme and host, such as `https://shop.example`"
        if self.credentials and "*" in self.origins:
            yield "credentials", "browsers take none from `*`: name the origins"
        yield from _expression("origin_regex", self.origin_regex)
        for key, names in (("methods", self.methods), ("headers", self.headers), ("expose", self.expose)):
            for index, name in enumerate(names):
                if not _HEADER.fullmatch(name):
                    yield f"{key}[{index}]", f"{name!r} is no name"


class Errors(HandlerSettings, frozen=True):
    """What `errors` is told.

    Attributes:
        html: Whether a client that prefers HTML, a browser, gets a page.
        type: Prefix of the `type` of problems, which the status is put behind; empty for none.
    """

    html: bool = True
    type: str = ""


class Compression(HandlerSettings, frozen=True):
    """What `compression` is told.

    Attributes:
        encodings: What may be used, the one that is preferred first; those without a library are passed over.
        level: How hard it is tried, 1 to 9.
        min_size: Shorter bodies are sent as they are.
        types: Content types, or their beginnings, that are worth it.
    """

    encodings: tuple[Literal["gzip", "zstd", "br"], ...] = ("zstd", "br", "gzip")
    level: int = 5
    min_size: Bytes = 1024
    types: tuple[str, ...] = (
        "text/",
        "application/json",
        "application/javascript",
        "application/xml",
        "application/problem+json",
        "application/wasm",
        "image/svg+xml",
    )

    def wrong(self) -> Iterator[Wrong]:
        if not self.encodings:
            yield "encodings", "names none"
        if not 1 <= self.level <= 9:
            yield "level", "must be 1 to 9"
        if self.min_size < 0:
            yield "min_size", "must be 0 or more"


class BodyLimit(HandlerSettings, frozen=True):
    """What `body-limit` is told.

    Attributes:
        limit: Longest request body; 413 beyond, also where it turns out only while the body arrives.
    """

    limit: Bytes

    def wrong(self) -> Iterator[Wrong]:
        if self.limit < 0:
            yield "limit", "must be 0 or more"


class RateLimit(HandlerSettings, frozen=True):
    """What `rate-limit` is told.

    Attributes:
        limit: Requests of one client in `per`, in each worker; 429 with Retry-After beyond.
        per: In which time.
        burst: How many may come at once; 0 for as many as `limit`.
        key: What tells clients apart: `client`, the address, or `header:x-api-key`; without the field, the address.
        clients: How many are remembered; beyond, the one that was quiet for longest is forgotten.
    """

    limit: int
    per: float = 1.0
    burst: int = 0
    key: str = "client"
    clients: int = 10_000

    def wrong(self) -> Iterator[Wrong]:
        if self.limit < 1:
            yield "limit", "must be at least 1"
        if self.per <= 0:
            yield "per", "must be above 0"
        if self.burst < 0:
            yield "burst", "must be 0 (as many as `limit`) or more"
        if self.clients < 1:
            yield "clients", "must be at least 1"
        word, colon, name = self.key.partition(":")
        if self.key != "client" and not (word == "header" and colon and _HEADER.fullmatch(name)):
            yield "key", f"{self.key!r} must be `client`, or a field such as `header:x-api-key`"


class ConcurrencyLimit(HandlerSettings, frozen=True):
    """What `concurrency-limit` is told.

    Attributes:
        limit: Requests that are under way at once, in each worker.
        queue: How many more may wait for their turn; 503 with Retry-After beyond.
        wait: How long they may wait.
    """

    limit: int
    queue: int = 0
    wait: float = 1.0

    def wrong(self) -> Iterator[Wrong]:
        if self.limit < 1:
            yield "limit", "must be at least 1"
        if self.queue < 0:
            yield "queue", "must be 0 or more"
        if self.wait <= 0:
            yield "wait", "must be above 0"


class LoadShed(HandlerSettings, frozen=True):
    """What `load-shed` is told.

    Attributes:
        not_ready: Shedding starts when what is behind was not ready so many times within `window`; 0 = never by that.
        window: Within which time.
        clogged: Shedding starts while so many responses wait for clients that do not take them; 0 = never by that.
        waiting: Shedding starts while so many requests wait for a thread of a WSGI application; 0 = never by that.
        rest: For so long all requests are answered with 503; then one is let through, and again one each time that
            nothing was heard of it for so long, until one is answered.
    """

    not_ready: int = 10
    window: float = 1.0
    clogged: int = 0
    waiting: int = 0
    rest: float = 1.0

    def wrong(self) -> Iterator[Wrong]:
        if self.not_ready < 0:
            yield "not_ready", "must be 0 (never) or more"
        if self.clogged < 0:
            yield "clogged", "must be 0 (never) or more"
        if self.waiting < 0:
            yield "waiting", "must be 0 (never) or more"
        if not (self.not_ready or self.clogged or self.waiting):
            yield "not_ready", "nothing starts it: set this, `clogged` or `waiting`"
        if self.window <= 0:
            yield "window", "must be above 0"
        if self.rest <= 0:
            yield "rest", "must be above 0"


class Timeout(HandlerSettings, frozen=True):
    """What `timeout` is told.

    Attributes:
        after: How long a request may take until its response begins, or its WebSocket is accepted; 504 beyond. What is
            behind sees it as its deadline.
    """

    after: float = 30.0

    def wrong(self) -> Iterator[Wrong]:
        if self.after <= 0:
            yield "after", "must be above 0"


class Retry(HandlerSettings, frozen=True):
    """What `retry` is told.

    Attributes:
        attempts: How often a request is tried at most, the first time included, while what is behind is not ready.
        first: About how long to wait before the second; each wait is about twice the one before.
        longest: The longest wait.
        budget: How long all of it may take where the request has no deadline.
    """

    attempts: int = 3
    first: float = 0.05
    longest: float = 1.0
    budget: float = 2.0

    def wrong(self) -> Iterator[Wrong]:
        if self.attempts < 2:
            yield "attempts", "must be at least 2"
        for key, value in (("first", self.first), ("longest", self.longest), ("budget", self.budget)):
            if value <= 0:
                yield key, "must be above 0"
        if self.longest < self.first:
            yield "longest", "must not be shorter than `first`"


def _expression(key: str, written: str) -> Iterator[Wrong]:
    try:
        re.compile(written)
    except re.error as error:
        yield key, f"no regular expression: {error}"
