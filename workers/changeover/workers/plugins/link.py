"""Linking: finds in a plugin's modules what its manifest names, and refuses what does not fit it.

Runs a plugin's code (imports, constructors), so its callers run it in the loader thread.
"""

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import msgspec

from changeover.workers.plugins.api import AsgiService, Plugin, WsgiService
from changeover.workers.plugins.callable_with import misfit
from changeover.workers.plugins.hook_contract import check_hooks
from changeover.workers.plugins.manifest import Direction, Entry, Manifest, ServiceInterface
from changeover.workers.plugins.modules import PluginModules
from changeover.workers.plugins.refused import ConfigRejected, ContractBroken
from changeover.workers.protocol.document import nearest
from changeover.workers.protocol.snapshot import Interface
from changeover.workers.serving.application import Found, Instance, instance_of, recognised
from changeover.workers.serving.contract import Service
from changeover.workers.serving.handlers import Handler, HandlerKind, NotAHandler, check, kind_of
from changeover.workers.serving.handshake import HandshakeOutcome
from changeover.workers.serving.websocket import MessageHandler, MessageService, WebSocketService

T = TypeVar("T")

Offered = Instance | WebSocketService | MessageService
"""What a service of a plugin is in a pipeline."""

_KINDS = {
    Direction.INBOUND: HandlerKind.INBOUND,
    Direction.OUTBOUND: HandlerKind.OUTBOUND,
    Direction.AROUND: HandlerKind.AROUND,
}


