"""What plugin code enters into tables of the process, and what it pickles, over a swap in real workers."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

from changeover.server import Committed
from tests.service import Story
from tests.waits import until

CODE = '''# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "basket"
# version = "{version}"
# plugin = "basket:Basket"
# services = {{ basket = {{ mount = "/basket" }} }}
# ///
"""Keeps a pickle on disk, answers a signal, and says when it ends."""
import atexit
import os
import pickle
import signal
from pathlib import Path
from types import FrameType

from changeover.plugin import CallContext, Plugin, Request, Response, service

FOLDER = Path("{folder}")


@atexit.register
def close() -> None:
    (FOLDER / f"closed-{version}-{{os.getpid()}}").touch()


class Item:
    made_by = "{version}"


class Basket(Plugin[None]):
    def on_activate(self) -> None:
        signal.signal(signal.SIGUSR2, self.signalled)

    def signalled(self, number: int, frame: FrameType | None) -> None:
        (FOLDER / f"signalled-{version}-{{os.getpid()}}").touch()

    @service
    def basket(self, request: Request, call: CallContext) -> Response:
        kept = FOLDER / "kept"
        if not kept.exists():
            kept.write_bytes(pickle.dumps([Item(), Item]))
        item, kind = pickle.loads(kept.read_bytes())
        return Response.text(f"{{os.getpid()}} {{item.made_by}} {{kind is Item}}")
'''


def write(story: Story, version: str) -> None:
    """Write a version of the plugin."""
    (story.plugins / "basket.py").write_text(CODE.format(version=version, folder=story.gate.parent))


def marks(story: Story, name: str) -> Callable[[], list[Path]]:
    """Finds what plugins left in the folder."""
    return lambda: sorted(story.gate.parent.glob(f"{name}-*"))


def signalled(story: Story, pid: int, version: str) -> Callable[[], bool]:
    """Signals the worker, which ignores it until `on_activate` has run; whether the version's handler was called."""

    def ask() -> bool:
        os.kill(pid, signal.SIGUSR2)
        return len(marks(story, f"signalled-{version}")()) == 1

    return ask


async def test_a_swap_takes_exits_and_handlers_along_and_reads_what_was_pickled(story: Story) -> None:
    write(story, "1.0")
    async with story.server(workers=1, rehearsed=False) as server:
        pid, made_by, own = (await story.get(server, "/basket")).words
        assert (made_by, own) == ("1.0", "True")
        await until(signalled(story, int(pid), "1.0"), "the first version's handler")
        write(story, "2.0")
        assert isinstance(await server.reload(), Committed)
        assert (await story.get(server, "/basket")).words == [pid, "2.0", "True"]
        await until(lambda: len(marks(story, "closed-1.0")()) == 1, "the first version's exit")
        assert marks(story, "closed-2.0")() == []
        await until(signalled(story, int(pid), "2.0"), "the second version's handler")
        (story.plugins / "basket.py").unlink()
        assert isinstance(await server.reload(), Committed)
        await until(lambda: len(marks(story, "closed-2.0")()) == 1, "the second version's exit")


RATES = '''"""Reads its data at request time, by every name that it has."""
import asyncio
import importlib.resources
import pkgutil
from pathlib import Path

from changeover.plugin import CallContext, Request, Response, service

GATE = Path("{gate}")


@service
async def rates(request: Request, call: CallContext) -> Response:
    while request.path.endswith("/slow") and not GATE.exists():
        await asyncio.sleep(0.005)
    import rates as module

    found = [importlib.resources.files(each) for each in ("rates", module, __name__, __package__, __spec__.parent)]
    texts = [each.joinpath("text.txt").read_text() for each in (importlib.resources.files(), *found)]
    texts += [pkgutil.get_data(each, "text.txt").decode() for each in ("rates", __name__, __package__)]
    return Response.text(" ".join(texts))
'''


async def test_a_request_that_is_overtaken_by_a_swap_reads_the_data_of_its_own_version(story: Story) -> None:
    folder = story.plugins / "rates"
    folder.mkdir()
    (folder / "plugin.toml").write_text('id = "rates"\nversion = "1.0"\nservices = { rates = { mount = "/rates" } }\n')
    (folder / "rates.py").write_text(RATES.format(gate=story.gate))
    (folder / "text.txt").write_text("old")
    async with story.server(workers=1) as server:
        connection = await story.connect(server)
        await connection.ask("/rates/slow")
        (folder / "text.txt").write_text("new")
        assert isinstance(await server.reload(), Committed)
        assert (await story.get(server, "/rates")).words == ["new"] * 9
        story.open_gate()
        assert (await connection.answer()).words == ["old"] * 9
