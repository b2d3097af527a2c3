"""What a plugin says about itself, once it was read and found sound: its manifest, and the parts of it."""

import enum
from typing import Literal

import msgspec
from packaging.version import Version

MANIFEST = "plugin.toml"
"""Name of the manifest in a plugin's folder."""
API = Version("1.0")
"""The plugin API that this version offers; a manifest's `api` range must admit it."""
RESERVED = frozenset({"app", "dir", "keys", "reload"})
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


class SelectorDeclaration(msgspec.Struct, frozen=True):
    """A selector that the plugin offers to the rules of channels.

    Attributes:
        entry: `module:name`; empty for the attribute of the selector's own name (see `Manifest.entry`).
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


Declared = Handler | ServiceDeclaration | InitializerDeclaration | SelectorDeclaration | Resource


class Entry(msgspec.Struct, frozen=True):
    """Where a handler, service, initializer, selector or extension is found.

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
        selectors: By name.
        extensions: Extension point -> `module:name` of what the plugin offers there; empty for the attribute that is
            named like the last part of the point's name (see `entry`).
        resources: By name.
        capabilities: What it asks to be allowed.
        state: Range of its own versions whose state it can take; empty for none.
        self_test: `module:name` of the function that tries it; empty for none.
        strategy: How its content is changed: in the workers that live, or by new ones.
        singleton: Whether its exclusive work runs in one worker per host.
        dependencies: Distributions that it needs, as the packaging standard writes requirements.
        packages: Folder below the plugin that holds packages of its own; empty for none.
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
    selectors: dict[str, SelectorDeclaration] = {}
    extensions: dict[str, str] = {}
    resources: dict[str, Resource] = {}
    capabilities: tuple[str, ...] = ()
    state: str = ""
    self_test: str = ""
    strategy: Literal["swap", "roll"] = "swap"
    singleton: bool = False
    dependencies: tuple[str, ...] = ()
    packages: str = ""
    module: str = ""

    def entry(self, name: str, written: str) -> Entry:
        """Resolve the entry of a handler, service, initializer, selector or extension.

        Args:
            name: Its name in the manifest; `-` is read as `_`.
            written: Its `entry`, which may be empty.
        """
        if written:
            module, _, attribute = written.partition(":")
            return Entry(module, attribute)
        return Entry(self.module, name.replace("-", "_"), on_instance=bool(self.plugin))