class Linker:
    """Looks things up for one plugin instance.

    Args:
        manifest: What is promised.
        modules: Where it is looked for.
    """

    def __init__(self, manifest: Manifest, modules: PluginModules) -> None:
        self._manifest = manifest
        self._modules = modules

    def load(self) -> None:
        """Import every module that the manifest names.

        Raises:
            ContractBroken: There is no such module.
            BaseException: Whatever the modules raise.
        """
        modules: dict[str, str] = {}
        for what, entry in self._named():
            modules.setdefault(entry.module, what)
        for module, what in modules.items():
            self._import(module, what)

    def config(self, encoded: bytes) -> object:
        """Convert the configuration to the Struct that the manifest names.

        Raises:
            ConfigRejected: It does not fit, or none is taken and some is given.
            ContractBroken: What the manifest names is no type to convert to.
        """
        entry = _written(self._manifest.config)
        if entry is None:
            given = msgspec.msgpack.decode(encoded)
            if given:
                fact = f"{', '.join(map(str, given))} given, and the manifest names no `config`"
                raise ConfigRejected(self._manifest.id, fact)
            return None
        shape = self._attribute(entry, f"config = {self._manifest.config!r}")
        if not isinstance(shape, type):
            raise ContractBroken(f"config = {self._manifest.config!r} is no class; name a msgspec Struct")
        try:
            return msgspec.msgpack.decode(encoded, type=shape)
        except msgspec.ValidationError as error:
            raise ConfigRejected(self._manifest.id, f"{error}{_meant(encoded, shape, error)}") from None

    def plugin(self, config: object) -> Plugin[Any] | None:
        """Make the instance of the plugin's class; None for a stateless plugin.

        Raises:
            ContractBroken: The manifest names something else than a subclass of Plugin, its constructor left the
                configuration out, or a hook cannot be called.
        """
        entry = _written(self._manifest.plugin)
        if entry is None:
            return None
        made = self._attribute(entry, f"plugin = {self._manifest.plugin!r}")
        if not (isinstance(made, type) and issubclass(made, Plugin)):
            raise ContractBroken(f"plugin = {self._manifest.plugin!r} is no subclass of changeover.plugin.Plugin")
        instance: Plugin[Any] = made(config)
        if not hasattr(instance, "config"):
            raise ContractBroken(f"{made.__name__}.__init__ does not call super().__init__(config)")
        check_hooks(instance)
        return instance

    def handlers(self, instance: Plugin[Any] | None) -> dict[str, Handler]:
        """Find every handler of the manifest.

        Raises:
            ContractBroken: One is missing, cannot be called as declared, or is marked as another kind.
        """
        found = {}
        for name, declared in self._manifest.handlers.items():
            kind = _KINDS[declared.direction]
            call = self._found(self._manifest.entry(name, declared.entry), instance, f"handler {name!r}")
            marked = kind_of(call)
            if marked is not None and marked is not kind:
                fact = f"handler {name!r} is {kind.value} in the manifest and marked @{marked.value} in the code"
                raise ContractBroken(fact)
            checked = _checked(kind, call, f"handler {name!r}")
            found[name] = Handler(f"{self._manifest.id}:{name}", kind, checked, declared.phase.value)
        return found

    def service(self, name: str, instance: Plugin[Any] | None) -> Offered:
        """Make one service of the manifest.

        Raises:
            ContractBroken: It is missing, or nothing that answers requests: also a Service without a call of its own.
        """
        declared = self._manifest.services.get(name)
        if declared is None:
            offered = ", ".join(sorted(self._manifest.services)) or "none"
            raise ContractBroken(f"service {name!r} is not in the manifest, which offers: {offered}")
        what = f"service {name!r}"
        value = self._found(self._manifest.entry(name, declared.entry), instance, what)
        unit = f"{self._manifest.id}:{name}"
        if isinstance(value, AsgiService):
            return instance_of(self._application(value.target, Interface.ASGI), unit, value.root_path)
        if isinstance(value, WsgiService):
            return instance_of(self._application(value.target, Interface.WSGI), unit, value.root_path, value.threads)
        if declared.interface is not ServiceInterface.NATIVE:
            return instance_of(recognised(value, what, Interface(declared.interface.value)), unit)
        if isinstance(value, type) and issubclass(value, Service):
            _check_answers(value, what)
            return _made(value, instance)
        if isinstance(value, Service):
            return value
        if isinstance(value, type) and issubclass(value, MessageHandler):
            _check_takes_messages(value, what)
            return MessageService(f"{self._manifest.id}:{name}", lambda: _made(value, instance))
        if kind_of(value) is HandlerKind.WEBSOCKET:
            call = _checked(HandlerKind.WEBSOCKET, value, what)
            return WebSocketService(f"{self._manifest.id}:{name}", call)
        return _checked(HandlerKind.SERVICE, value, what)

    def initializer(self, name: str, instance: Plugin[Any] | None) -> object:
        """Make one initializer of the manifest; a class is made with the plugin's instance, if it takes one.

        Raises:
            ContractBroken: It is missing.
        """
        declared = self._manifest.initializers.get(name)
        if declared is None:
            offered = ", ".join(sorted(self._manifest.initializers)) or "none"
            raise ContractBroken(f"initializer {name!r} is not in the manifest, which offers: {offered}")
        value = self._found(self._manifest.entry(name, declared.entry), instance, f"initializer {name!r}")
        return _made(value, instance) if isinstance(value, type) else value

    def extensions(self, instance: Plugin[Any] | None) -> dict[str, object]:
        """Find what is offered at every extension point of the manifest; a class is made with the plugin's instance.

        Raises:
            ContractBroken: One is missing.
        """
        return {
            point: self._extension(point, written, instance) for point, written in self._manifest.extensions.items()
        }

    def _extension(self, point: str, written: str, instance: Plugin[Any] | None) -> object:
        what = f"extension {point!r}"
        entry = self._of_instance(self._manifest.entry(_last(point), written))
        if entry is None:
            return instance
        value = self._found(entry, instance, what)
        return _made(value, instance) if isinstance(value, type) else value

    def _of_instance(self, entry: Entry) -> Entry | None:
        """Read what is named below the plugin's class as its instance's; None for the instance itself."""
        own = _written(self._manifest.plugin)
        if entry.on_instance or own is None or entry.module != own.module:
            return entry
        if entry.attribute == own.attribute:
            return None
        below = entry.attribute.removeprefix(f"{own.attribute}.")
        return entry if below == entry.attribute else Entry(own.module, below, on_instance=True)

    def selector(self, name: str, instance: Plugin[Any] | None) -> Callable[[HandshakeOutcome], object]:
        """Find one selector of the manifest; a class is made with the plugin's instance, if it takes one.

        Raises:
            ContractBroken: It is missing, or cannot say of an outcome, at once, whether it matches.
        """
        declared = self._manifest.selectors.get(name)
        if declared is None:
            offered = ", ".join(sorted(self._manifest.selectors)) or "none"
            raise ContractBroken(f"selector {name!r} is not in the manifest, which offers: {offered}")
        value = self._found(self._manifest.entry(name, declared.entry), instance, f"selector {name!r}")
        return _checked_selector(_made(value, instance) if isinstance(value, type) else value, name)

    def self_test(self, instance: Plugin[Any] | None) -> Callable[[], object]:
        """Find the self-test of the manifest, whose module is imported only for it.

        Raises:
            ContractBroken: It is missing, or takes something else than the plugin's instance, or nothing.
        """
        entry = _written(self._manifest.self_test)
        if entry is None:
            raise AssertionError("bug: the manifest names no self-test")
        self._import(entry.module, "self_test")
        test = self._attribute(entry, "self_test")
        given = [instance] if instance is not None and _takes(test, instance) else []
        if not _takes(test, *given):
            fact = f"self_test = {self._manifest.self_test!r} is no function of the plugin's instance, or of nothing"
            raise ContractBroken(f"{fact}; write `def {entry.attribute}(plugin)` or `def {entry.attribute}()`")
        return partial(test, *given)

    def _named(self) -> Iterator[tuple[str, Entry]]:
        """What the manifest names, and where that is."""
        manifest = self._manifest
        for key, written in (("plugin", manifest.plugin), ("config", manifest.config)):
            entry = _written(written)
            if entry is not None:
                yield key, entry
        for name, handler in manifest.handlers.items():
            yield f"handler {name!r}", manifest.entry(name, handler.entry)
        for name, service in manifest.services.items():
            yield f"service {name!r}", manifest.entry(name, service.entry)
        for name, initializer in manifest.initializers.items():
            yield f"initializer {name!r}", manifest.entry(name, initializer.entry)
        for name, selector in manifest.selectors.items():
            yield f"selector {name!r}", manifest.entry(name, selector.entry)
        for point, written in manifest.extensions.items():
            yield f"extension {point!r}", manifest.entry(_last(point), written)

    def _import(self, module: str, what: str) -> None:
        try:
            self._modules.import_module(module)
        except ModuleNotFoundError as error:
            if self._modules.owns(module) or not f"{module}.".startswith(f"{error.name}."):
                raise
            fact = f"{what}: there is no module {module!r} in the plugin, and none is installed"
            raise ContractBroken(f"{fact}; name another in the manifest, or rename the file") from None

    def _application(self, target: object, interface: Interface) -> Found:
        if not isinstance(target, str):
            return recognised(target, f"{interface.value}(...)", interface)
        module, _, attribute = target.partition(":")
        if not module or not attribute:
            raise ContractBroken(f"{interface.value}({target!r}): write it like `package.module:app`")
        return recognised(self._attribute(Entry(module, attribute)), target, interface)

    def _found(self, entry: Entry, instance: Plugin[Any] | None, what: str) -> Any:
        if not entry.on_instance:
            return self._attribute(entry, what)
        value = instance
        for part in entry.attribute.split("."):
            if not hasattr(value, part):
                raise ContractBroken(
                    f"{what}: {type(instance).__name__} has no {entry.attribute!r}{_hint(entry, part, value)}"
                )
            value = getattr(value, part)
        return value

    def _attribute(self, entry: Entry, what: str = "") -> Any:
        value: Any = self._modules.import_module(entry.module)
        for part in entry.attribute.split("."):
            if not hasattr(value, part):
                fact = f"{what}: {entry.module} has no {entry.attribute!r}".lstrip(": ")
                raise ContractBroken(f"{fact}{_hint(entry, part, value)}")
            value = getattr(value, part)
        return value


