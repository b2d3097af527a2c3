"""Loads applications named as `module:attribute`, and says what to do when it cannot."""

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from changeover.workers.errors import ChangeoverError
from changeover.workers.protocol.snapshot import Interface
from changeover.workers.serving.asgi import Application, AsgiCallable
from changeover.workers.serving.contract import Service
from changeover.workers.serving.handlers import ServiceFunction
from changeover.workers.serving.interface import Shape, asgi3_of, is_callable_with, shape_of
from changeover.workers.serving.wsgi import THREADS, WsgiApplication

Instance = Service | ServiceFunction | Application | WsgiApplication
"""What answers requests at the end of a pipeline."""
_ARGUMENTS = {Interface.ASGI: 3, Interface.WSGI: 2, Interface.NATIVE: 2}


class ApplicationNotLoaded(ChangeoverError):
    """An application could not be loaded; the message says what to do.

    Attributes:
        target: What was asked for.
    """

    def __init__(self, target: str, message: str) -> None:
        self.target = target
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Found:
    """What a target names.

    Attributes:
        interface: How it is called.
        call: What is called.
    """

    interface: Interface
    call: Any


@dataclass(frozen=True, slots=True)
class _Known:
    value: Any
    found: Found


_known: dict[tuple[str, Interface], _Known] = {}
"""What was recognised: a zygote does it, and its workers write less to the pages that they share."""


def load(
    target: str, *, directory: Path | None = None, factory: bool = False, interface: Interface = Interface.AUTO
) -> Found:
    """Import the application that `target` names.

    Args:
        target: `module:attribute`, attributes may be dotted.
        directory: Put in front of `sys.path` when it is not on it.
        factory: Whether the attribute is called, without arguments, to make the application.
        interface: How it is called; AUTO tells by its shape.

    Raises:
        ApplicationNotLoaded: The target is malformed, its module or attribute does not exist, or what it names cannot
            be served. An error raised by the module itself is let through as it is.
    """
    module_name, attribute = _parse(target)
    if directory is not None and str(directory) not in sys.path:
        sys.path.insert(0, str(directory))
    value = _attribute(_module(target, module_name, directory), target, attribute)
    if factory:
        return recognised(_made(value, target), target, interface)
    known = _known.get((target, interface))
    if known is None or known.value is not value:
        known = _known[target, interface] = _Known(value, recognised(value, target, interface))
    return known.found


def recognised(value: Any, name: str, interface: Interface = Interface.AUTO) -> Found:
    """Say how `value` is to be called.

    Args:
        value: What is to be served.
        name: How people call it (`app:app`).
        interface: What it is said to be.

    Raises:
        ApplicationNotLoaded: It cannot be served, or not as that; the message says what it looks like.
    """
    shape = shape_of(value)
    looks_like = _INTERFACES.get(shape)
    if interface is Interface.AUTO or interface is looks_like:
        if looks_like is None:
            raise ApplicationNotLoaded(name, _REFUSALS[shape].format(name=name, type=type(value).__name__))
        return Found(looks_like, asgi3_of(value) if shape is Shape.ASGI2 else value)
    if shape in (Shape.CLASS, Shape.FACTORY, Shape.NOT_CALLABLE) or not is_callable_with(value, _ARGUMENTS[interface]):
        seen = looks_like.value.upper() if looks_like else shape.value
        asked = f"{name} is to be served as {interface.value.upper()}, and looks like {seen}"
        raise ApplicationNotLoaded(name, f"{asked}; leave out how it is called, or name another")
    return Found(interface, value)


def asgi3(value: Any, name: str) -> AsgiCallable:
    """`value` as an ASGI 3 callable.

    Args:
        value: What is to be served.
        name: How people call it (`app:app`).

    Raises:
        ApplicationNotLoaded: It looks like something else; the message says like what.
    """
    asgi: AsgiCallable = recognised(value, name, Interface.ASGI).call
    return asgi


