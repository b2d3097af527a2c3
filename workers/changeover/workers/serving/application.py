"""Loads applications named as `module:attribute`, and says what to do when it cannot."""

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from changeover.workers.errors import ChangeoverError
from changeover.workers.serving.asgi import AsgiCallable
from changeover.workers.serving.interface import Shape, shape_of


class ApplicationNotLoaded(ChangeoverError):
    """An application could not be loaded; the message says what to do.

    Attributes:
        target: What was asked for.
    """

    def __init__(self, target: str, message: str) -> None:
        self.target = target
        super().__init__(message)


def load(target: str, *, directory: Path | None = None, factory: bool = False) -> AsgiCallable:
    """Import the application that `target` names.

    Args:
        target: `module:attribute`, attributes may be dotted.
        directory: Put in front of `sys.path` when it is not on it.
        factory: Whether the attribute is called, without arguments, to make the application.

    Raises:
        ApplicationNotLoaded: The target is malformed, its module or attribute does not exist, or it is no ASGI 3
            application. An error raised by the module itself is let through as it is.
    """
    module_name, attribute = _parse(target)
    if directory is not None and str(directory) not in sys.path:
        sys.path.insert(0, str(directory))
    value = _attribute(_module(target, module_name, directory), target, attribute)
    return asgi3(_made(value, target) if factory else value, target)


def asgi3(value: Any, name: str) -> AsgiCallable:
    """`value` as an ASGI 3 callable.

    Args:
        value: What is to be served.
        name: How people call it (`app:app`).

    Raises:
        ApplicationNotLoaded: It looks like something else; the message says like what.
    """
    shape = shape_of(value)
    if shape is Shape.ASGI3:
        asgi: AsgiCallable = value
        return asgi
    raise ApplicationNotLoaded(name, _REFUSALS[shape].format(name=name, type=type(value).__name__))


_REFUSALS = {
    Shape.WSGI: "{name} looks like a WSGI application (it is called with environ and start_response), and ASGI 3 is "
    "served; wrap it, for example with a2wsgi: `app = WSGIMiddleware(app)`",
    Shape.ASGI2: "{name} looks like an ASGI 2 application (called with the scope alone), and ASGI 3 is served; "
    "wrap it: `app = asgiref.compatibility.guarantee_single_callable(app)`",
    Shape.FACTORY: "{name} takes no arguments: it looks like a factory that makes an application; add --factory",
    Shape.CLASS: "{name} is the class {type} and not an instance of it; name an instance",
    Shape.NOT_CALLABLE: "{name} is a {type} and cannot be called; name an ASGI application, "
    "`async def app(scope, receive, send)`",
    Shape.UNKNOWN: "{name} cannot be called with (scope, receive, send); name an ASGI application, "
    "`async def app(scope, receive, send)`",
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
    applications = [name for name in names if shape_of(getattr(value, name)) is Shape.ASGI3] if value is module else []
    near = _near(part, names) or (applications[0] if len(applications) == 1 else "")
    where = getattr(module, "__file__", None) or "a namespace package, which is a folder without __init__.py"
    hint = f"did you mean {target.partition(':')[0]}:{near}?" if near else "name an attribute that is there"
    return f"{target}: {getattr(value, '__name__', part)} ({where}) has no attribute {part!r}; {hint}"


def _made(factory: Any, target: str) -> Any:
    if not callable(factory):
        raise ApplicationNotLoaded(
            target, f"{target} is a {type(factory).__name__}, not a function that makes an application; omit --factory"
        )
    if shape_of(factory) is Shape.ASGI3 and not isinstance(factory, type):
        raise ApplicationNotLoaded(target, f"{target} is an application, not a function that makes one; omit --factory")
    return factory()


def _near(name: str, names: Iterable[str]) -> str:
    return next(iter(difflib.get_close_matches(name, list(names), n=1)), "")


def _modules_in(directory: Path) -> list[str]:
    if not directory.is_dir():
        return []
    return [entry.stem for entry in directory.iterdir() if entry.suffix == ".py" or (entry / "__init__.py").is_file()]