def _hint(entry: Entry, wanted: str, holder: object) -> str:
    """What to do about a name that is not there: the one that was meant, or how to name another."""
    if like := nearest(wanted, (name for name in dir(holder) if not name.startswith("_"))):
        return like
    return f'; name it with `entry`, like `entry = "{entry.module}:Name"`, or rename one of them'


def _meant(encoded: bytes, shape: type, error: msgspec.ValidationError) -> str:
    """Which key was meant by one that a Struct does not know."""
    given = msgspec.msgpack.decode(encoded)
    if not (issubclass(shape, msgspec.Struct) and isinstance(given, dict)):
        return ""
    known = [field.encode_name for field in msgspec.structs.fields(shape)]
    strange = (key for key in given if key not in known and str(error).endswith(f"unknown field `{key}`"))
    return next((nearest(key, known) for key in strange), "")


def _last(point: str) -> str:
    """What an attribute without an entry is called: the last part of the point's name."""
    return point.rpartition(".")[2]


def _written(entry: str) -> Entry | None:
    module, _, attribute = entry.partition(":")
    return Entry(module, attribute) if entry else None


def _checked(kind: HandlerKind, call: object, what: str) -> Callable[..., Any]:
    try:
        check(kind, call, method=False)
    except NotAHandler as error:
        raise ContractBroken(f"{what}: {error}") from None
    assert callable(call)
    return call


def _checked_selector(value: object, name: str) -> Callable[[HandshakeOutcome], object]:
    fact = f"selector {name!r} is no function of one HandshakeOutcome that says at once whether it matches"
    if not callable(value) or inspect.iscoroutinefunction(value):
        raise ContractBroken(f"{fact}; write `def {name.replace('-', '_')}(outcome) -> bool`, without `async`")
    if (error := misfit(value, HandshakeOutcome())) is not None:
        raise ContractBroken(f"{fact}: {error}")
    return value


def _check_answers(service: type[Service], what: str) -> None:
    if service.__call__ is Service.__call__:
        fact = f"{what}: {service.__qualname__} is a Service that does not say how it answers"
        raise ContractBroken(f"{fact}; write `async def __call__(self, request, call)` in it, which returns a Response")


def _check_takes_messages(handler: type[MessageHandler], what: str) -> None:
    if handler.on_message is MessageHandler.on_message:
        fact = f"{what}: {handler.__qualname__} is a MessageHandler that takes no messages"
        raise ContractBroken(f"{fact}; write `async def on_message(self, message)` in it")


def _takes(call: object, *given: object) -> bool:
    """Whether something can be called with what is given."""
    return callable(call) and misfit(call, *given) is None


def _made(kind: type[T], instance: Plugin[Any] | None) -> T:
    """What has a constructor that takes something is made with the plugin's instance."""
    if kind.__init__ is object.__init__ or instance is None:
        return kind()
    return kind(instance)  # type: ignore[call-arg]