def instance_of(found: Found, name: str, root_path: str = "", threads: int = THREADS) -> Instance:
    """Make what stands at the end of a pipeline.

    Args:
        found: What was loaded.
        name: The unit's name.
        root_path: Prefix that a proxy in front strips.
        threads: Most requests at the same time, where threads run it.
    """
    if found.interface is Interface.WSGI:
        return WsgiApplication(name, found.call, root_path, threads)
    if found.interface is Interface.NATIVE:
        native: Service | ServiceFunction = found.call
        return native
    return Application(name, found.call, root_path)


_INTERFACES = {
    Shape.ASGI3: Interface.ASGI,
    Shape.ASGI2: Interface.ASGI,
    Shape.WSGI: Interface.WSGI,
    Shape.NATIVE: Interface.NATIVE,
}
_REFUSALS = {
    Shape.ANYTHING: "{name} takes whatever it is given, so its shape does not tell how it is called; "
    "say so with -k asgi or -k wsgi",
    Shape.FACTORY: "{name} takes no arguments: it looks like a factory that makes an application; add --factory",
    Shape.CLASS: "{name} is the class {type} and not an instance of it; name an instance",
    Shape.NOT_CALLABLE: "{name} is a {type} and cannot be called; name an application, "
    "`async def app(scope, receive, send)` or `def app(environ, start_response)`",
    Shape.UNKNOWN: "{name} can be called neither with (scope, receive, send) nor with (environ, start_response); "
    "name an application",
}


def _parse(target: str) -> tuple[str, str]:
    module, colon, attribute = target.partition(":")
    name = module.removesuffix(".py").strip("./").replace("/", ".")
    if not colon or not attribute or name != module or not name:
        meant = f"{name or 'app'}:{attribute or 'app'}"
        raise ApplicationNotLoaded(target, f"{target!r} is not of the form module:attribute; did you mean {meant}?")
    return module, attribute


def _module(target: str, name: str, directory: Path | None) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not _is_or_contains(error.name, name):
            raise
        where = directory or Path.cwd()
        near = _near(name.rpartition(".")[2], _modules_in(where))
        other = "name the directory with --app-dir" if where.is_dir() else f"{where} is no directory"
        hint = f"did you mean {near}:{target.partition(':')[2]}?" if near else other
        _, _, reason = str(error).partition(": ")
        raise ApplicationNotLoaded(
            target, f"{target}: there is no module {error.name!r} in {where} or on the Python path; {reason or hint}"
        ) from None


def _is_or_contains(package: str, name: str) -> bool:
    return name == package or name.startswith(package + ".")


def _attribute(module: ModuleType, target: str, attribute: str) -> Any:
    value: Any = module
    for part in attribute.split("."):
        if not hasattr(value, part):
            raise ApplicationNotLoaded(target, _missing(value, module, target, part))
        value = getattr(value, part)
    return value


def _missing(value: Any, module: ModuleType, target: str, part: str) -> str:
    names = [name for name in dir(value) if not name.startswith("_")]
    applications = [name for name in names if shape_of(getattr(value, name)) in _INTERFACES] if value is module else []
    near = _near(part, names) or (applications[0] if len(applications) == 1 else "")
    where = getattr(module, "__file__", None) or "a namespace package, which is a folder without __init__.py"
    hint = f"did you mean {target.partition(':')[0]}:{near}?" if near else "name an attribute that is there"
    return f"{target}: {getattr(value, '__name__', part)} ({where}) has no attribute {part!r}; {hint}"


def _made(factory: Any, target: str) -> Any:
    if not callable(factory):
        raise ApplicationNotLoaded(
            target, f"{target} is a {type(factory).__name__}, not a function that makes an application; omit --factory"
        )
    if shape_of(factory) in _INTERFACES and not isinstance(factory, type) and not is_callable_with(factory, 0):
        raise ApplicationNotLoaded(target, f"{target} is an application, not a function that makes one; omit --factory")
    return factory()


def _near(name: str, names: Iterable[str]) -> str:
    return next(iter(difflib.get_close_matches(name, list(names), n=1)), "")


def _modules_in(directory: Path) -> list[str]:
    if not directory.is_dir():
        return []
    return [entry.stem for entry in directory.iterdir() if entry.suffix == ".py" or (entry / "__init__.py").is_file()]
