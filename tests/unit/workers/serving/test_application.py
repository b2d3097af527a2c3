"""What people hear when an application cannot be loaded."""

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from changeover.workers.protocol.snapshot import Interface
from changeover.workers.serving.application import ApplicationNotLoaded, asgi3, instance_of, load, recognised
from changeover.workers.serving.asgi import Application
from changeover.workers.serving.wsgi import THREADS, WsgiApplication

SOURCE = dedent(
    """
    from changeover.plugin import Service, service
    async def app(scope, receive, send): ...
    def create(): return app
    def create_wsgi(config=None, testing=False): return flask_like
    def flask_like(environ, start_response): ...
    def with_more(environ, start_response, more=None): ...
    def anything(*args, **more): ...
    async def anything_awaited(*args, **more): ...
    @service
    async def native(request, call): ...
    class Quote(Service):
        async def __call__(self, request, call): ...
    quote = Quote()
    def old(scope): ...
    def four(a, b, c, d): ...
    class Holder:
        inner = staticmethod(app)
        def __call__(self, environ, start_response): ...
    class Instance:
        async def __call__(self, scope, receive, send): ...
    instance = Instance()
    wsgi_instance = Holder()
    class Two:
        def __init__(self, scope): ...
        async def __call__(self, receive, send): ...
    number = 3
    """
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "loaded_shop.py").write_text(SOURCE)
    (tmp_path / "loaded_broken.py").write_text("import loaded_missing_dependency")
    (tmp_path / "loaded_raising.py").write_text("raise RuntimeError('at import')")
    before = list(sys.path)
    yield tmp_path
    sys.path[:] = before
    for name in [name for name in sys.modules if name.startswith("loaded_")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("target", "interface"),
    [
        ("loaded_shop:app", Interface.ASGI),
        ("loaded_shop:Holder.inner", Interface.ASGI),
        ("loaded_shop:instance", Interface.ASGI),
        ("loaded_shop:anything_awaited", Interface.ASGI),
        ("loaded_shop:old", Interface.ASGI),
        ("loaded_shop:Two", Interface.ASGI),
        ("loaded_shop:flask_like", Interface.WSGI),
        ("loaded_shop:with_more", Interface.WSGI),
        ("loaded_shop:wsgi_instance", Interface.WSGI),
        ("loaded_shop:native", Interface.NATIVE),
        ("loaded_shop:quote", Interface.NATIVE),
    ],
)
def test_an_application_tells_by_its_shape_how_it_is_called(folder: Path, target: str, interface: Interface) -> None:
    found = load(target, directory=folder)
    assert found.interface is interface
    assert callable(found.call)


@pytest.mark.parametrize(("factory", "made"), [("create", "app"), ("create_wsgi", "flask_like")])
def test_a_factory_is_called(folder: Path, factory: str, made: str) -> None:
    found = load(f"loaded_shop:{factory}", directory=folder, factory=True)
    assert found.call.__name__ == made


def test_it_is_called_as_it_is_said_to_be(folder: Path) -> None:
    for said in (Interface.WSGI, Interface.ASGI):
        assert load("loaded_shop:anything", directory=folder, interface=said).interface is said
    assert load("loaded_shop:flask_like", directory=folder, interface=Interface.WSGI).interface is Interface.WSGI


@pytest.mark.parametrize(
    ("name", "interface", "said"),
    [
        ("flask_like", Interface.ASGI, "is to be served as ASGI, and looks like WSGI"),
        ("app", Interface.WSGI, "is to be served as WSGI, and looks like ASGI"),
        ("create", Interface.WSGI, r"is to be served as WSGI, and looks like \(\)"),
        ("four", Interface.WSGI, "is to be served as WSGI, and looks like otherwise"),
    ],
)
def test_what_cannot_be_called_as_it_is_said_to_be_is_refused(
    folder: Path, name: str, interface: Interface, said: str
) -> None:
    with pytest.raises(ApplicationNotLoaded, match=said):
        load(f"loaded_shop:{name}", directory=folder, interface=interface)


async def test_an_asgi_2_application_is_called_twice() -> None:
    seen: list[object] = []

    class Old:
        def __init__(self, scope: object) -> None:
            seen.append(scope)

        async def __call__(self, receive: object, send: object) -> None:
            seen.extend([receive, send])

    scope: dict[str, Any] = {"type": "http"}
    call: Any = asgi3(Old, "old:app")
    await call(scope, "receive", "send")
    assert seen == [scope, "receive", "send"]


def test_what_is_found_becomes_what_answers(folder: Path) -> None:
    wsgi = instance_of(load("loaded_shop:flask_like", directory=folder), "app")
    assert isinstance(wsgi, WsgiApplication)
    assert wsgi.pool.size == THREADS
    assert isinstance(instance_of(load("loaded_shop:app", directory=folder), "app", "/behind"), Application)
    quote = load("loaded_shop:quote", directory=folder)
    assert instance_of(quote, "app") is quote.call


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("loaded_shop", "did you mean loaded_shop:app?"),
        ("loaded_shop.py:app", "did you mean loaded_shop:app?"),
        ("src/shop.py", "did you mean src.shop:app?"),
        ("loaded_shop:", "did you mean loaded_shop:app?"),
        (":app", "did you mean app:app?"),
        ("loaded_shpo:app", "did you mean loaded_shop:app?"),
        ("nothing_like_it:app", "name the directory with --app-dir"),
        ("loaded_shop:ap", "has no attribute 'ap'; did you mean loaded_shop:app?"),
        ("loaded_shop:app.inner", "has no attribute 'inner'"),
        ("loaded_shop:create", "add --factory"),
        ("loaded_shop:create_wsgi", "add --factory"),
        ("loaded_shop:anything", "say so with -k asgi or -k wsgi"),
        ("loaded_shop:four", "neither with (scope, receive, send) nor with (environ, start_response)"),
        ("loaded_shop:Instance", "is the class type and not an instance"),
        ("loaded_shop:number", "is a int and cannot be called"),
    ],
)
def test_what_cannot_be_loaded_is_said_with_what_to_do(folder: Path, target: str, said: str) -> None:
    with pytest.raises(ApplicationNotLoaded) as refused:
        load(target, directory=folder)
    assert said in str(refused.value)


def test_a_directory_that_is_none_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(ApplicationNotLoaded, match="srv is no directory"):
        load("nothing_like_it:app", directory=tmp_path / "srv")


def test_an_error_of_the_module_itself_is_let_through(folder: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match="loaded_missing_dependency"):
        load("loaded_broken:app", directory=folder)
    with pytest.raises(RuntimeError, match="at import"):
        load("loaded_raising:app", directory=folder)


def test_a_factory_that_is_none_is_refused(folder: Path) -> None:
    with pytest.raises(ApplicationNotLoaded, match="omit --factory"):
        load("loaded_shop:app", directory=folder, factory=True)
    with pytest.raises(ApplicationNotLoaded, match="omit --factory"):
        load("loaded_shop:number", directory=folder, factory=True)


def test_frameworks_are_recognised() -> None:
    from django.core.handlers.wsgi import WSGIHandler  # type: ignore[import-untyped]
    from fastapi import FastAPI
    from flask import Flask
    from starlette.applications import Starlette
    from starlette.middleware.cors import CORSMiddleware

    for app in (FastAPI(), Starlette(), CORSMiddleware(Starlette())):
        assert asgi3(app, "app:app") is app
    assert recognised(Flask("shop"), "app:app").interface is Interface.WSGI
    assert recognised(WSGIHandler.__new__(WSGIHandler), "app:app").interface is Interface.WSGI
