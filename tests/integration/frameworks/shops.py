"""The same shop in each framework, as its users write it, served by `changeover run` with two workers.

`SHOPS` is the table of applications and of what they do not have. A server is started once for all claims about it.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2
import pytest

from changeover.server import Server
from tests.service import PLUGIN
from tests.waits import until_sync

APPS = Path(__file__).parent / "apps"
T = TypeVar("T")


class Claim(Enum):
    """What some frameworks have and others leave to packages beside them."""

    LIFESPAN = "code that runs at start and end"
    CORS = "CORS"
    GZIP = "compression"
    BACKGROUND = "work after the response"
    CLEANUP = "something of a request that is closed after it"
    WEBSOCKET = "WebSockets"
    TRACEBACK = "a traceback of every exception, in production"
    PORT = "the port of a client"
    ORM = "a database"


@dataclass(frozen=True)
class Shop:
    """An application of the table.

    Attributes:
        folder: Where it is in `apps`.
        target: What `changeover run` is given.
        module: The file in which its version stands.
        lacks: What its framework does not do by itself.
        before: A command of its own that makes it ready.
    """

    folder: str
    target: str = "shop:app"
    module: str = "shop.py"
    lacks: frozenset[Claim] = frozenset({Claim.ORM})
    before: tuple[str, ...] = ()


FLASK = frozenset({Claim.LIFESPAN, Claim.CORS, Claim.GZIP, Claim.WEBSOCKET, Claim.ORM})
DJANGO = frozenset({Claim.LIFESPAN, Claim.CORS, Claim.BACKGROUND, Claim.CLEANUP, Claim.WEBSOCKET, Claim.TRACEBACK})
MIGRATE = ("manage.py", "migrate", "--verbosity=0")

SHOPS = {
    "starlette": Shop("starlette", lacks=frozenset({Claim.CLEANUP, Claim.ORM})),
    "fastapi": Shop("fastapi"),
    "litestar": Shop("litestar", lacks=frozenset({Claim.TRACEBACK, Claim.ORM})),
    "quart": Shop("quart", lacks=frozenset({Claim.CORS, Claim.GZIP, Claim.PORT, Claim.ORM})),
    "flask": Shop("flask", lacks=FLASK),
    "django-asgi": Shop("django", "bookshop.asgi:application", "shelf/views.py", DJANGO | {Claim.PORT}, MIGRATE),
    "django-wsgi": Shop("django", "bookshop.wsgi:application", "shelf/views.py", DJANGO, MIGRATE),
}


class Site:
    """One shop, served.

    Attributes:
        folder: A copy of its files, to be edited.
        root_path: Where a proxy in front would have it.
        notes: Where it leaves traces of what no client sees.
        server: What serves it.
        client: A client with connections that are kept.
    """

    def __init__(self, shop: Shop, folder: Path) -> None:
        self.shop = shop
        self.folder = folder / "shop"
        self.notes = folder / "notes"
        self.plugins = folder / "plugins"
        self._runner = asyncio.Runner()
        shutil.copytree(APPS / shop.folder, self.folder, ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
        shutil.copytree(APPS / "files", self.folder / "files")
        self.notes.mkdir()
        self.plugins.mkdir()
        self.write_plugin("1.0")
        self.configure("")
        self._environment = {"SHOP_NOTES": str(self.notes), "PYTHONDONTWRITEBYTECODE": "1"}
        self.server = Server(config=self._config, workers=2, state_dir=folder / "state", env=self._environment)

    def __enter__(self) -> Self:
        if self.shop.before:
            command = [sys.executable, *self.shop.before]
            environment = {**os.environ, **self._environment}
            subprocess.run(command, cwd=self.folder, env=environment, check=True, timeout=60)
        self.run(self.server.__aenter__())
        self.client = httpx2.Client(base_url=self.url, timeout=10)
        return self

    def __exit__(
        self, type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.client.close()
        self.run(self.server.__aexit__(type, error, traceback))
        self._runner.close()

    @property
    def url(self) -> str:
        return f"http://{self.server.addresses[0]}"

    @property
    def socket(self) -> str:
        return f"ws://{self.server.addresses[0]}"

    @property
    def _config(self) -> Path:
        return self.folder.parent / "changeover.toml"

    def run(self, doing: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(doing)

    def configure(self, root_path: str) -> None:
        """Say under which path a proxy has it."""
        self.root_path = root_path
        lines = [
            "[app]",
            f'target = "{self.shop.target}"',
            f'dir = "{self.folder}"',
            f'root_path = "{root_path}"',
            "[plugins]",
            f'dir = "{self.plugins}"',
        ]
        self._config.write_text("\n".join(lines))

    def write_plugin(self, version: str) -> None:
        """A plugin beside it, that has nothing to do with it."""
        text = PLUGIN.format(id="beside", version=version, mount="/beside", top="", gate=self.notes / "gate")
        (self.plugins / "beside.py").write_text(text)

    def edit(self, old: str, new: str) -> None:
        """Edit the module with the shop's version."""
        file = self.folder / self.shop.module
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def noted(self, name: str) -> None:
        """Wait until the shop has left a trace of this name."""
        until_sync(lambda: next(self.notes.glob(name), None), f"a note {name}; the log: {self.server.logs}")

    def versions(self) -> set[str]:
        """Version, instance and process in each worker."""
        return self.run(self._versions())

    async def _versions(self) -> set[str]:
        found: set[str] = set()
        async with asyncio.timeout(10):
            while len(found) < 2:
                async with httpx2.AsyncClient(base_url=self.url) as client:
                    answers = await asyncio.gather(*(client.get("/version") for _ in range(20)))
                found.update(answer.text for answer in answers)
        return found


def of_shops(*needed: Claim) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Have a claim about each shop whose framework has what it is about."""
    params = [
        pytest.param(name, marks=pytest.mark.xdist_group(name))
        for name, shop in SHOPS.items()
        if not shop.lacks & set(needed)
    ]
    return pytest.mark.parametrize("site", params, indirect=True, scope="session")
