"""A generation as it travels: the immutable set of units and routes that an epoch names.

A unit is *the same object* in two consecutive generations when its `UnitKey` is the same, so
the supervisor alone decides what is shared: a unit whose own content, config and dependencies
are unchanged keeps its `since`, any other gets the candidate's epoch.
"""

import enum
from collections.abc import Iterator
from typing import Literal

import msgspec

from changeover.workers.protocol.assembly import HTTP, Rule, TlsSpec


class UnitKind(enum.Enum):
    """What a unit is, in the order in which kinds are built (and, reversed, torn down)."""

    PLUGIN = "plugin"
    APPLICATION = "application"
    SERVICE = "service"
    PIPELINE = "pipeline"
    CHANNEL = "channel"
    ADDRESSES = "addresses"
    """What a generation is served at: built by nobody, and held after a rollback like a unit."""


class UnitRef(msgspec.Struct, frozen=True, order=True):
    """A unit by name, whichever content it has."""

    kind: UnitKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind.value} {self.name}"


class UnitKey(msgspec.Struct, frozen=True):
    """One instance of a unit, the same in every worker.

    Attributes:
        ref: Kind and name.
        digest: SHA-256 over its content, config and the digests of what it requires, hexadecimal.
        since: The epoch that introduced the instance. Content that went away and came back is a new instance.
    """

    ref: UnitRef
    digest: str
    since: int

    def __str__(self) -> str:
        return f"{self.ref} {self.digest[:6]} since epoch {self.since}"


class PluginSpec(msgspec.Struct, frozen=True, tag="plugin"):
    """A plugin instance: loaded from the store, never from what is being edited.

    Attributes:
        key: Identity; `key.ref.name` is the plugin's id.
        requires: Units that must be initialised before it.
        version: Version from its manifest.
        artifact: Digest that names its files in the artifact store.
        config: Its configuration, MessagePack, to be converted by the plugin's own Struct.
        code: Digest that names the files whose modules run, where only resources differ; empty for `artifact`.
        granted: Capabilities that the configuration grants it, sorted.
        distribution: `name==version` of the installed distribution that it is part of; empty for none. Then `artifact`
            is what was installed, and its modules are those of the environment.
    """

    key: UnitKey
    version: str
    artifact: str
    requires: tuple[UnitRef, ...] = ()
    config: bytes = b"\x80"
    code: str = ""
    granted: tuple[str, ...] = ()
    distribution: str = ""


class Interface(enum.Enum):
    """How an application is called."""

    AUTO = "auto"
    """As its shape says, when it is imported."""
    ASGI = "asgi"
    WSGI = "wsgi"
    NATIVE = "native"
    """As a service of a plugin."""


Preloading = bool | Literal["strict"]
"""Whether an application is imported before workers are forked; `strict` refuses one that starts threads by that."""


class ApplicationSpec(msgspec.Struct, frozen=True, tag="application"):
    """An application instance, imported by `target` from pinned content; `key.ref.name` is its name (`app`).

    Attributes:
        key: Identity.
        target: `module:attribute`.
        directory: Where its files lie, put first on the import path.
        interface: How it is called.
        factory: Whether the attribute makes the application when it is called.
        root_path: Path under which a proxy mounts it.
        requires: Units that must be initialised before it.
        artifact: Digest that names its content in the artifact store; empty for one that is imported from disk.
        preload: Whether it is imported once, before workers are forked; `strict` refuses when that starts threads.
        threads: Most requests that each worker runs it for at the same time, where it is called in threads.
        distributions: Digest that names, in the store, the record of what was installed with it; empty for none.
    """

    key: UnitKey
    target: str
    directory: str
    interface: Interface = Interface.AUTO
    factory: bool = False
    root_path: str = ""
    requires: tuple[UnitRef, ...] = ()
    artifact: str = ""
    distributions: str = ""
    preload: Preloading = True
    threads: int = 4


class ServiceSpec(msgspec.Struct, frozen=True, tag="service"):
    """A service that a plugin provides; `key.ref.name` is `<plugin id>:<service name>`."""

    key: UnitKey
    plugin: str
    service: str
    requires: tuple[UnitRef, ...] = ()


class HandlerRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """A handler that a plugin provides, `<plugin id>:<handler name>` to people, or a ready-made one, by its bare name.

    Attributes:
        plugin: The plugin's id; empty for a ready-made handler.
        handler: The handler's name.
        settings: What a ready-made handler was told, JSON; empty for nothing.
    """

    plugin: str
    handler: str
    settings: bytes = b""

    def __str__(self) -> str:
        return f"{self.plugin}:{self.handler}" if self.plugin else self.handler


class PipelineSpec(msgspec.Struct, frozen=True, tag="pipeline"):
    """Handlers in order, and what answers behind them.

    Attributes:
        key: Identity; `key.ref.name` is the pipeline's name.
        handlers: In request order. Empty is legal.
        target: The service or application that answers; None answers 503 (emptied by removal).
        requires: Every unit named above.
        written: Digest of what the files said of it when it was edited; empty while it serves as they say.
    """

    key: UnitKey
    handlers: tuple[HandlerRef, ...] = ()
    target: UnitRef | None = None
    requires: tuple[UnitRef, ...] = ()
    written: str = ""


class ChannelSpec(msgspec.Struct, frozen=True, tag="channel"):
    """What comes before the first message at an address; `key.ref.name` is the address, as it is configured.

    Attributes:
        key: Identity.
        tls: How TLS is spoken; None for cleartext.
        proxies: Networks whose PROXY header is believed, and expected; empty for none.
        rules: Which connection gets which initializer; the first match counts.
        safe: The initializer of a connection that no rule matches; empty closes it.
        requires: Plugins whose initializers and selectors are named.
    """

    key: UnitKey
    tls: TlsSpec | None = None
    proxies: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = (Rule(),)
    safe: str = ""
    requires: tuple[UnitRef, ...] = ()

    @property
    def is_bare(self) -> bool:
        """Whether nothing comes before the first message, which is HTTP's."""
        return self.tls is None and not self.proxies and self.rules == (Rule(),)

    @property
    def initializers(self) -> tuple[str, ...]:
        """Every initializer of a plugin that is named, once."""
        named = dict.fromkeys((*(rule.initializer for rule in self.rules), self.safe))
        return tuple(name for name in named if name not in ("", HTTP))

    @property
    def selectors(self) -> tuple[str, ...]:
        """Every selector of a plugin that is named, once."""
        return tuple(dict.fromkeys(rule.use for rule in self.rules if rule.use))


UnitSpec = PluginSpec | ApplicationSpec | ServiceSpec | PipelineSpec | ChannelSpec


class Route(msgspec.Struct, frozen=True):
    """What leads to a pipeline. The most specific route that takes a request wins; see `matching`.

    Attributes:
        pipeline: Name of the pipeline.
        path: `/prices` takes itself and everything below it, `/prices/*` what is below it, `=/prices` itself; `/`
            takes everything.
        host: Host name without port, lower case, or `*.shop.example` for every name below a domain; empty takes
            every host.
        mounted: Whether `path` is stripped and becomes the application's root path.
        methods: Methods that it takes, sorted; empty takes every method.
        headers: Header fields, name in lower case and value, that it takes requests with; sorted.
        label: Of connections, as a rule of their channel gives it, that it takes requests of; empty takes those of all.
    """

    pipeline: str
    path: str = "/"
    host: str = ""
    mounted: bool = False
    methods: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    label: str = ""

    def __str__(self) -> str:
        methods = (",".join(self.methods),) if self.methods else ()
        fields = (f"{name}={value}" for name, value in self.headers)
        label = (f"@{self.label}",) if self.label else ()
        return " ".join((*methods, f"{self.host}{self.path}", *fields, *label))


class Interpreter(msgspec.Struct, frozen=True):
    """What executes the processes of a generation.

    Attributes:
        python: Path of its executable; empty for the supervisor's own, whichever that is.
        version: Its version; empty when it is not known.
        configured: Path that the configuration named when it was taken: another one after `reload --python`, or
            after a rollback.
    """

    python: str = ""
    version: str = ""
    configured: str = ""

    def __str__(self) -> str:
        return f"{self.version} ({self.python})"

    def is_other(self, than: "Interpreter") -> bool:
        """Whether only new processes can take it in the place of `than`, as far as both are known."""
        known = bool(self.python and than.python)
        return known and (self.python, self.version) != (than.python, than.version)


