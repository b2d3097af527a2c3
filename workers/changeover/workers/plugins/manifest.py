"""What a plugin says about itself, once it was read and found sound: its manifest, and the parts of it."""

import enum

import msgspec
from packaging.version import Version

MANIFEST = "plugin.toml"
"""Name of the manifest in a plugin's folder."""
API = Version("1.0")
"""The plugin API that this version offers; a manifest's `api` range must admit it."""
RESERVED = frozenset({"app", "dir", "reload"})
"""Ids that the configuration uses for something else."""


class Direction(enum.Enum):
    """Which way through a pipeline a handler sees."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    AROUND = "around"


class HandlerPhase(enum.Enum):
    """Where in a pipeline a handler belongs; phases follow each other in this order."""

    SECURITY = "security"
    CODEC = "codec"
    LIMIT = "limit"
    APP = "app"


class ServiceInterface(enum.Enum):
    """How a service is called."""

    NATIVE = "native"
    ASGI = "asgi"
    WSGI = "wsgi"


class Handler(msgspec.Struct, frozen=True):
    """A handler that the plugin offers to pipelines.

    Attributes:
        direction: Which way it sees.
        phase: Where it belongs.
        after: Handlers (`auth`, `authz:auth`) that must come before it where both are in one pipeline.
        before: Handlers that must come after it.
        entry: `module:name`; empty for the attribute of the handler's own name (see `Manifest.entry`).
    """

    direction: Direction
    phase: HandlerPhase = HandlerPhase.APP
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    entry: str = ""


class ServiceDeclaration(msgspec.Struct, frozen=True):
    """A service that the plugin offers.

    Attributes:
        entry: `module:name`; empty for the attribute of the service's own name (see `Manifest.entry`).
        interface: How it is called.
        mount: The path that the plugin proposes; empty for none.
    """

    entry: str = ""
    interface: ServiceInterface = ServiceInterface.NATIVE
    mount: str = ""


class InitializerDeclaration(msgspec.Struct, frozen=True):
    """An initializer that the plugin offers to channels.

    Attributes:
        entry: `module:name`; empty for the attribute of the initializer's own name (see `Manifest.entry`).
    """

    entry: str = ""


class Resource(msgspec.Struct, frozen=True):
    """Files that are the plugin's content without being code.

    Attributes:
        path: A glob below the plugin's folder.
        reload: When changed files are taken, as for `reload` in the configuration; empty: as the plugin.
    """

    path: str
    reload: str = ""


Declared = Handler | ServiceDeclaration | InitializerDeclaration | Resource


class Entry(msgspec.Struct, frozen=True):
    """Where a handler, service or initializer is found.

    Attributes:
        module: The module to import from the artifact.
        attribute: Dotted name in it, or on the plugin's instance.
        on_instance: Whether `attribute` is looked up on the plugin's instance, and not in `module`.
    """

    module: str
    attribute: str
    on_instance: bool = False


class Manifest(msgspec.Struct, frozen=True):
    """A manifest that was found sound.

    Attributes:
        id: Names the plugin everywhere: configuration, pipelines, units.
        version: As the packaging standard reads versions.
        api: Range of the plugin API that it works with; empty for any.
        summary: One line for people.
        requires: Plugin id -> range of versions it needs.
        plugin: `module:Class` with the hooks; empty for a stateless plugin.
        config: `module:Struct` that its configuration is converted to; empty when it takes none.
        handlers: By name.
        services: By name.
        initializers: By name.
        resources: By name.
        module: Where attributes without an entry are looked up: the class's module; for a stateless plugin the
            single file, or the module in the folder that is named like the plugin (`-` read as `_`).
    """

    id: str
    version: str
    api: str = ""
    summary: str = ""
    requires: dict[str, str] = {}
    plugin: str = ""
    config: str = ""
    handlers: dict[str, Handler] = {}
    services: dict[str, ServiceDeclaration] = {}
    initializers: dict[str, InitializerDeclaration] = {}
    resources: dict[str, Resource] = {}
    module: str = ""

    def entry(self, name: str, written: str) -> Entry:
        """Resolve the entry of a handler, service or initializer.

        Args:
            name: Its name in the manifest; `-` is read as `_`.
            written: Its `entry`, which may be empty.
        """
        if written:
            module, _, attribute = written.partition(":")
            return Entry(module, attribute)
        return Entry(self.module, name.replace("-", "_"), on_instance=bool(self.plugin))
