"""What people hear when an application cannot be loaded."""

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from changeover.workers.serving.application import ApplicationNotLoaded, asgi3, load

SOURCE = dedent(
    """
    async def app(scope, receive, send): ...
    def create(): return app
    def flask_like(environ, start_response): ...
    def old(scope): ...
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


@pytest.mark.parametrize("target", ["loaded_shop:app", "loaded_shop:Holder.inner", "loaded_shop:instance"])
def test_an_application_is_loaded(folder: Path, target: str) -> None:
    assert callable(load(target, directory=folder))


def test_a_factory_is_called(folder: Path) -> None:
    made: Any = load("loaded_shop:create", directory=folder, factory=True)
    assert made.__name__ == "app"


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
        ("loaded_shop:flask_like", "looks like a WSGI application"),
        ("loaded_shop:wsgi_instance", "looks like a WSGI application"),
        ("loaded_shop:old", "looks like an ASGI 2 application"),
        ("loaded_shop:Two", "looks like an ASGI 2 application"),
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
    from fastapi import FastAPI
    from starlette.applications import Starlette
    from starlette.middleware.cors import CORSMiddleware

    for app in (FastAPI(), Starlette(), CORSMiddleware(Starlette())):
        assert asgi3(app, "app:app") is app