OWN = Interpreter()
"""The supervisor's own, whichever that is."""


class PluginBefore(msgspec.Struct, frozen=True):
    """A content of a plugin that served when a candidate was made.

    Attributes:
        id: The plugin's id.
        version: Version from its manifest.
        digest: Its unit's.
        artifact: Digest that names its files; empty where an older supervisor made the candidate.
    """

    id: str
    version: str
    digest: str
    artifact: str = ""


class Snapshot(msgspec.Struct, frozen=True):
    """A whole generation.

    Attributes:
        epoch: The epoch given to it.
        digest: SHA-256 over units and routes: equal digests serve equal content.
        units: In an order in which each comes after what it requires.
        routes: All routes.
        label: The operator's words for it.
        rolled: The epoch whose roll made the processes that can serve it; its own in a roll, and in the first
            generation, which is a roll that replaces nobody.
        interpreter: What executes the processes that serve it.
        listen: Addresses that it is served at, as they are configured; empty where nobody said.
        part: The word of the commit cell that says whether it is committed. A roll in parts changes it, every
            other cutover keeps it, so a worker reads the same word all its life.
        before: Plugins that served when a roll was made of it: what its fresh processes know of what they replace.
        afresh: Whether its plugins may begin without state that those which they replace fail to give: it brings back
            what served, or was forced.
    """

    epoch: int
    digest: str
    units: tuple[UnitSpec, ...] = ()
    routes: tuple[Route, ...] = ()
    label: str = ""
    rolled: int = 0
    interpreter: Interpreter = OWN
    listen: tuple[str, ...] = ()
    part: int = 0
    before: tuple[PluginBefore, ...] = ()
    afresh: bool = False

    @property
    def is_roll(self) -> bool:
        """Whether other processes serve it than served before."""
        return self.rolled == self.epoch

    @property
    def application(self) -> ApplicationSpec | None:
        """The application; None for plugins alone."""
        return next((unit for unit in self.units if isinstance(unit, ApplicationSpec)), None)

    @property
    def channels(self) -> tuple[ChannelSpec, ...]:
        """What comes before the first message, where anything does."""
        return tuple(unit for unit in self.units if isinstance(unit, ChannelSpec))

    def listens_as(self, other: "Snapshot") -> bool:
        """Whether both are served at the same addresses, as far as both say."""
        return not (self.listen and other.listen) or sorted(self.listen) == sorted(other.listen)

    def serves_as(self, other: "Snapshot") -> bool:
        """Whether both serve the same at the same addresses, whenever they began to."""
        return self.digest == other.digest and self.listens_as(other)

    def keys(self) -> frozenset[UnitKey]:
        """The identities of all units."""
        return frozenset(unit.key for unit in self.units)

    def without(self, other: "Snapshot") -> tuple[UnitKey, ...]:
        """The identities of the units that `other` lacks."""
        kept = other.keys()
        return tuple(unit.key for unit in self.units if unit.key not in kept)

    def inconsistencies(self) -> Iterator[str]:
        """Say everything that makes the snapshot contradict itself; nothing when it is sound."""
        seen: set[UnitRef] = set()
        for unit in self.units:
            if unit.key.ref in seen:
                yield f"{unit.key.ref} occurs twice"
            yield from (
                f"{unit.key.ref} comes before {ref}, which it requires" for ref in unit.requires if ref not in seen
            )
            if not 0 < unit.key.since <= self.epoch:
                yield f"{unit.key.ref} is of epoch {unit.key.since}, outside 1 to {self.epoch}"
            seen.add(unit.key.ref)
        for route in self.routes:
            if UnitRef(UnitKind.PIPELINE, route.pipeline) not in seen:
                yield f"route {route} leads to pipeline {route.pipeline}, which does not exist"


EMPTY = Snapshot(epoch=0, digest="")
"""Epoch 0: what a worker holds before the first commit."""
